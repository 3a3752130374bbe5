"""The README does what it says."""

import pathlib
import re

import pytest
from backends import tensorflow_only
from click.testing import CliRunner

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@tensorflow_only
@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.splitlines()[-1])
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_targets_and_commands_exist():
    from keras_wcd.cli import main

    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?<!data )\bmake (\w+)", README):
        assert f"\n{target}:" in makefile, target
    for command in re.findall(r"keras-wcd (demo|complete|distill|train|runs|evaluate|export|bench|web|data)\b", README):
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


def test_the_table_holds_every_loss():
    from keras_wcd.losses import LOSSES

    for loss in LOSSES.values():
        assert f"`{loss.__name__}" in README
