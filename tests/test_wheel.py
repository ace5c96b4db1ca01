"""What is given to people: a wheel with the compiled scan, for every Python of the platform."""

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from oddframe.ops.native import available

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_wheel_of_the_sdist_holds_all_that_runs_and_nothing_else(tmp_path):
    """Built from the sdist, so that what that lacks is missed."""
    if find_spec("build") is None:
        pytest.skip("needs `pip install build`, as `make wheel` does")
    if available() is not None:
        pytest.skip(f"no compiled scan here: {available()}")
    command = [sys.executable, "-m", "build", "-o", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith("oddframe-")
    assert "-py3-none-" in wheel.name, "the libraries know nothing of Python"
    names = set(zipfile.ZipFile(wheel).namelist())
    built = {Path(p).name for p in (ROOT / "src/oddframe/ops/native").glob("*.so")}
    assert {Path(n).name for n in names if n.endswith(".so")} == built != set()
    kept = [
        p for p in (ROOT / "src").rglob("*") if p.suffix in (".py", ".css", ".js", ".sql", ".html")
    ]
    assert {p.relative_to(ROOT / "src").as_posix() for p in kept} <= names
    assert not [n for n in names if n.endswith((".c", ".h", ".o")) or n.startswith("tests/")]
    assert any(n.endswith("licenses/LICENSE") for n in names)
