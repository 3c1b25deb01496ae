"""Attack a variant, `fc`, say, with changes that are hard to see, and check that the attacks work.

Reads models/{variant}.safetensors, the temperature in results/calibration/{variant}.json and data/subset/test.npz.
Writes results/adversarial/{variant}.csv: the accuracy on clean images, then per epsilon, in 1/255, under random noise,
FGSM and PGD; and {variant}.json: PGD's steps, and what must hold, as passed or failed.
Params: adversarial.
"""

import json
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages.common.attack import STEP, Adversarial, Tempered, ascent, attacks, fgsm, logits
from stages.common.attack_checks import Findings, checks
from stages.common.datasets import load_split
from stages.common.metrics import accuracy
from stages.common.params import parse
from stages.common.sample import draw_rows
from stages.common.saved import load_classifier
from stages.common.stage import main
from stages.common.tables import write_table


def run(params: dict, root: Path, variant: str) -> None:
    block = parse(params, "adversarial", Adversarial)
    images, labels = load_split(root, "test")
    rows = draw_rows(labels, block.images, block.seed, "adversarial.images")
    images, labels = images[rows], labels[rows]
    model = load_classifier(root / f"models/{variant}.safetensors")
    temperature = json.loads((root / f"results/calibration/{variant}.json").read_text())["temperature"]

    table, changes = [], {}
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
    folder = root / "results/adversarial"
    write_table(folder / f"{variant}.csv", table)
    result = {"steps": block.steps, "step_size": STEP, "checks": passed}
    (folder / f"{variant}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(
        f"{variant}: accuracy {found.clean:.3f} on clean images, {found.pgd[-1]:.3f} under PGD at "
        f"{block.epsilons[-1]} / 255; {sum(row['passed'] for row in passed)} of {len(passed)} checks passed"
    )


if __name__ == "__main__":
    main(run, *sys.argv[1:])
