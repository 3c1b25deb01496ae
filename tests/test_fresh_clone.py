"""A fresh clone, as a newcomer has it: the bytes that were committed, and the commands that README begins with."""

import re
import subprocess

from tests.test_dvc_yaml import ROOT

BINARY = (".png", ".safetensors")


def test_a_clone_has_the_committed_bytes_though_git_is_told_to_write_carriage_returns(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path / "origin", check=True, capture_output=True)

    contents = {
        ".gitattributes": (ROOT / ".gitattributes").read_bytes(),
        "study/code.py": b"first = 1\nsecond = 2\n",
        "metrics/table.csv": b"variant,accuracy\nfc,0.5\n",
        "report.html": b"<p>\n</p>\n",
        "plots/drawn.png": b"\x89PNG\r\n text that git could take for text\n",
        "weights/trained.safetensors": b"{}\r\n\n",
    }
    for name, content in contents.items():
        (tmp_path / "origin" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "origin" / name).write_bytes(content)
    git("init")
    git("-c", "core.autocrlf=true", "add", "--all")
    git("commit", "--message", "Start")
    git("clone", "-c", "core.autocrlf=true", ".", str(tmp_path / "clone"))
    assert {name: (tmp_path / "clone" / name).read_bytes() for name in contents} == contents


def test_every_tracked_file_is_text_with_line_feeds_alone_or_is_left_as_it_is():
    listed = subprocess.check_output(["git", "ls-files", "--eol", "-z"], cwd=ROOT, text=True).split("\0")[:-1]
    found = dict(reversed(line.split("\t")) for line in listed)  # "i/lf w/lf attr/text=auto eol=lf", with more spaces
    text = {name for name, told in found.items() if re.match(r"i/(lf|none) .* attr/text=auto eol=lf", told)}
    kept = {name for name, told in found.items() if " attr/-text" in told}
    assert text | kept == found.keys()
    assert kept == {name for name in found if name.endswith(BINARY)} | {"study/label_errors/cifar10.csv"}


def test_ci_types_the_commands_that_readme_begins_with_in_an_empty_environment():
    (block, *_) = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    commands = [line.split("#")[0].strip() for line in block.splitlines()]
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert commands == ["make run", "make test"]
    assert re.findall(r'^env -i "\$\{kept\[@\]\}" (.*)$', script, re.MULTILINE) == commands
    before, _ = script.split("env -i", 1)
    assert not re.search(r"^\s*(make|.*\bpip|.*python)\b", before, re.MULTILINE)
