"""The line about missing recordings at the end of a run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = """
import pytest
from shared import DATA, ORACLES

@pytest.mark.parametrize("name", ["a", "b"])
def test_of_a_recording(name):
    pytest.skip(f"no recorded results at {ORACLES / name}")

@pytest.mark.skipif(not DATA.is_dir(), reason="the clouds of ../shared/data are not here")
def test_of_real_clouds():
    pass

@pytest.mark.skip(reason="another machine's")
def test_of_something_else():
    pass
"""


@pytest.mark.parametrize("there", [False, True])
def test_a_run_says_how_many_tests_wait_for_recordings(tmp_path, there):
    tests = tmp_path / "clone" / "tests"
    (tests / "helpers").mkdir(parents=True)
    shutil.copy(HERE / "conftest.py", tests)
    shutil.copy(HERE / "helpers" / "shared.py", tests / "helpers")
    (tests / "test_a.py").write_text(PROGRAM)
    if there:
        (tmp_path / "shared").mkdir()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tests), str(tests)]
    environment = {**os.environ, "KERAS_BACKEND": "numpy", "PYTHONPATH": str(tests / "helpers")}
    done = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 5), done.stdout + done.stderr
    assert ("recordings beside the checkout are missing: 3 tests skipped" in done.stdout) is not there
