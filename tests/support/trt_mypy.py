"""mypy over our TensorRT code and over broken copies of it, with the bindings' stubs as `tensorrt`.

One run checks everything: the real modules, and one copy for each misspelt attribute. Other
packages are not followed: the check is of our use of TensorRT, and the run stays short.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kept import ROOT

from resnet_serve import durable

CONFIGURATION = """\
[mypy]
strict = True
python_version = {python}
mypy_path = {path}
explicit_package_bases = True
namespace_packages = True
show_column_numbers = True
show_error_context = False
follow_imports = skip
ignore_missing_imports = True
# Packages that are not followed are Any here; the project's own run of mypy reads them.
disallow_subclassing_any = False
disallow_any_generics = False
disallow_untyped_decorators = False
disallow_untyped_calls = False
warn_return_any = False
# Without TensorRT the project's own run needs comments that this one does not.
warn_unused_ignores = False
warn_redundant_casts = False

[mypy-tensorrt.*,tensorrt_rtx_bindings.*]
follow_imports = normal
# What C++ overloads may do and Python's may not.
disable_error_code = overload-overlap, overload-cannot-match, override, misc

[mypy-resnet_serve.*,resnet_convert.*,resnet_client.*]
follow_imports = silent
"""
_LINE = re.compile(r"(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): (?P<kind>\w+): (?P<text>.*)$")
_TIMEOUT_S = 240


@dataclass(frozen=True)
class Message:
    """One line of mypy's. `kind` is "error" or "note"."""

    file: Path
    line: int
    column: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}: {self.text}"


def check(
    stubs: Path, files: list[Path], folder: Path, cache: Path
) -> Mapping[Path, list[Message]]:
    """mypy's lines by file: those in `folder` and in the stubs, and our own sources.

    What the versions of the bindings share is kept in `cache`, which has one run at a time.
    """
    roots = [stubs, ROOT, ROOT / "convert", ROOT / "clients" / "python"]
    configuration = folder / "mypy.ini"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = CONFIGURATION.format(path=":".join(map(str, roots)), python=python)
    configuration.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(configuration)]
    command += ["--cache-dir", str(cache), "--no-pretty", "--no-error-summary"]
    stub = stubs / "tensorrt" / "__init__.pyi"
    cache.mkdir(exist_ok=True)
    with durable.locked(cache):
        done = subprocess.run(
            [*command, str(stub), *map(str, files)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    if done.returncode > 1 or done.stderr:
        raise AssertionError(f"mypy did not run: {(done.stderr or done.stdout)[-2000:]}")
    said: defaultdict[Path, list[Message]] = defaultdict(list)
    for line in done.stdout.splitlines():
        match = _LINE.match(line)
        if match is None:
            raise AssertionError(f"a line of mypy's that nobody can read: {line}")
        path = (folder / match["file"]).resolve()
        where = int(match["line"]), int(match["column"])
        said[path].append(Message(path, *where, match["kind"], match["text"]))
    return said
