"""Which package may import which. A package is the border of recomputation: what it imports makes its stages stale."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST = 12  # modules of a package, beside its __init__.py

ALLOWED = {  # of the packages of study/; no more than is used
    "pipeline": set(),
    "drawing": set(),
    "light_resnet": set(),  # torch alone, so that an edit of anything else leaves the network as it is
    "data": {"pipeline"},
    "evaluation": {"pipeline"},
    "corruption": {"pipeline"},
    "networks": {"light_resnet", "pipeline"},
    "sources": {"data", "networks", "pipeline"},
    "features": {"data", "networks", "pipeline"},
    "training": {"data", "features", "networks", "pipeline"},
    "adaptation": {"networks", "pipeline"},
    "conformal": {"evaluation", "pipeline"},
    "label_errors": {"evaluation", "pipeline"},
    "ood": {"networks", "pipeline", "sources"},
    "attacks": {"networks", "pipeline"},
    "attribution": {"corruption", "drawing", "evaluation", "networks", "pipeline"},
    "publishing": {"attribution", "drawing", "networks", "sources"},
    "reporting": {"data", "drawing", "evaluation", "label_errors", "pipeline"},
}
OURS = {"study", "stages", "how_deep", "lab", "tests"} | {path.stem for path in ROOT.glob("*.py")}

MODULES = sorted(ROOT.glob("study/**/*.py"))
STAGES = sorted(ROOT.glob("stages/*.py"))


def named(path):
    return str(path.relative_to(ROOT))


def imports(path):
    """The modules that the file imports, wherever in it, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def packages(path):
    """The packages of study/ that the file imports from, but for its own."""
    of_study = {name.split(".")[1] for name in imports(path) if name.startswith("study.")}
    return of_study - {path.parent.name}


def in_order(graph):
    """The nodes, each behind those that it imports."""
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as cycle:
        pytest.fail(f"a cycle: {' <- '.join(map(str, cycle.args[1]))}")


def test_every_package_has_its_line():
    assert set(ALLOWED) == {path.parent.name for path in ROOT.glob("study/*/__init__.py")}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_imports_what_its_package_may(path):
    if path.parent != ROOT / "study":
        found = {name for name in imports(path) if name.startswith("study.")}
        allowed = ALLOWED[path.parent.name] | {path.parent.name}
        assert not {name for name in found if name.split(".")[1] not in allowed}, named(path)


@pytest.mark.parametrize("package", ALLOWED)
def test_the_table_allows_nothing_that_is_not_used(package):
    used = set().union(*map(packages, ROOT.glob(f"study/{package}/*.py")))
    assert used == ALLOWED[package]


def test_no_package_imports_itself_through_others():
    assert set(in_order(ALLOWED)) == set(ALLOWED)


def test_no_module_imports_itself_through_others():
    graph = {}
    for path in MODULES:
        froms = imports(path) | {name.rpartition(".")[0] for name in imports(path)}
        graph[path] = {module for name in froms if (module := ROOT / f"{name.replace('.', '/')}.py") in MODULES}
    assert sum(map(len, graph.values())) > len(graph)  # the imports were found
    in_order(graph)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_the_library_imports_nothing_of_ours_but_itself_and_by_full_names(path):
    for name in imports(path):
        assert not name.startswith("."), f"{named(path)} imports {name}: write the full name"
        assert name.split(".")[0] not in OURS - {"study"}, f"{named(path)} imports {name}"


@pytest.mark.parametrize("path", STAGES, ids=named)
def test_a_stage_imports_the_library_and_no_other_stage(path):
    for name in imports(path):
        assert not name.startswith("."), f"{named(path)} imports {name}: write the full name"
        assert name.split(".")[0] not in OURS - {"study"}, f"{named(path)} imports {name}"


@pytest.mark.parametrize("folder", ["study", "lab", "how_deep"])
def test_no_package_holds_more_modules_than_can_be_overlooked(folder):
    sizes = {}
    for path in ROOT.glob(f"{folder}/**/*.py"):
        sizes.setdefault(named(path.parent), []).append(path.name)
    assert sizes
    crowded = {package: names for package, names in sizes.items() if len(set(names) - {"__init__.py"}) > MOST}
    assert not crowded


@pytest.mark.parametrize("path", sorted(ROOT.glob("study/**/__init__.py")), ids=named)
def test_a_package_s_init_is_empty(path):
    assert path.read_text() == ""


def test_every_folder_of_modules_is_a_package():
    assert all((path.parent / "__init__.py").exists() for path in MODULES)
