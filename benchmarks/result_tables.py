"""The measurements as tables of Markdown: medians of the runs."""

from collections.abc import Iterable, Mapping
from itertools import product
from statistics import median

import numpy as np

from benchmarks.curve import GUESSING, from_text, seconds_to, started
from benchmarks.growth_figure import NAMES as PARTS
from benchmarks.project import SPLITS
from benchmarks.serving import BATCHES, TORCH
from benchmarks.training import CONTENDERS, FEATURES, OURS
from benchmarks.training_figure import NAMES
from benchmarks.utilisation import PASSES

Row = Mapping[str, str]

FROM_SIDE = 64  # pixels a side from which the exponent by pixels is taken


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


def distinct(rows: Iterable[Row], column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in rows))


def middle(rows: Iterable[Row], column: str) -> float:
    """The median of the runs that have a value."""
    return median([float(row[column]) for row in rows if row[column]] or [float("nan")])


def training_table(rows: list[Row]) -> str:
    lines = []
    for size, depth, rival in (
        (size, depth, rival)
        for size in distinct(rows, "image_size")
        for depth in distinct(rows, "depth")
        for rival in CONTENDERS
    ):
        at_size = [row for row in rows if row["image_size"] == size]
        us, them = ([r for r in at_size if r["depth"] == depth and r["contender"] == c] for c in (OURS, rival))
        if not (us and them):
            continue
        duels = [
            duel(our, their, feature)
            for our in us
            for their in them
            for feature in at_size
            if feature["depth"] == FEATURES and our["run"] == their["run"] == feature["run"]
            if target(our, their) > GUESSING
        ]
        if not duels:
            continue
        reached, theirs, ours, cached = (median(values) for values in zip(*duels, strict=True))
        quality = [f"{middle(side, 'test_accuracy'):.2%}" for side in (them, us)]
        honesty = [f"{middle(side, 'ece'):.4f} / {middle(side, 'ece_scaled'):.4f}" for side in (them, us)]
        times = [f"{theirs:.1f} s", f"{ours:.1f} s", f"**{theirs / ours:.1f}x**"]
        times += [f"{cached:.1f} s", f"{theirs / cached:.1f}x"]
        against = [f"{size} px", depth, NAMES[rival], f"{reached:.2%}"]
        lines.append([*against, *times, *quality, *honesty, str(len(duels))])
    header = ["size", "depth", "against", "reached at", "theirs", "ours", "ratio", "ours, cached", "ratio, cached"]
    header += ["test accuracy, theirs", "ours", "ECE, theirs", "ours", "runs"]
    return markdown(header, lines)


def duel(our: Row, their: Row, feature: Row) -> tuple[float, float, float, float]:
    """The accuracy that both reach, and the seconds until then: theirs, ours, and ours without the features."""
    accuracy, features = target(our, their), float(feature["seconds"])
    theirs = seconds_to(started(from_text(their["curve"]), 0.0, GUESSING), accuracy)
    ours = seconds_to(started(from_text(our["curve"]), features, GUESSING), accuracy)
    return accuracy, theirs, ours, ours - features


def target(our: Row, their: Row) -> float:
    return min(float(our["val_accuracy"]), float(their["val_accuracy"]))


def epoch_table(rows: list[Row], utilisation: list[Row]) -> str:
    depths = [depth for depth in distinct(rows, "depth") if depth != FEATURES]
    lines = []
    for size, (contender, name) in product(distinct(rows, "image_size"), NAMES.items()):
        cells = []
        for depth in depths:
            place = (size, depth, contender)
            epochs = [last_epoch(row) for row in rows if (row["image_size"], row["depth"], row["contender"]) == place]
            cells.append(f"{median(epochs):.2f} s" if epochs else "")
        lines.append([f"{size} px", name, *cells, limit([row for row in utilisation if row["image_size"] == size])])
    return markdown(["size", "", *depths, "everything, at the limit"], lines)


def last_epoch(row: Row) -> float:
    """Seconds."""
    (before, _), (after, _) = [(0.0, GUESSING), *from_text(row["curve"])][-2:]
    return after - before


def limit(runs: list[Row]) -> str:
    if not runs:
        return ""
    rate = middle(runs, "gemm_bfloat16" if runs[0]["gemm_bfloat16"] else "gemm_float32")
    return f"{SPLITS['cifar10'][0] * PASSES * middle(runs, 'forward_gflop') / rate:.2f} s"


