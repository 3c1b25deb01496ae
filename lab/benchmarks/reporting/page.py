"""RESULTS.md and its pictures: the measurements, of one machine beneath the other."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from lab.benchmarks.measuring.table import Table
from lab.benchmarks.programs.inputs import SPLITS
from lab.benchmarks.programs.training import EPOCHS
from lab.benchmarks.reporting.growth_figure import growth_figure
from lab.benchmarks.reporting.tables import (
    epoch_table,
    growth_table,
    profile_table,
    serving_table,
    training_table,
    utilisation_table,
)
from lab.benchmarks.reporting.training_figure import training_figure
from study.reporting.figures import save_png

IMAGES = SPLITS["cifar10"][0]
COUNTS = ", ".join(f"{count} of `{depth}`" for depth, count in EPOCHS.items())
TITLE = """# Benchmarks

`make bench` writes this page, and the rows behind it beside it as CSV, one for every measurement. Medians of the runs.
"""
TRAINING = f"""## Training at equal accuracy

{IMAGES:,} images of CIFAR-10, the bundled ResNet-18, the same split and threads for all. Ours has the recipe of
params.yaml, the others that of their documentation, which their modules cite, but for the number of epochs:
{COUNTS} (behind the one of the head that fastai and Lightning begin with), with which the
tutorial ends about where ours does. Theirs compute in float32, as documented; ours in bfloat16 where the machine
multiplies it natively. Ours, the tutorial and Lightning keep their best epoch, fastai its last.

Every run has a seed of its own. The picture's lines are medians, and its bands reach from the lowest run to the
highest. Brackets behind a ratio or an accuracy hold the lowest and the highest run.

`reached at` is the accuracy on validation images of whichever of the two ends lower, and the seconds are those until
then, linearly between epochs. The clock starts when the libraries are imported and stands still while a model is
judged, for all alike. Ours counts the frozen features of all views; `cached` leaves them out, as from the second
training on. ECE on the test images: as trained / after temperature scaling. The rows follow one another over hours, in
which the speed of a shared machine can change.
"""
LIMITS = f"""## What holds the ratios

Seconds of each one's last epoch, and of {IMAGES:,} images that train everything as fast as matrices multiply, in the
precision of ours, which code goes beyond only by computing less than the formulas count. Cached features leave little
of an epoch of `fc` and `layer4`. Where everything learns, a ratio is decided by the distance to this limit and by the
number of epochs.
"""
UTILISATION = """## How close to the machine's limit

Floating-point operations of the model (a convolution's by its formula; three forward passes for a training step)
against the rate of a large matrix product in the same run, in the precision that trains. `executed`: of the formulas'
operations those that a training step really does, fewer where a product takes a convolution's place and where no
gradient is wanted; and the rate of these against the product's.
"""
PROFILE = """## Where a training step's time goes

By torch.profiler.
"""
GROWTH = """## Growth

The exponent of time: 1 is in proportion to the images, or to the pixels. Below 64 px another rule holds: a ResNet's
last maps are 1x1 at 32 px, where every padding is computed, and 2x2 at 64 px, where none is. Memory is the process's
own, without the pages of mapped files, which the kernel can take back.
"""
SERVING = """## Serving

From uint8 pixels to calibrated probabilities, on the processor. Milliseconds of a call, median (95th percentile).
Accuracy and ECE are of the model that was published when the machine measured it.
"""


class Section(NamedTuple):
    """What the page says of each machine that has rows in the first of `tables`."""

    text: str
    tables: tuple[str, ...]
    tell: Callable[..., str]  # a table, from the rows of each of `tables`
    draw: Callable[[pd.DataFrame], Figure] | None = None  # from the rows of the first
    shows: str = ""


SECTIONS = (
    Section(TRAINING, ("training",), training_table, training_figure, "Validation accuracy over seconds of training"),
    Section(LIMITS, ("training", "utilisation"), epoch_table),
    Section(UTILISATION, ("utilisation",), utilisation_table),
    Section(PROFILE, ("profile",), profile_table),
    Section(GROWTH, ("growth",), growth_table, growth_figure, "Seconds and memory against images and pixels"),
    Section(SERVING, ("serving", "serving_quality"), serving_table),
)


def write_results(folder: Path) -> None:
    """Write RESULTS.md from the tables that are in `folder`, with a picture of its own for each machine."""
    names = dict.fromkeys(name for section in SECTIONS for name in section.tables)
    tables = {name: Table(folder / f"{name}.csv").rows for name in names}
    found = [rows["machine"] for rows in tables.values() if len(rows)]
    machines = pd.concat(found).unique() if found else []
    parts = [TITLE]
    for section in SECTIONS:
        said = []
        for number, machine in enumerate(machines, start=1):
            rows = [of_machine(tables[name], machine) for name in section.tables]
            if len(rows[0]):
                said.append(f"### {machine}\n")
                if section.draw:
                    picture = f"{section.tables[0]}-{number}.png"
                    save_png(section.draw(rows[0]), folder / picture)
                    said.append(f"![{section.shows}]({picture})\n")
                said.append(section.tell(*rows))
        if said:
            parts += [section.text, *said]
    (folder / "RESULTS.md").write_text("\n".join(parts))


def of_machine(table: pd.DataFrame, machine: str) -> pd.DataFrame:
    return table[table["machine"] == machine].reset_index(drop=True) if len(table) else table
