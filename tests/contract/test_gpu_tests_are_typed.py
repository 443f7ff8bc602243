"""The tests that only a GPU host runs: here at least their names and types are held to the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_mypy_finds_nothing_wrong_in_them() -> None:
    options = ["--disable-error-code=untyped-decorator", "--no-warn-unused-ignores"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            *options,
            *sorted(map(str, (ROOT / "tests/gpu").glob("*.py"))),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "no issues found in 3 source files" in done.stdout


def test_a_misspelt_name_would_be_found(tmp_path: Path) -> None:
    text = (ROOT / "tests/gpu/test_engines_on_a_gpu.py").read_text(encoding="utf-8")
    wrong = tmp_path / "test_wrong.py"
    wrong.write_text(text.replace("built.inspection.wrong", "built.inspection.wrogn"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(wrong)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert '"Inspection" has no attribute "wrogn"' in done.stdout
