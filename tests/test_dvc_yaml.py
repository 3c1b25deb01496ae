"""dvc.yaml against the code: what a stage declares is what it imports, and a change re-runs what it touches."""

import ast
import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro

from study.pipeline.params import read_params, read_yaml
from study.pipeline.variants import fine_tuned, variants
from tests.stand_in import stand_in

ROOT = Path(__file__).parents[1]
STAGES = read_params(ROOT / "dvc.yaml")["stages"]
PARAMS = read_params(ROOT / "params.yaml")
VARIANTS, FINE_TUNED = variants(PARAMS), fine_tuned(PARAMS)
PACKAGES = sorted(f"study/{path.parent.name}" for path in ROOT.glob("study/*/__init__.py"))
PUBLISHING = {"gradcam", "export", "report"}
NOTHING = set()

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's use of pygtrie


def each(stage, variants=VARIANTS):
    return {f"{stage}@{variant}" for variant in variants}


def evaluated(variants):
    """What runs on new predictions of these variants."""
    names = ("predict", "calibrate", "corrupt_eval", "adapt", "conformal", "ood", "adversarial")
    published = PUBLISHING if PARAMS["freeze"] in variants else {"report"}
    between = {"interpolate"} if {"fc", "full"} & set(variants) else NOTHING
    return set().union(*(each(name, variants) for name in names), {"compare", "label_errors"}, between, published)


def trained(*variants):
    return {f"train_{variant}" for variant in variants} | evaluated(variants)


ADAPTED = {"compare", "report"} | each("adapt")
CONFORMAL = {"export", "report"} | each("conformal")
CORRUPTED = {"corrupt", "interpolate"} | each("corrupt_eval") | ADAPTED | CONFORMAL
MEASURED = {"interpolate"} | each("calibrate") | each("corrupt_eval") | ADAPTED | CONFORMAL
OOD = {"export", "report"} | each("ood")
DRAWN = {"subsample", "preview", "features", "corrupt"} | trained(*VARIANTS)
BACKBONE = {"backbone", "features"} | trained(*FINE_TUNED)
EVERYTHING = {"download", "backbone"} | DRAWN

# A parameter of every block, a new value for it, and the stages that run besides check_params.
RECOMPUTES = {
    "freeze=layer4": PUBLISHING,
    "mirror=true": evaluated(VARIANTS),
    "data.dataset=digits": EVERYTHING,
    "data.path=photos": {"download", "subsample", "report"},
    "data.side=32": {"download", "subsample", "report"},
    "data.train=1000": DRAWN - {"corrupt"},
    "data.val=1000": DRAWN - {"corrupt"},
    "data.test=1000": {"subsample", "preview", "corrupt"} | evaluated(VARIANTS),
    "data.seed=1": DRAWN,
    "backbone.name=resnet50": BACKBONE,
    "backbone.weights=none": BACKBONE,
    "backbone.path=mine.pth": {"backbone", "report"},
    "backbone.head.dropout=0.1": trained(*FINE_TUNED),
    "train.common.image_size=64": {"features"} | trained(*FINE_TUNED),
    "train.common.views=5": {"features"} | trained(*FINE_TUNED),
    "train.common.augment.cutout=true": {"preview", "features"} | trained(*FINE_TUNED),
    "train.common.batch_size=64": trained(*FINE_TUNED),
    "train.common.seed=1": {"features"} | trained(*FINE_TUNED),
    "train.common.recipe.optimizer=adamw": trained(*VARIANTS),
    "train.common.probe.lr=0.5": trained(*FINE_TUNED),
    "train.fc.lr=0.5": trained("fc"),
    "train.layer4.lr=0.5": trained("layer4"),
    "train.layer4.augment.cutout=true": trained("layer4"),
    "train.full.lr=0.5": trained("full"),
    "train.full.unfreeze_from=layer2": trained("full"),
    "train.full.first_image_size=32": trained("full"),
    "train.full.augment.mixup=0.2": trained("full"),
    "train.scratch.lr=0.5": trained("scratch"),
    "train.scratch.augment.cutmix=1.0": trained("scratch"),
    "calibrate.bins=10": MEASURED,
    "calibrate.resamples=50": MEASURED | {"label_errors"},
    "calibrate.seed=1": MEASURED | {"label_errors"},
    "corrupt_eval.seed=1": CORRUPTED,
    "adapt.pseudo_count=0": ADAPTED,
    "interpolate.seed=1": {"interpolate", "report"},
    "conformal.seed=1": CONFORMAL,
    "ood.seed=1": OOD,
    "adversarial.steps=20": each("adversarial") | {"report"},
    "gradcam.images=30": {"gradcam", "report"},
}

