import platform
import re
from importlib.metadata import version
from pathlib import Path

from study.pipeline.libraries import NUMERIC, libraries

PINNED = Path(__file__).parents[2] / "requirements/numeric.txt"


def test_the_libraries_that_numbers_come_from_are_those_that_every_stage_depends_on():
    pins = dict(re.findall(r"^([\w-]+)==(.+)$", PINNED.read_text(), re.MULTILINE))
    assert tuple(pins) == NUMERIC


def test_python_and_each_library_have_the_version_that_runs():
    assert libraries()["Python"] == platform.python_version()
    assert {name: libraries()[name] for name in NUMERIC} == {name: version(name) for name in NUMERIC}
