"""`dvc plots show` as one page that needs no network: `how-deep plots`, or `make plots`.

DVC's own page loads Vega from the web. Arguments go on to DVC: `how-deep plots diff HEAD~1`.
"""

import subprocess
import sys
from pathlib import Path

import vl_convert

TEMPLATE = Path(".cache/plots.html")
VEGA_LITE = "5.8"  # the version that DVC's templates are written for


def main() -> None:
    TEMPLATE.parent.mkdir(exist_ok=True)
    script = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]  # optional, despite its stub
    TEMPLATE.write_text(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Plots</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<script>{script}</script>\n</head>\n<body>\n{{plot_divs}}\n</body>\n</html>\n",
        encoding="utf-8",
    )
    command, *others = sys.argv[1:] or ["show"]
    dvc = [sys.executable, "-m", "dvc", "plots", command, *others, "--html-template", str(TEMPLATE.resolve())]
    sys.exit(subprocess.run(dvc).returncode)


if __name__ == "__main__":
    main()