# The same of a file of code, a line of which is edited.
EDITS = {
    "requirements/numeric.txt": EVERYTHING,
    "study/pipeline/code.py": EVERYTHING,
    "study/data/code.py": EVERYTHING,
    "study/sources/code.py": EVERYTHING,
    "study/networks/code.py": EVERYTHING - {"download", "subsample", "preview", "corrupt"},
    "study/features/code.py": {"preview", "features"} | trained(*VARIANTS),
    "study/training/code.py": trained(*VARIANTS),
    "study/light_resnet/code.py": {"train_scratch"} | evaluated(VARIANTS),
    "study/evaluation/code.py": MEASURED | each("adversarial") | PUBLISHING | {"label_errors"},
    "study/corruption/code.py": CORRUPTED | {"gradcam"},
    "study/adaptation/code.py": {"interpolate"} | ADAPTED,
    "study/conformal/code.py": CONFORMAL,
    "study/label_errors/code.py": {"label_errors", "report"},
    "study/label_errors/cifar10.csv": {"label_errors", "report"},
    "study/ood/code.py": OOD,
    "study/attacks/code.py": each("adversarial") | {"report"},
    "study/attribution/code.py": {"gradcam", "report"},
    "study/drawing/code.py": CORRUPTED | {"preview", "gradcam"},
    "study/publishing/code.py": {"export", "report"},
    "study/reporting/code.py": {"report"},
    "study/reporting/templates/page.html": {"report"},
    "stages/train_layer4.py": trained("layer4"),
    "stages/report.py": {"report"},
}

# What appears beside the code, or among pictures that nobody asked for, and is no part of the study.
NO_PART = [
    "study/training/.code.py.swp",
    "study/training/code.py~",
    "study/training/.ipynb_checkpoints/code-checkpoint.py",
    "study/reporting/templates/.page.html.swp",
    "study/training/__pycache__/code.cpython-311.pyc",
    "study/training/README.md",
    "study/README.md",
    "stages/.report.py.swp",
    "data/pictures/cat/1.png",
]


def module_of(stage):
    return stage["cmd"].split()[2]


def declared_params(name, params):
    """Of `params` no more than the stage declares; all for check_params, which reads the file."""
    declared = {}
    for key in STAGES[name].get("params", params):
        source, target = params, declared
        *parents, leaf = key.split(".")
        for part in parents:
            source, target = source[part], target.setdefault(part, {})
        target[leaf] = source[leaf]
    return declared


def test_dvc_yaml_trains_the_variants_of_params_yaml():
    assert tuple(read_params(ROOT / "dvc.yaml")["vars"][0]["variants"]) == VARIANTS
    for variant in VARIANTS:
        stage = STAGES[f"train_{variant}"]
        assert f"train.{variant}" in stage["params"]
        assert [out for out in stage["outs"] if variant in out] == stage["outs"]


