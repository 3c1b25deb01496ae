"""The measurements as tables of Markdown: medians of the runs."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lab.benchmarks.measuring.curve import GUESSING, from_text, seconds_to, started
from lab.benchmarks.programs.inputs import SPLITS
from lab.benchmarks.programs.serving import BATCHES, TORCH
from lab.benchmarks.programs.training import FEATURES, OURS
from lab.benchmarks.programs.utilisation import PASSES
from lab.benchmarks.reporting.growth_figure import NAMES as PARTS
from lab.benchmarks.reporting.training_figure import NAMES

SMALLEST_SIZE = 64  # pixels a side from which the exponent by pixels is taken
PAIR = ["image_size", "depth", "run"]  # what a measurement of ours and one of theirs have in common


def markdown(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """
    >>> print(markdown(["a", "b"], [["1", "2"]]), end="")
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    header = list(header)
    rows = [f"| {' | '.join(row)} |" for row in [header, *lines]]
    return "\n".join([rows[0], "|---" * len(header) + "|", *rows[1:]]) + "\n"


def training_table(rows: pd.DataFrame) -> str:
    """A line per size, depth and alternative, of the seconds until the accuracy that both reach."""
    duels = duelled(rows)
    for column, order in (("image_size", rows["image_size"]), ("depth", rows["depth"]), ("contender", list(NAMES))):
        duels[column] = pd.Categorical(duels[column], pd.unique(pd.Series(order)))  # in this order, not by alphabet
    lines = []
    for (size, depth, rival), runs in duels.groupby(["image_size", "depth", "contender"], observed=True):
        middle = runs.median(numeric_only=True)
        quality = [spread(runs[f"test_accuracy{side}"], ".2%") for side in ("", "_ours")]
        honesty = [f"{middle[f'ece{side}']:.4f} / {middle[f'ece_scaled{side}']:.4f}" for side in ("", "_ours")]
        times = [f"{middle['theirs']:.1f} s", f"{middle['ours']:.1f} s", f"**{ratio(runs, 'ours')}**"]
        times += [f"{middle['cached']:.1f} s", ratio(runs, "cached")]
        against = [f"{size} px", depth, NAMES[rival], f"{middle['reached']:.2%}"]
        lines.append([*against, *times, *quality, *honesty, str(len(runs))])
    header = ["size", "depth", "against", "reached at", "theirs", "ours", "ratio", "ours, cached", "ratio, cached"]
    header += ["test accuracy, theirs", "ours", "ECE, theirs", "ours", "runs"]
    return markdown(header, lines)


def ratio(runs: pd.DataFrame, ours: str) -> str:
    """The median of their seconds over that of ours; in brackets, the lowest and the highest ratio of a run.

    >>> ratio(pd.DataFrame({"theirs": [8.0, 9.0, 10.0], "ours": [4.0, 4.0, 5.0]}), "ours")
    '2.2x (2.0 to 2.2)'
    """
    of_runs = runs["theirs"] / runs[ours]
    return f"{runs['theirs'].median() / runs[ours].median():.1f}x{extremes(of_runs, '.1f')}"


def spread(values: pd.Series, form: str) -> str:
    """The median, the extremes in brackets.

    >>> spread(pd.Series([0.5, 0.7, 0.8]), ".0%")
    '70% (50% to 80%)'
    """
    return f"{values.median():{form}}{extremes(values, form)}"


def extremes(values: pd.Series, form: str) -> str:
    """In brackets behind a space; "" of a single one."""
    return f" ({values.min():{form}} to {values.max():{form}})" if len(values) > 1 else ""


def duelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Each run of an alternative beside ours; without those where either ends at guessing.

    Besides the measurements, ours with the suffix _ours: the accuracy `reached` by both, and the seconds until then,
    `theirs`, `ours`, and ours without the features, `cached`.
    """
    features = rows[rows["depth"] == FEATURES].set_index(["image_size", "run"])["seconds"].rename("features")
    trained = rows[rows["depth"] != FEATURES]
    ours, alternatives = trained[trained["contender"] == OURS], trained[trained["contender"] != OURS]
    duels = alternatives.merge(ours, on=PAIR, suffixes=("", "_ours")).join(features, on=["image_size", "run"])
    duels["reached"] = duels[["val_accuracy", "val_accuracy_ours"]].min(axis=1)
    duels = duels[(duels["reached"] > GUESSING) & duels["features"].notna()].reset_index(drop=True)

    def reached_after(curve: str, seconds: float, accuracy: float) -> float | None:
        return seconds_to(started(from_text(curve), seconds, GUESSING), accuracy)

    duels["theirs"] = [reached_after(row.curve, 0.0, row.reached) for row in duels.itertuples()]
    duels["ours"] = [reached_after(row.curve_ours, row.features, row.reached) for row in duels.itertuples()]
    duels["cached"] = duels["ours"] - duels["features"]
    return duels


def epoch_table(rows: pd.DataFrame, utilisation: pd.DataFrame) -> str:
    """A line per size and contender: seconds of the last epoch at each depth, and of one at the machine's limit."""
    trained = rows[rows["depth"] != FEATURES]
    epochs = trained.assign(epoch=trained["curve"].map(last_epoch)).groupby(["image_size", "contender", "depth"])
    seconds, depths = epochs["epoch"].median(), trained["depth"].unique()
    lines = []
    for size in rows["image_size"].unique():
        at_the_limit = limit(utilisation[utilisation["image_size"] == size]) if len(utilisation) else ""
        for contender, name in NAMES.items():
            places = [(size, contender, depth) for depth in depths]
            cells = [f"{seconds[place]:.2f} s" if place in seconds.index else "" for place in places]
            lines.append([f"{size} px", name, *cells, at_the_limit])
    return markdown(["size", "", *depths, "everything, at the limit"], lines)


