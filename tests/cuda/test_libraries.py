"""The libraries that a binary needs, of the binaries that are here, and loading them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resnet_serve.cuda import libraries
from resnet_serve.errors import InputFileError

COMPILER = shutil.which("cc") or shutil.which("gcc")


def compiled(folder: Path, name: str, *needs: Path) -> Path:
    """A library of one function, linked to others."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    source = folder / f"{name}.c"
    source.write_text(f"int {name}(void) {{ return 0; }}\n")
    made = folder / f"lib{name}.so.7"
    subprocess.run(
        [
            *(COMPILER, "-shared", "-fPIC", "-o", made, source),
            *(f"-Wl,-soname,{made.name}", "-Wl,--no-as-needed", *needs),
        ],
        check=True,
    )
    return made


def test_numpys_extensions_need_the_c_library() -> None:
    (binary,) = Path(np.__file__).parent.glob("core/_multiarray_umath.*.so")
    assert {"libc.so.6", "libm.so.6"} <= set(libraries.needed(binary))


def test_the_names_are_those_it_was_linked_to_in_order(tmp_path: Path) -> None:
    first, second = compiled(tmp_path, "first"), compiled(tmp_path, "second")
    found = libraries.needed(compiled(tmp_path, "third", second, first))
    assert found[:2] == ("libsecond.so.7", "libfirst.so.7")


@pytest.mark.parametrize("data", [b"", b"text", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01" + bytes(60)])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(data)
    with pytest.raises(InputFileError, match="no shared library"):
        libraries.needed(path)
    with pytest.raises(InputFileError, match="no shared library"):
        libraries.needed(tmp_path / "missing.so")


def test_a_file_cut_anywhere_is_refused_or_read(tmp_path: Path) -> None:
    whole = compiled(tmp_path, "whole").read_bytes()
    path = tmp_path / "cut.so"
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        try:
            assert libraries.needed(path) is not None
        except InputFileError as error:
            assert error.where == str(path)


def test_what_cannot_be_loaded_is_named_with_the_reason() -> None:
    found = libraries.load(["libc.so.6", "libnothing.so.13", "libm.so.6"])
    assert list(found) == ["libnothing.so.13"]
    assert "No such file" in found["libnothing.so.13"]


SCRIPT = """
import sys
from resnet_serve.cuda import libraries
print(libraries.load(sys.argv[1:]))
"""


def test_nvidias_wheels_are_searched_and_one_library_may_need_another(tmp_path: Path) -> None:
    """As `pip install` leaves them: outside the loader's path, in any order, in a new process."""
    place = tmp_path / "site" / "nvidia" / "cu99" / "lib"
    place.mkdir(parents=True)
    base = compiled(place, "base")
    compiled(place, "above", base)
    names = ("libabove.so.7", "libbase.so.7", "libabsent.so.7")
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        env={"PYTHONPATH": ":".join([str(tmp_path / "site"), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "libabsent.so.7" in ended.stdout
    assert "libabove" not in ended.stdout
    assert "libbase" not in ended.stdout