def import_closure(path):
    """Every module of ours that `path` imports, itself included, as paths relative to the root."""
    found, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for node in ast.walk(ast.parse(current.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            ours = (name.replace(".", "/") + ".py" for name in names if name.startswith(("stages.", "study.")))
            waiting += [ROOT / module for module in ours if (ROOT / module).exists()]
    return {module.relative_to(ROOT) for module in found}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_its_script_and_exactly_the_packages_that_it_imports(name):
    script = ROOT / (module_of(STAGES[name]).replace(".", "/") + ".py")
    modules = import_closure(script)
    packages = {str(module.parent) for module in modules if module.parts[0] == "study"}
    scripts = {str(module) for module in modules if module.parts[0] == "stages"}
    assert scripts == {str(script.relative_to(ROOT))}
    declared = {dep for dep in STAGES[name]["deps"] if dep.startswith(("stages/", "study"))}
    assert declared == scripts | ({"study"} if name == "check_params" else packages)


@pytest.mark.parametrize("name", ["calibrate", "compare", "report"])
def test_what_only_reads_tables_never_imports_torch(name):
    code = f"import sys, {module_of(STAGES[name])}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """The real dvc.yaml and params.yaml, reproduced, in a repository whose stages take no time."""
    folder = tmp_path_factory.mktemp("toy")
    for name in ("dvc.yaml", ".dvcignore", "tests/stand_in.py"):
        shutil.copy(ROOT / name, folder)
    write_json(folder / "params.yaml", PARAMS)  # JSON is YAML, and is read faster
    write_json(folder / "stages.json", STAGES)
    files = [*EDITS, PARAMS["data"]["path"], PARAMS["backbone"]["path"], "photos/dog/1.png", "mine.pth"]
    whole = ("requirements/", "stages/", "weights/")
    files += [dep for stage in STAGES.values() for dep in stage["deps"] if dep.startswith(whole)]
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(file)
    (folder / "bin").mkdir()
    python = folder / "bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I stand_in.py "$@"\n')
    python.chmod(0o755)
    dvc(folder, "init", "--no-scm", "--quiet")
    dvc(folder, "config", "core.analytics", "false")
    dvc(folder, "repro", "--quiet")
    return folder


@pytest.fixture
def toy(reproduced, tmp_path):
    return shutil.copytree(reproduced, tmp_path / "toy")


def write_json(path, content):
    path.write_text(json.dumps(content))


def dvc(folder, *arguments):
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "DVC_SITE_CACHE_DIR": str(folder.parent / "site")}
    command = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def ran(folder):
    """The stages that `dvc repro` runs."""
    (folder / "ran.txt").unlink(missing_ok=True)
    dvc(folder, "repro", "--quiet")
    return set((folder / "ran.txt").read_text().split()) if (folder / "ran.txt").exists() else set()


def would_run(folder, monkeypatch):
    """The same in a fifth of the time: DVC tells of each stage in turn whether it changed, and dvc.lock stays."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(folder.parent / "site"))
    monkeypatch.chdir(folder)
    changed = set()
    with Repo() as repo, repo.lock:
        for stage in plan_repro(repo.index.graph):
            if stage.changed_stage() or stage.changed_deps():
                changed.add(stand_in(folder, *stage.cmd.split()[2:]))
    return changed


def with_change(change):
    """params.yaml after "train.fc.lr=0.5", say."""
    key, value = change.split("=")
    params = copy.deepcopy(PARAMS)
    block = params
    *parents, leaf = key.split(".")
    for part in parents:
        block = block[part]
    assert leaf in block
    block[leaf] = read_yaml(value)
    return params


def test_a_second_repro_runs_nothing(toy, monkeypatch):
    assert would_run(toy, monkeypatch) == ran(toy) == NOTHING


def slow(change):
    return pytest.param(change, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "change",
    [
        "train.fc.lr=0.5",
        slow("freeze=layer4"),
        slow("data.path=photos"),
        slow("data.test=1000"),
        slow("train.common.recipe.optimizer=adamw"),
        slow("calibrate.bins=10"),
    ],
)
def test_dvc_itself_re_runs_exactly_what_a_changed_parameter_touches(toy, change):
    write_json(toy / "params.yaml", with_change(change))
    assert ran(toy) == RECOMPUTES[change] | {"check_params"}
    assert ran(toy) == NOTHING


@pytest.mark.slow
def test_of_a_folder_of_pictures_dvc_re_runs_everything_when_one_is_added_or_other_splits_are_drawn(toy):
    params = PARAMS | {"data": PARAMS["data"] | {"dataset": "folder", "path": "photos"}}
    write_json(toy / "params.yaml", params)
    assert ran(toy) == EVERYTHING | {"check_params"}
    (toy / "photos/dog/2.png").write_text("another")
    assert ran(toy) == EVERYTHING
    params["data"]["test"] = 1000
    write_json(toy / "params.yaml", params)
    assert ran(toy) == DRAWN | {"check_params"}


@pytest.mark.parametrize("change", RECOMPUTES)
def test_a_changed_parameter_re_runs_exactly_what_it_touches(toy, monkeypatch, change):
    write_json(toy / "params.yaml", with_change(change))
    assert would_run(toy, monkeypatch) == RECOMPUTES[change] | {"check_params"}


@pytest.mark.parametrize("file", EDITS)
def test_an_edited_line_of_code_re_runs_exactly_what_it_touches(toy, monkeypatch, file):
    (toy / file).write_text("edited")
    assert would_run(toy, monkeypatch) - {"check_params"} == EDITS[file]


def test_what_is_no_part_of_the_study_runs_nothing(toy, monkeypatch):
    for file in NO_PART:
        (toy / file).parent.mkdir(parents=True, exist_ok=True)
        (toy / file).write_text("something")
    (toy / "study/training/.#code.py").symlink_to("nowhere")  # Emacs's lock of a file that is being edited
    assert would_run(toy, monkeypatch) == NOTHING


def test_every_package_is_edited():
    assert {str(Path(file).parent) for file in EDITS if file.endswith("code.py")} == set(PACKAGES)


def recomputes_table():
    """The table of docs/parameters.md: a row for all the parameters that touch the same stages."""
    rows = {}
    for change, stages in RECOMPUTES.items():
        rows.setdefault(told(stages), []).append(f"`{change.split('=')[0]}`")
    lines = [f"| {', '.join(parameters)} | {stages} |" for stages, parameters in rows.items()]
    return "\n".join(["| parameter | at most these run again |", "| --- | --- |", *lines])


def told(stages):
    """In the order of dvc.yaml; behind them those that run for some of the variants only."""
    whole = [name for name in STAGES if name in stages or each(name) <= stages]
    some = [name for name in STAGES if each(name) & stages and name not in whole]
    variants = [variant for variant in VARIANTS if {f"{name}@{variant}" for name in some} & stages]
    return "; ".join([", ".join(whole), *([f"{', '.join(some)} of {', '.join(variants)}"] if some else [])])


def test_the_page_on_parameters_says_what_each_recomputes():
    assert f"<!-- recomputes -->\n{recomputes_table()}\n" in (ROOT / "docs/parameters.md").read_text()


def test_every_block_of_params_yaml_is_in_the_table_of_what_it_recomputes():
    def blocks(params, name=""):
        """Those that hold a value beside other blocks, or nothing else."""
        if not all(isinstance(value, dict) for value in params.values()):
            yield name
        for key, value in params.items():
            if isinstance(value, dict):
                yield from blocks(value, f"{name}.{key}".strip("."))

    assert set(blocks(PARAMS)) == {change.split("=")[0].rpartition(".")[0] for change in RECOMPUTES}
