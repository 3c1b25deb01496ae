import pytest

from lab.experiments.figures import FIGURES
from lab.experiments.runner import changed
from lab.experiments.studies import STUDIES, Study
from stages import check_params
from study.pipeline.params import read_params
from tests.test_dvc_yaml import ROOT


@pytest.mark.parametrize("name", STUDIES)
def test_every_experiment_that_is_declared_passes_the_check_of_parameters(tmp_path, name):
    params = read_params(ROOT / "params.yaml")
    experiments = STUDIES[name].experiments(name)
    for experiment in experiments:
        check_params.run(changed(params, experiment.changes), tmp_path)
    assert len({experiment.label for experiment in experiments}) == len(experiments)
    assert FIGURES[name]


def test_a_setting_may_have_variants_of_its_own_and_the_published_one_its_stages():
    settings = {"small": (1, {}), "whole": (1, {})}
    study = Study(("fc",), {}, settings, own={"whole": ("scratch",)}, published=("export",))
    assert study.targets("small") == ["calibrate@fc", "corrupt_eval@fc", "export"]
    assert study.targets("whole") == ["calibrate@scratch", "corrupt_eval@scratch", "export"]


def test_readme_has_the_command_of_every_system():
    text = (ROOT / "docs/experiments.md").read_text()
    assert {command for command in STUDIES["systems"].commands().values() if command not in text} == set()