def utilisation_table(rows: list[Row]) -> str:
    header = ["size", "float32 product", "bfloat16 product", "training", "without augmentation", "share of the limit"]
    header += ["executed", "inference", "share of the limit", "runs"]
    lines = []
    for size in distinct(rows, "image_size"):
        runs = [row for row in rows if row["image_size"] == size]
        bf16 = f"{middle(runs, 'gemm_bfloat16'):.0f} GFLOP/s" if runs[0]["gemm_bfloat16"] else "not native"
        executed = middle(runs, "executed_gflop") / (PASSES * middle(runs, "forward_gflop"))
        limit_share = middle(runs, "train_share")
        lines.append(
            [
                f"{size} px",
                f"{middle(runs, 'gemm_float32'):.0f} GFLOP/s",
                bf16,
                f"{middle(runs, 'train_images_per_second'):.0f} images/s",
                f"{middle(runs, 'step_images_per_second'):.0f} images/s",
                f"**{limit_share:.0%}**",
                f"{executed:.0%}, {executed * limit_share:.0%}",
                f"{middle(runs, 'inference_images_per_second'):.0f} images/s",
                f"**{middle(runs, 'inference_share'):.0%}**",
                str(len(runs)),
            ]
        )
    return markdown(header, lines)


def profile_table(rows: list[Row]) -> str:
    sizes = distinct(rows, "image_size")
    cells = {(row["kind"], row["image_size"]): row for row in rows}
    lines = [[kind, *(share(cells.get((kind, size))) for size in sizes)] for kind in distinct(rows, "kind")]
    return markdown(["operations", *(f"{size} px" for size in sizes)], lines)


def share(row: Row | None) -> str:
    return f"{float(row['milliseconds']):.0f} ms, {float(row['share']):.0%}" if row else ""


def growth_table(rows: list[Row]) -> str:
    (smallest, largest), (fewest, most) = (
        (min(values), max(values)) for values in ([int(row[c]) for row in rows] for c in ("image_size", "images"))
    )
    lines = []
    for part, name in PARTS.items():
        of_part = [row for row in rows if row["part"] == part]
        by_images = [row for row in of_part if int(row["image_size"]) == smallest]
        by_pixels = [row for row in of_part if int(row["images"]) == fewest and int(row["image_size"]) >= FROM_SIDE]
        cells = [f"{exponent(by_images, 'images', 1):.2f}", f"{exponent(by_pixels, 'image_size', 2):.2f}"]
        for images, side in ((most, smallest), (fewest, largest)):
            place = [row for row in of_part if (int(row["images"]), int(row["image_size"])) == (images, side)]
            cells.append(f"{middle(place, 'seconds'):.1f} s, {middle(place, 'own_mb'):.0f} MB")
        lines.append([name, *cells])
    header = ["", f"exponent by images, at {smallest} px", f"by pixels, from {FROM_SIDE} px"]
    return markdown([*header, f"{most:,} images, {smallest} px", f"{fewest:,} images, {largest} px"], lines)


def exponent(rows: list[Row], column: str, power: int) -> float:
    """The slope of log time over log (value of the column) ** power, by least squares. NaN of a single one."""
    if len(rows) < 2:
        return float("nan")
    places = power * np.log([float(row[column]) for row in rows])
    return float(np.polyfit(places, np.log([float(row["seconds"]) for row in rows]), 1)[0])


def serving_table(speed: list[Row], quality: list[Row]) -> str:
    judged = {row["way"]: row for row in quality}
    lines = []
    for way in distinct(speed, "way"):
        calls = {batch: [r for r in speed if r["way"] == way and r["batch"] == str(batch)] for batch in BATCHES}
        torchs = {batch: [r for r in speed if r["way"] == TORCH and r["batch"] == str(batch)] for batch in BATCHES}
        times = [
            f"{middle(calls[batch], 'median_ms'):.1f} ({middle(calls[batch], 'p95_ms'):.1f}), "
            f"{middle(torchs[batch], 'median_ms') / middle(calls[batch], 'median_ms'):.2f}x"
            for batch in BATCHES
        ]
        rate = f"{middle(calls[BATCHES[-1]], 'images_per_second'):.0f} images/s"
        row = judged.get(way)
        right = [f"{float(row['accuracy']):.2%}", row["ece"], f"{row['megabytes']} MB"] if row else ["", "", ""]
        lines.append([way, *times, rate, *right])
    header = ["", *(f"{batch} at a time" for batch in BATCHES), "throughput", "accuracy", "ECE", "file"]
    return markdown(header, lines)
