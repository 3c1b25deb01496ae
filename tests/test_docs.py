"""README and docs/ against the repository: links, commands and parameters exist, figures are those of their tables."""

import re
import shlex
from functools import cache
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path
from statistics import fmean

import pandas as pd
import pytest

from how_deep import quickstart
from lab.experiments.runner import changed
from lab.experiments.studies import STUDIES
from stages import check_params
from study.pipeline.files import read_json
from study.pipeline.params import read_params, read_yaml
from study.pipeline.variants import variants
from study.reporting.results_table import HEADINGS
from tests.test_packages import ALLOWED
from tests.test_readme import by_size, spread

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
FOLDERS = [ROOT / folder / "README.md" for folder in ("data", "lab/backbone", "samples", "weights")]
PARAMS = read_params(ROOT / "params.yaml")
STAGES = read_params(ROOT / "dvc.yaml")["stages"]
MOST = 150  # lines
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
DECIMAL = re.compile(r"\d+\.\d+")


def named(path):
    return str(path.relative_to(ROOT))


@cache
def text(path):
    return path.read_text(encoding="utf-8")


def page(name):
    return text(ROOT / name)


def marked(name, mark):
    """What stands between a page's markers."""
    _, rest = page(name).split(f"<!-- {mark} -->\n")
    return rest.split(f"<!-- /{mark} -->")[0]


def code(path):
    """The lines of code in a page, in blocks and in sentences, without comments and with continued lines joined."""
    blocks = [block.split("\n", 1)[1].rsplit("\n", 1)[0] for block in BLOCK.findall(text(path))]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text(path)))
    return [re.split(r"\s+# ", line)[0].removeprefix("$ ").strip() for line in lines]


def commands(path):
    """The simple commands of a page, without variables set before them."""
    parts = chain.from_iterable(re.split(r" && ", line) for line in code(path))
    return [re.sub(r"^(\.venv/bin/)", "", part.strip()) for part in parts]


# Pages


def test_there_is_a_page_for_each_subject():
    subjects = {path.stem for path in DOCS}
    assert subjects >= {"tutorial", "reading-the-figures", "your-pictures", "study", "parameters", "architecture"}
    assert subjects >= {"experiments", "benchmarks", "troubleshooting", "limits"}


@pytest.mark.parametrize("path", DOCS, ids=named)
def test_a_page_is_short_and_linked_from_readme(path):
    assert len(text(path).splitlines()) <= MOST
    assert f"](docs/{path.name})" in page("README.md")


