import pandas as pd

from lab.experiments.systems_table import SYSTEMS, systems_table

ROW = {
    "setting": "resnet50_upsampled",
    "variant": "layer4",
    "accuracy": 0.4321,
    "accuracy_low": 0.42,
    "accuracy_high": 0.44,
    "ece_before": 0.05,
    "ece_after": 0.01234,
    "corrupted_accuracy": 0.3,
    "train_seconds": 1234.5,
}
COMMANDS = dict.fromkeys(SYSTEMS, "dvc exp run")


def test_what_was_measured_stands_beside_what_the_source_says():
    head, *systems = systems_table(pd.DataFrame([ROW]), COMMANDS).split("### ")
    assert head.startswith("# The sources' systems, reproduced")
    heading, command, blank, *table = systems[2].splitlines()
    assert heading.startswith("ResNet-50 on upsampled images")
    assert (command, blank) == ("`dvc exp run`", "")
    assert table[2] == (
        "| `layer4` | last block and head | 48.6 % after 68 minutes at 224 pixels on a Quadro T1000 "
        "| 43.21 % (42.00 to 44.00) | 0.0500 | 0.0123 | 30.00 % | 1,234 s |"
    )


def test_a_variant_that_the_source_gives_no_figure_of_says_so():
    assert "| `fc` | head | none given |" in systems_table(pd.DataFrame([ROW | {"variant": "fc"}]), COMMANDS)


def test_a_system_that_was_not_measured_has_what_its_source_says():
    text = systems_table(pd.DataFrame([ROW]), COMMANDS)
    assert text.count("| variant |") == 1
    assert "Not measured here. The source gives `full` 92 %, from ImageNet weights.\n" in text
