"""Attack a variant, such as `fc`, with changes that are hard to see, and check that the attacks work.

Reads models/{variant}.safetensors, results/temperature/{variant}.json and data/subset/test.npz. Writes in
results/adversarial/{variant}
- accuracy.csv: accuracy on clean images, then under random noise, FGSM and PGD per epsilon, in 1/255;
- checks.json: PGD's steps, and checks passed or failed.
Params: adversarial, mirror.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from study.attacks.checks import Findings, checks
from study.attacks.gradient_attacks import STEP, Adversarial, Tempered, ascent, attacks, fgsm, logits
from study.data.sampling import draw_rows
from study.data.splits import load_split
from study.evaluation.scores import accuracy
from study.evaluation.temperature import load_temperature
from study.networks.loading import load_model
from study.pipeline.files import whole_folder, write_json, write_table
from study.pipeline.params import parse
from study.pipeline.stage import main


def run(params: dict[str, Any], root: Path, variant: str) -> None:
    block = parse(params, "adversarial", Adversarial)
    images, labels = load_split(root, "test").examples
    rows = draw_rows(labels, block.images, block.seed, "adversarial.images")
    images, labels = images[rows], labels[rows]
    model = load_model(root, variant, parse(params, "mirror", bool))
    temperature = load_temperature(root, variant)

    table: list[dict[str, Any]] = []
    changes: dict[int, int] = {}
    for attacked in tqdm(attacks(model, images, labels, block), f"adversarial {variant}", disable=None):
        table.append(
            {
                "variant": variant,
                "attack": attacked.attack,
                "epsilon": attacked.epsilon,
                "images": len(images),
                "accuracy": accuracy(logits(model, attacked.images), labels),
                "zero_gradients": attacked.zero_gradients,
            }
        )
        change = int(np.abs(attacked.images.astype(int) - images).max())
        changes[attacked.epsilon] = max(change, changes.get(attacked.epsilon, 0))
    directions = ascent(Tempered(model, temperature), images, labels)
    tempered = [accuracy(logits(model, fgsm(images, directions, epsilon)), labels) for epsilon in block.epsilons]

    shares = {name: [row["accuracy"] for row in table if row["attack"] == name] for name in ("noise", "fgsm", "pgd")}
    found = Findings(
        epsilons=block.epsilons,
        clean=table[0]["accuracy"],
        **shares,
        tempered=tempered,
        furthest=[changes[epsilon] for epsilon in block.epsilons],
        zero_gradients=max(row["zero_gradients"] or 0.0 for row in table),
    )
    passed = checks(found)
    with whole_folder(root / "results/adversarial" / variant) as folder:
        write_table(folder / "accuracy.csv", pd.DataFrame(table))
        write_json(folder / "checks.json", {"steps": block.steps, "step_size": STEP, "checks": passed})
    print(
        f"{variant}: accuracy {found.clean:.3f} on clean images, {found.pgd[-1]:.3f} under PGD at "
        f"{block.epsilons[-1]} / 255; {sum(row['passed'] for row in passed)} of {len(passed)} checks passed"
    )


if __name__ == "__main__":
    main(run, *sys.argv[1:])