def headings(path):
    """The anchors that GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", text(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", [*PAGES, *FOLDERS], ids=named)
def test_every_link_and_picture_exists(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text(path))):
        if not target.startswith("https://"):
            name, _, anchor = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.is_relative_to(ROOT) or not file.exists() or (anchor and anchor not in headings(file)):
                broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_picture_has_a_text_in_its_place(path):
    assert all(len(words) > 20 for words in re.findall(r"!\[([^\]]*)\]", text(path)))


def test_every_committed_picture_is_explained():
    patterns = ("plots/*/*.png", "plots/corruptions.png", "lab/experiments/results/*.png", "lab/benchmarks/*.png")
    pictures = {named(path) for pattern in patterns for path in ROOT.glob(pattern)}
    explained = set(re.findall(r"\]\(\.\./([^)]+\.png)\)", page("docs/reading-the-figures.md")))
    assert len(pictures) > 10
    assert pictures <= explained


# Commands


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_make_target_exists(path):
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    assert {command.split()[1] for command in commands(path) if command.startswith("make ")} <= targets


@pytest.mark.parametrize("path", [*PAGES, *FOLDERS], ids=named)
def test_every_script_and_module_that_is_started_exists(path):
    for command in commands(path):
        _, _, rest = command.partition("python ")
        if command.startswith(("python ", "python3 ")) and rest:
            first, *others = rest.split()
            if first == "-m" and others[0] not in {"pytest", "venv"}:
                module = ROOT / others[0].replace(".", "/")
                assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), command
            elif first != "-m":
                assert (ROOT / first).exists(), command


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of two classes with six hundred names of pictures each, in which nothing has to be a picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        for number in range(600):
            (folder / name / f"{number}.png").touch()
    return folder


def settings(command, folder):
    """What a command of `dvc exp run` changes, with `folder` in the place of DIR."""
    found = re.findall(r"(?:-S|--set-param) ('[^']*'|\S+)", command)
    pairs = (shlex.split(setting)[0].split("=", 1) for setting in found)
    return {key: read_yaml(value.replace("DIR", str(folder))) for key, value in pairs}


@pytest.mark.parametrize("path", [*PAGES, ROOT / "data/README.md"], ids=named)
def test_every_experiment_passes_the_check_of_parameters(path, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(pictures.parent)
    for command in commands(path):
        if command.startswith("dvc exp run ") and "[...]" not in command:
            changes = settings(command, pictures)
            if changes.get("data.path") == "pictures":
                changes["data.path"] = str(pictures)
            if "ood.paths" in changes:
                changes["ood.paths"] = [str(pictures)]
            check_params.run(changed(PARAMS, changes), tmp_path)


def test_all_pages_have_the_same_command_for_ones_own_pictures():
    found = []
    for name in ("README.md", "docs/your-pictures.md", "data/README.md"):
        (command, *_) = (line for line in commands(ROOT / name) if "data.dataset=folder" in line)
        found.append(settings(command, "pictures"))
    assert found[0] == found[1] == found[2]


def leaves_and_blocks(params, prefix=""):
    for key, value in params.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from leaves_and_blocks(value, f"{prefix}{key}.")


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_parameter_that_is_named_exists(path):
    blocks = "|".join(PARAMS)
    names = {name for line in code(path) for name in re.findall(rf"(?<![\w/.-])(?:{blocks})(?:\.[a-z_0-9]+)+", line)}
    modules = {name for name in names if (ROOT / f"{name.replace('.', '/')}.py").exists()}
    assert names - modules <= set(leaves_and_blocks(PARAMS))


def test_every_block_of_params_yaml_is_in_the_table_of_parameters():
    table = page("docs/parameters.md").split("## What there is")[1].split("\n\n")[0]
    blocks = {key for key in PARAMS if key != "train"} | {f"train.{key}" for key in PARAMS["train"]}
    assert blocks <= set(re.findall(r"`([a-z_0-9.]+)`", table))


# Architecture


def boxes():
    """{box: its stages} and {box: the boxes that it points to} of the diagram."""
    dag = marked("docs/architecture.md", "dag")
    labels = {name: set(label.split(", ")) for name, label in re.findall(r'(\w+)\["(.+?)"\]', dag)}
    arrows = {name: set() for name in labels}
    for line in dag.splitlines():
        if "-->" in line:
            before, after = re.sub(r'\["(.+?)"\]', "", line).split(" --> ")
            arrows[before.strip()].add(after.strip())
    return labels, arrows


def reached(arrows):
    """Everything that each node leads to."""
    found = {}
    for node in reversed(list(TopologicalSorter(invert(arrows)).static_order())):
        found[node] = set(arrows[node]).union(*(found[after] for after in arrows[node]))
    return found


def invert(arrows):
    return {node: {other for other in arrows if node in arrows[other]} for node in arrows}


def test_the_diagram_has_ten_boxes_with_every_stage_in_one():
    labels, _ = boxes()
    stages = [stage for label in labels.values() for stage in label]
    assert len(labels) == 10
    assert sorted(stages) == sorted(STAGES)


def outputs(stage):
    return [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]


def below(path, folder):
    return path == folder or path.startswith(f"{folder}/")


def test_a_box_leads_to_those_whose_stages_need_its_outputs():
    labels, arrows = boxes()
    box = {stage: name for name, stages in labels.items() for stage in stages}
    real = {name: set() for name in labels}
    for before, stage in STAGES.items():
        made = [re.sub(r"\$\{.*?\}", "*", out) for out in outputs(stage)]
        for after, other in STAGES.items():
            read = [re.sub(r"\$\{.*?\}", "*", dep) for dep in other["deps"]]
            if box[before] != box[after] and any(below(dep, out) or below(out, dep) for dep in read for out in made):
                real[box[before]].add(box[after])
    for variant in ("fc", "layer4", "full", "scratch"):  # models/*.safetensors is each of theirs
        real[box[f"train_{variant}"]].add(box["predict"])
    assert reached(arrows) == reached(real)


def test_every_file_that_the_tree_names_exists():
    lines = marked("docs/architecture.md", "tree").strip().splitlines()[1:-1]
    names = [name for line in lines for name in line.split("  ")[0].split()]
    made = {"data/", "models/", "results/"}  # by dvc repro
    assert len(names) > 20
    assert [name for name in names if name not in made and not (ROOT / name).exists()] == []


def test_the_tree_names_every_package_of_the_library():
    packages = {f"study/{path.parent.name}/" for path in (ROOT / "study").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^study/\w+/", marked("docs/architecture.md", "tree"), re.MULTILINE))


def packages_table():
    """A row for each package, what it may import in alphabetical order; those with nothing first."""
    order = sorted(ALLOWED, key=lambda name: (len(ALLOWED[name]), name))
    imported = {name: ", ".join(f"`{other}`" for other in sorted(ALLOWED[name])) for name in order}
    rows = [f"| `{name}` | {others or 'nothing'} |" for name, others in imported.items()]
    return "\n".join(["| package | may import |", "| --- | --- |", *rows]) + "\n"


def test_the_table_of_packages_is_what_the_imports_are_held_to():
    assert marked("docs/architecture.md", "packages") == packages_table()


# Figures


def means(study):
    """How a page writes the means over the seeds of every setting and variant of a study: percent and plain."""
    table = pd.read_csv(ROOT / f"lab/experiments/results/{study}.csv")
    for _, group in table.groupby(["setting", "variant"]):
        for values in group.iloc[:, 4:].to_numpy().T.tolist():
            yield f"{100 * fmean(values):.1f}"
            yield f"{fmean(values):.3f}"


@pytest.mark.parametrize("study", ["augmentation", "augmix", "data_size", "recipes", "systems"])
def test_every_decimal_that_is_said_of_a_study_is_in_its_table(study):
    decimals = set(DECIMAL.findall(marked("docs/experiments.md", study)))
    assert decimals
    assert decimals - set(means(study)) == set()


def test_every_decimal_that_is_said_of_speed_is_in_the_benchmarks_table():
    decimals = set(re.findall(r"\d+\.\d+x?", marked("docs/benchmarks.md", "speed")))
    assert len(decimals) > 20
    assert decimals - set(re.findall(r"\d+\.\d+x?", page("lab/benchmarks/RESULTS.md"))) == set()


def test_no_figure_of_these_studies_stands_outside_their_marks():
    for name in ("experiments", "benchmarks"):
        rest = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", page(f"docs/{name}.md"), flags=re.DOTALL)
        assert not DECIMAL.findall(BLOCK.sub("", rest))


def test_the_accuracies_from_right_and_wrong_pixels_are_those_of_their_table():
    table = pd.read_csv(ROOT / "lab/backbone/pixels.csv")
    measured = [f"{100 * accuracy:.1f}" for accuracy in table["test_accuracy"]]
    assert DECIMAL.findall(marked("docs/experiments.md", "pixels")) == measured


def seed_spread(measure):
    table = pd.read_csv(ROOT / "lab/experiments/results/augmentation.csv")
    by_setting = table.groupby("setting")[measure]
    return 100 * (by_setting.max() - by_setting.min()).max()


def test_seeds_of_one_setting_differ_by_as_much_as_is_said():
    said = marked("docs/experiments.md", "augmentation")
    assert "by up to a point and a half on clean images and two and a half under corruption" in said
    assert seed_spread("accuracy") == pytest.approx(1.5, abs=0.1)
    assert seed_spread("corrupted_accuracy") == pytest.approx(2.5, abs=0.1)


def test_what_is_unfrozen_of_lite0_takes_as_long_as_is_said():
    said = marked("docs/experiments.md", "systems")
    assert "takes no longer" in said and "takes over six times as long" in said
    table = pd.read_csv(ROOT / "lab/experiments/results/systems.csv").query("setting == 'efficientnet_lite0'")
    seconds = table.set_index("variant")["train_seconds"]
    assert seconds["layer4"] <= seconds["fc"] and seconds["full"] > 6 * seconds["fc"]


def test_pixels_pay_and_above_them_chance_decides():
    assert "are within half a point of it" in marked("docs/experiments.md", "recipes")
    table = pd.read_csv(ROOT / "lab/experiments/results/recipes.csv").set_index("setting")
    gain = table["val_accuracy"] - table["val_accuracy"]["96px_6"]
    assert gain["64px_12"] < -0.02
    assert gain.drop("64px_12").abs().max() <= 0.005
    seconds = table["train_seconds"]
    assert seconds["96px_6"] < 1.2 * seconds["64px_12"]
    assert seconds.drop("64px_12").idxmin() == "96px_6"


def test_seeds_tell_apart_what_is_said_and_no_more():
    said = marked("docs/experiments.md", "data_size")
    assert "`layer4` (84.8 %) and `scratch` (84.2 %) are level" in said
    assert "on clean images `full` and `layer4` (77.1 %) are level at 1,000" in said
    assert (
        "At 10,000, and under corruption at both sizes, `full` leads the next depth by more than the standard" in said
    )
    assert "The seeds of `scratch` lie four points apart, so that lead is within seed noise" in said
    clean, corrupted = by_size("accuracy"), by_size("corrupted_accuracy")
    quiet, noise = spread("accuracy"), spread("corrupted_accuracy")
    for mean, deviation, size, leads in (
        (clean, quiet, 1000, False),
        (clean, quiet, 10000, True),
        (corrupted, noise, 1000, True),
        (corrupted, noise, 10000, True),
    ):
        lead = mean["full"][size] - mean["layer4"][size]
        assert (lead > deviation["full"][size] + deviation["layer4"][size]) == leads
    assert clean["layer4"][10000] - clean["scratch"][10000] < quiet["layer4"][10000] + quiet["scratch"][10000]
    assert corrupted["full"][10000] - corrupted["scratch"][10000] < noise["full"][10000] + noise["scratch"][10000]
    table = pd.read_csv(ROOT / "lab/experiments/results/data_size.csv")
    small = table.query("train_images == 10000 and variant == 'scratch'")["corrupted_accuracy"]
    assert 0.04 <= small.max() - small.min() < 0.05


def test_after_scaling_no_more_error_is_left_than_is_said():
    assert "After scaling at most 0.014 is left, but for `scratch` with 1,000 images (0.027)" in marked(
        "docs/experiments.md", "data_size"
    )
    left = by_size("ece_after")
    assert f"{left['scratch'][1000]:.3f}" == "0.027"
    assert f"{left.stack().drop((1000, 'scratch')).max():.3f}" == "0.014"


def test_the_limits_say_by_how_much_seeds_differ():
    said = "their standard deviation is up to one point on clean images and a little over two under corruption"
    assert said in page("docs/limits.md")
    assert 0.005 < spread("accuracy").max(axis=None) <= 0.01
    assert 0.02 < spread("corrupted_accuracy").max(axis=None) < 0.025


def test_the_epochs_for_few_pictures_are_those_of_the_study_of_1000_images():
    _, changes = STUDIES["data_size"].settings["1k"]
    params = read_params(ROOT / "params.yaml")
    more = {
        f"-S {key}={value}"
        for key, value in changes.items()
        if key.endswith(".epochs") and changed(params, {key: value}) != params
    }
    (line,) = (line for line in page("docs/your-pictures.md").splitlines() if "Few pictures need more epochs" in line)
    assert set(re.findall(r"-S [\w.]+=\d+", line)) == more


def test_limits_say_of_the_maps_what_their_checks_found():
    said = page("docs/limits.md")
    beaten = "All three kinds beat places chosen at random and, on the 100 images of this run, the image's centre."
    assert beaten in said and PARAMS["gradcam"]["faithfulness_images"] == 100
    assert "LayerCAM's maps hardly depend on what was learned" in said
    checks = read_json(ROOT / "metrics/attribution.json")["checks"]
    failed = {check["check"] for check in checks if not check["passed"]}
    for rival in ("random places", "the image's centre"):
        assert sum(rival in check["check"] for check in checks) == 3
    assert failed == {
        "LayerCAM shows something else for an untrained head",
        "LayerCAM shows something else for an untrained network",
    }


def test_the_limits_quote_what_was_measured():
    summary = read_json(ROOT / "metrics/summary.json")
    top1 = re.search(r"\| and third .*? \| (\S+) %", page("lab/backbone/README.md")).group(1)
    expected = {top1, f"{summary['layer4']['temperature']:.2f}"}
    assert set(DECIMAL.findall(page("docs/limits.md"))) == expected


def test_full_was_still_improving_at_its_last_epochs():
    table = pd.read_csv(ROOT / "plots/report/learning_curves.csv").query("variant == 'full' and phase == 'full'")
    assert table["val_accuracy"].iloc[-3:].is_monotonic_increasing


def test_the_example_of_another_variant_has_the_figures_of_both():
    assert PARAMS["freeze"] == "full"
    summary = read_json(ROOT / "metrics/summary.json")
    example = marked("docs/parameters.md", "example")
    lines = re.findall(r"^metrics/summary.json  published\.(\w+)(.*)$", example, re.MULTILINE)
    assert {"accuracy", "ece_after", "temperature"} <= {name for name, _ in lines}
    for name, values in lines:
        before, after = summary["full"][name], summary["layer4"][name]
        expected = [round(value, 5) for value in (before, after, after - before)]
        assert [float(value) for value in values.split()] == expected


# The tutorial


def test_the_tutorial_shows_the_lines_that_the_quickstart_prints():
    shown, source = page("docs/tutorial.md"), page("how_deep/quickstart.py")
    for line in re.findall(r"^(?:Dataset|The variants|Open runs|Classify|`dvc exp show`).*", shown, re.MULTILINE):
        words = max(re.split(r"digits|runs/quickstart|quickstart|\[\.\.\.\]", line), key=len).strip()
        assert len(words) > 15
        assert words in re.sub(r'"\s+"', "", source), line


def test_the_tutorial_s_table_has_the_columns_and_variants_of_today():
    block = page("docs/tutorial.md").split("at a small size:\n\n")[1].split("\n\n")[0].splitlines()
    assert re.split(r"\s{2,}", block[0].replace("variant  what", "variant   what")) == list(HEADINGS)
    assert tuple(line.split()[0] for line in block[1:]) == variants(PARAMS)


def test_the_tutorial_agrees_with_itself():
    shown = page("docs/tutorial.md")
    accuracy = dict(re.findall(r"^(\w+) .*?\)\s+(\d\d\.\d\d) %", shown, re.MULTILINE))
    row = re.search(r"published\.accuracy\s+(\S+)\s+(\S+)\s+(\S+)", shown).groups()
    before, after, change = map(float, row)
    assert [f"{100 * before:.2f}", f"{100 * after:.2f}"] == [accuracy["full"], accuracy["layer4"]]
    assert change == pytest.approx(after - before, abs=2e-5)


def test_the_tutorial_s_numbers_of_images_are_those_of_the_quickstart():
    shown = page("docs/tutorial.md")
    assert f"{quickstart.SIZES['cifar10']['data.train']:,} of its images" in shown
    assert f"{quickstart.SIZES['digits']['data.test']} test images" in shown
    assert f"{quickstart.SHORT['corrupt_eval.images']} images" in shown
    assert f"data.train={quickstart.SIZES['digits']['data.train']}" in shown