def last_epoch(curve: str) -> float:
    """Seconds."""
    (before, _), (after, _) = [(0.0, GUESSING), *from_text(curve)][-2:]
    return after - before


def limit(runs: pd.DataFrame) -> str:
    """Seconds of an epoch in which everything learns as fast as matrices multiply; "" where that was not measured."""
    if runs.empty:
        return ""
    middle = runs.median(numeric_only=True)
    rate = middle["gemm_float32"] if pd.isna(middle["gemm_bfloat16"]) else middle["gemm_bfloat16"]
    return f"{SPLITS['cifar10'][0] * PASSES * middle['forward_gflop'] / rate:.2f} s"


def utilisation_table(rows: pd.DataFrame) -> str:
    header = ["size", "float32 product", "bfloat16 product", "training", "without augmentation", "share of the limit"]
    header += ["executed", "inference", "share of the limit", "runs"]
    lines = []
    for size, runs in rows.groupby("image_size", sort=False):
        middle = runs.median(numeric_only=True)
        bf16, executed = middle["gemm_bfloat16"], middle["executed_gflop"] / (PASSES * middle["forward_gflop"])
        lines.append(
            [
                f"{size} px",
                f"{middle['gemm_float32']:.0f} GFLOP/s",
                "not native" if pd.isna(bf16) else f"{bf16:.0f} GFLOP/s",
                f"{middle['train_images_per_second']:.0f} images/s",
                f"{middle['step_images_per_second']:.0f} images/s",
                f"**{middle['train_share']:.0%}**",
                f"{executed:.0%}, {executed * middle['train_share']:.0%}",
                f"{middle['inference_images_per_second']:.0f} images/s",
                f"**{middle['inference_share']:.0%}**",
                str(len(runs)),
            ]
        )
    return markdown(header, lines)


def profile_table(rows: pd.DataFrame) -> str:
    kinds, sizes = rows["kind"].unique(), rows["image_size"].unique()
    cells = {(row.kind, row.image_size): f"{row.milliseconds:.0f} ms, {row.share:.0%}" for row in rows.itertuples()}
    lines = [[kind, *(cells.get((kind, size), "") for size in sizes)] for kind in kinds]
    return markdown(["operations", *(f"{size} px" for size in sizes)], lines)


def growth_table(rows: pd.DataFrame) -> str:
    smallest, largest = rows["image_size"].min(), rows["image_size"].max()
    fewest, most = rows["images"].min(), rows["images"].max()
    middle = rows.groupby(["part", "images", "image_size"])[["seconds", "own_mb"]].median()
    lines = []
    for part, name in PARTS.items():
        of_part = rows[rows["part"] == part]
        by_images = of_part[of_part["image_size"] == smallest]
        by_pixels = of_part[(of_part["images"] == fewest) & (of_part["image_size"] >= SMALLEST_SIZE)]
        cells = [f"{exponent(by_images, 'images', 1):.2f}", f"{exponent(by_pixels, 'image_size', 2):.2f}"]
        for images, size in ((most, smallest), (fewest, largest)):
            at = middle.reindex([(part, images, size)]).iloc[0]
            cells.append(f"{at['seconds']:.1f} s, {at['own_mb']:.0f} MB")
        lines.append([name, *cells])
    header = ["", f"exponent by images, at {smallest} px", f"by pixels, from {SMALLEST_SIZE} px"]
    return markdown([*header, f"{most:,} images, {smallest} px", f"{fewest:,} images, {largest} px"], lines)


def exponent(rows: pd.DataFrame, column: str, power: int) -> float:
    """The slope of log time over log (value of the column) ** power, by least squares. NaN of a single one."""
    if len(rows) < 2:
        return float("nan")
    return float(np.polyfit(power * np.log(rows[column]), np.log(rows["seconds"]), 1)[0])


def serving_table(speed: pd.DataFrame, quality: pd.DataFrame) -> str:
    middle = speed.groupby(["way", "batch"]).median(numeric_only=True)
    judged = {row.way: [f"{row.accuracy:.2%}", f"{row.ece}", f"{row.megabytes} MB"] for row in quality.itertuples()}
    lines = []
    for way in speed["way"].unique():
        calls = {batch: middle.loc[(way, batch)] for batch in BATCHES}
        times = [
            f"{call['median_ms']:.1f} ({call['p95_ms']:.1f}), "
            f"{middle.loc[(TORCH, batch), 'median_ms'] / call['median_ms']:.2f}x"
            for batch, call in calls.items()
        ]
        rate = f"{calls[BATCHES[-1]]['images_per_second']:.0f} images/s"
        lines.append([way, *times, rate, *judged.get(way, ["", "", ""])])
    header = ["", *(f"{batch} at a time" for batch in BATCHES), "throughput", "accuracy", "ECE", "file"]
    return markdown(header, lines)
