import pandas as pd

from lab.experiments.seeds_table import seeds_table


def row(images, seed, variant, accuracy):
    return {
        "train_images": images,
        "seed": seed,
        "variant": variant,
        "accuracy": accuracy,
        "corrupted_accuracy": accuracy - 0.2,
    }


def test_each_variant_has_the_mean_and_the_spread_of_its_seeds():
    rows = [row(1000, 0, "fc", 0.7), row(1000, 1, "fc", 0.72), row(1000, 0, "full", 0.8), row(1000, 1, "full", 0.8)]
    assert seeds_table(pd.DataFrame(rows)).splitlines() == [
        "| variant | clean, 1,000 images | corrupted, 1,000 images |",
        "| --- | ---: | ---: |",
        "| `fc` | 71.0 ± 1.4 | 51.0 ± 1.4 |",
        "| `full` | 80.0 ± 0.0 | 60.0 ± 0.0 |",
    ]


def test_a_single_seed_has_no_spread_and_no_column():
    rows = [row(1000, 0, "fc", 0.7), row(1000, 1, "fc", 0.72), row(45000, 0, "fc", 0.9)]
    assert "45,000" not in seeds_table(pd.DataFrame(rows))
