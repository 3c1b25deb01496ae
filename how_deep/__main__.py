"""The command `how-deep`, or `python -m how_deep`: what can be done with a clone of the project besides `dvc`."""

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = {  # the module of each, and what it does
    "run": ("how_deep.quickstart", "the whole pipeline at a small size, as a DVC experiment: minutes on a laptop"),
    "app": ("how_deep.app", "the networks in a browser, on pictures and a webcam"),
    "plots": ("how_deep.plots", "dvc plots as one page that needs no network; `plots diff HEAD~1` compares"),
    "track": ("how_deep.track", "runs to MLflow or Weights & Biases"),
    "hub": ("how_deep.hub", "the published model as the Hugging Face hub expects it; sends nothing"),
    "experiments": ("lab.experiments.__main__", "studies of augmentation, data size and other systems"),
    "bench": ("lab.benchmarks.__main__", "speed beside what people would use instead"),
    "faults": ("lab.faults.__main__", "every fault tried many times on a small study"),
}


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {does}" for name, (_, does) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: how-deep COMMAND [ARGUMENT ...]",
            "",
            *lines,
            "",
            "`how-deep COMMAND --help` says more. `dvc repro` runs the whole study, `python inference.py` classifies.",
        ]
    )


def main() -> None:
    """Exits with status 2, after one line, where the command is unknown or the project is not here."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return
    if name not in COMMANDS:
        sys.exit(f"how-deep: there is no command {name!r}: choose {', '.join(COMMANDS)}")
    if not (ROOT / "dvc.yaml").is_file():
        sys.exit(
            f"how-deep: {ROOT} holds no dvc.yaml: the commands work in a clone of the project, installed there with "
            "`pip install --editable .`"
        )
    if Path.cwd() != ROOT:
        sys.exit(f"how-deep: change to the project's folder first: cd {ROOT}")
    sys.argv = [f"how-deep {name}", *arguments]
    import_module(COMMANDS[name][0]).main()


if __name__ == "__main__":
    main()
