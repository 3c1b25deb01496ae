"""Get the dataset, verified.

Reads CIFAR-10 from CIFAR10_DIR, .cache/cifar10, the official host or CIFAR10_URL, and CIFAR-100 likewise; or
scikit-learn's digits; or the pictures under data.path. Writes data/raw (images, labels, facts), and prints what is odd
about the pictures.
Params: data.dataset, data.path, data.side.
"""

from pathlib import Path
from typing import Any

from study.data.splits import save_raw
from study.pipeline.files import whole_folder
from study.pipeline.params import parse
from study.pipeline.stage import main
from study.sources.datasets import PUBLISHED, Dataset
from study.sources.picture_folder import list_pictures, read_pictures, remarks
from study.sources.stratified_draw import FolderPath, Side


def run(params: dict[str, Any], root: Path) -> None:
    dataset = parse(params, "data.dataset", Dataset)
    if dataset == "folder":
        path, side = parse(params, "data.path", FolderPath), parse(params, "data.side", Side)
        listing = list_pictures(root / path)
        raw = read_pictures(listing, side, (root / path).resolve().name)
        for line in (*listing.notes, *remarks(listing, raw)):
            print(line)
    else:
        raw = PUBLISHED[dataset].load(root)
    with whole_folder(root / "data/raw") as folder:
        save_raw(raw, folder)
    validated = f"{len(raw.val_labels)} to validate on, " if len(raw.val_labels) else ""
    print(f"{dataset}: {len(raw.train_labels)} images to train on, {validated}{len(raw.test_labels)} to test")


if __name__ == "__main__":
    main(run)
