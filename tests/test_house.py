"""The layout: where tests are, how big files and folders are, and that everything is documented."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import tree_map
from source_tree import PACKAGES, ROOT, SCRIPTS, SOURCES, TESTS, package_of, shown, undocumented
from tested_elsewhere import TESTED_ELSEWHERE

from resnet_serve import __version__

MOST_LINES = 300
MOST_MODULES = 14  # in one folder of a package, without its __init__
DRAWERS = {"util", "utils", "helper", "helpers", "common", "misc", "tools"}
TEST_FOLDERS = {
    "resnet_serve": ROOT / "tests",
    "resnet_convert": ROOT / "tests" / "convert",
    "resnet_client": ROOT / "tests" / "client",
}


def mirrored(path: Path) -> Path:
    """Where the tests of a module belong."""
    package = package_of(path)
    inside = path.relative_to(PACKAGES[package])
    return TEST_FOLDERS[package] / inside.parent / f"test_{inside.name}"


MODULES = [path for path in SOURCES if path.name != "__init__.py"]


def misplaced(path: Path) -> str | None:
    """What is wrong with the place of a module's tests."""
    elsewhere = TESTED_ELSEWHERE.get(shown(path))
    if elsewhere is None:
        return None if mirrored(path).is_file() else f"{shown(mirrored(path))} is missing"
    place, reason = elsewhere
    if mirrored(path).exists():
        return f"{shown(path)} has tests of its own name now: remove the reason"
    if not (ROOT / place).exists():
        return f"there is no {place}, where {shown(path)} is said to be tested"
    return None if reason else f"{shown(path)} is tested elsewhere for no reason"


# One test for all files, as in test_words.py: thousands would take seconds to list and to report.
def test_a_module_has_tests_in_its_place_or_a_reason() -> None:
    wrong = [found for path in MODULES if (found := misplaced(path))]
    assert not wrong, "\n".join(wrong)


def test_every_reason_is_of_a_module() -> None:
    assert set(TESTED_ELSEWHERE) <= {shown(path) for path in MODULES}


# --- how big, how named -----------------------------------------------------------------------


def test_a_module_has_a_docstring_and_few_lines() -> None:
    wrong = []
    for path in SOURCES + SCRIPTS + TESTS:
        text = path.read_text(encoding="utf-8")
        if not ast.get_docstring(ast.parse(text)):
            wrong.append(f"{shown(path)} has no docstring")
        if path not in TESTS and len(text.splitlines()) > MOST_LINES:
            wrong.append(f"{shown(path)} has more than {MOST_LINES} lines")
    assert not wrong, "\n".join(wrong)


def test_folders_are_small() -> None:
    modules = Counter(shown(path.parent) for path in MODULES)
    full = {folder: count for folder, count in modules.items() if count > MOST_MODULES}
    assert not full, f"more than {MOST_MODULES} modules: {full}"


def test_no_module_is_a_drawer() -> None:
    drawers = [
        shown(path)
        for path in SOURCES + SCRIPTS + TESTS
        if DRAWERS & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    ]
    assert not drawers, drawers


# --- how documented ---------------------------------------------------------------------------


def test_everything_public_has_a_docstring() -> None:
    missing = [each for path in SOURCES + SCRIPTS for each in undocumented(path)]
    assert not missing, "\n".join(missing)


def test_the_map_in_contributing_is_of_this_tree() -> None:
    text = tree_map.DOCUMENT.read_text(encoding="utf-8")
    assert tree_map.BEGIN in text
    assert tree_map.updated(text) == text, "run make map"


# --- how checked and released -----------------------------------------------------------------

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_mypy_reads_everything_but_the_tests_of_this_host() -> None:
    read = [ROOT / name for name in PYPROJECT["tool"]["mypy"]["files"]]
    others = ("benchmarks", "docs/site", "examples", "tests/gpu")
    places = {*PACKAGES.values(), *(ROOT / name for name in others)}
    assert set(read) == places
    assert PYPROJECT["tool"]["mypy"].get("exclude", []) == []


def test_the_version_is_written_in_one_place() -> None:
    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "resnet_serve/__init__.py"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {__version__}" in changelog


def test_the_table_of_kinds_names_tests_that_exist() -> None:
    """docs/tested-inputs.md: every kind of input and the test that holds it."""
    table = (ROOT / "docs/tested-inputs.md").read_text(encoding="utf-8")
    named = re.findall(r"\| `([\w/]+\.py)(?:::(\w+))?` \|", table)
    assert len(named) > 40
    for path, test in named:
        source = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, (path, test)


def test_the_table_of_promises_names_tests_that_exist() -> None:
    """docs/security.md: what is promised of the server and the test that holds it."""
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    named = re.findall(r"\| `(tests/[\w/]+\.py)` \|", text)
    assert len(named) > 8
    missing = [path for path in named if not (ROOT / path).is_file()]
    assert not missing
