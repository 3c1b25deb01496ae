"""What another seed changes: mean and standard deviation of the accuracy of each variant, by number of images."""

import pandas as pd

MEASURES = {"clean": "accuracy", "corrupted": "corrupted_accuracy"}


def seeds_table(table: pd.DataFrame) -> str:
    """As a Markdown table in percent, with a line per variant; without a line break at its end.

    table: a row per seed, variant and number of training images, with its accuracies in [0, 1]. A number of images
    with a single seed is left out. The standard deviation is that of a sample.
    """
    seeds = table.groupby("train_images")["seed"].nunique()
    sizes = [size for size, count in seeds.items() if count > 1]
    columns = [(size, name) for name in MEASURES for size in sizes]
    lines = [["variant", *(f"{name}, {size:,} images" for size, name in columns)], ["---", *["---:"] * len(columns)]]
    for variant in table["variant"].unique():
        of_variant = table[table["variant"] == variant].set_index("train_images")
        cells = [100 * of_variant.loc[size, MEASURES[name]] for size, name in columns]
        lines.append([f"`{variant}`", *(f"{cell.mean():.1f} ± {cell.std():.1f}" for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
