"""Finding the two packages of TensorRT-RTX: what is said where something is missing or wrong."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_serve.errors import HostError
from resnet_serve.runtimes import tensorrt_rtx_library as library

INSTALL = "pip install 'resnet-serve[tensorrt-rtx]'"
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Packages with empty files, as they would lie in site-packages, alone on the path."""
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, library.MODULE, raising=False)
    monkeypatch.delitem(sys.modules, library.LIBRARIES, raising=False)

    def make(
        *, libraries: str | None = "1.7.1", bindings: str | None = "1.7.1.116", known: bool = True
    ) -> Path:
        if libraries is not None:
            folder = tmp_path / library.LIBRARIES
            folder.mkdir()
            (folder / "__init__.py").touch()
            for stem in ("libtensorrt_rtx.so", "libtensorrt_onnxparser_rtx.so"):
                for name in (f"{stem}.{libraries}", f"{stem}.1", stem):
                    (folder / name).write_bytes(b"no library")
        if bindings is not None:
            (tmp_path / library.MODULE).mkdir()
            (tmp_path / library.MODULE / "__init__.py").touch()
            if known:
                facts = tmp_path / f"tensorrt_rtx_cu13_bindings-{bindings}.dist-info"
                facts.mkdir()
                named = f"Name: {library.BINDINGS[0]}\nVersion: {bindings}\n"
                (facts / "METADATA").write_text(f"Metadata-Version: 2.1\n{named}")
        return tmp_path

    return make


def test_both_packages_of_one_version(install: Install) -> None:
    folder = install() / library.LIBRARIES
    found = library.find()
    assert found.version == "1.7.1.116"
    assert found.shared == (
        folder / "libtensorrt_rtx.so.1.7.1",
        folder / "libtensorrt_onnxparser_rtx.so.1.7.1",
    )


@pytest.mark.parametrize(
    ("without", "names"),
    [
        ({"libraries": None}, "onnxruntime_ep_nv_tensorrt_rtx not found"),
        ({"bindings": None}, "tensorrt_rtx_bindings not found"),
        (
            {"libraries": None, "bindings": None},
            "onnxruntime_ep_nv_tensorrt_rtx and tensorrt_rtx_bindings not found",
        ),
    ],
)
def test_a_package_that_is_missing(without: dict[str, None], names: str, install: Install) -> None:
    install(**without)
    with pytest.raises(HostError, match=names) as refusal:
        library.find()
    assert refusal.value.remedy == INSTALL
    assert refusal.value.exit_code == 4


def test_packages_of_two_versions(install: Install) -> None:
    install(bindings="1.6.1.120")
    with pytest.raises(HostError, match=r"version 1\.6\.1\.120, its libraries .* 1\.7\.1") as error:
        library.load()
    assert error.value.remedy == f"{INSTALL} --force-reinstall"


def test_bindings_without_a_version(install: Install) -> None:
    install(known=False)
    with pytest.raises(HostError, match="cannot be compared"):
        library.find()


def test_a_package_without_its_libraries(install: Install) -> None:
    folder = install() / library.LIBRARIES
    (folder / "libtensorrt_onnxparser_rtx.so.1.7.1").unlink()
    with pytest.raises(HostError, match=r"there is no libtensorrt_onnxparser_rtx\.so"):
        library.find()


def test_a_library_that_cannot_be_loaded(install: Install) -> None:
    install()
    with pytest.raises(HostError, match=r"1\.7\.1\.116 cannot be loaded \(.*\)") as refusal:
        library.load()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("system", "machine", "libc", "says"),
    [
        ("Darwin", "arm64", ("", ""), "this is Darwin on arm64"),
        ("Linux", "aarch64", ("glibc", "2.36"), "this is Linux on aarch64"),
        ("Linux", "x86_64", ("glibc", "2.17"), "this has glibc 2.17"),
        ("Linux", "x86_64", ("", ""), "this has another C library"),
    ],
)
def test_a_platform_without_packages(
    system: str,
    machine: str,
    libc: tuple[str, str],
    says: str,
    install: Install,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(libraries=None, bindings=None)
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    with pytest.raises(HostError, match=says) as refusal:
        library.find()
    assert "pip" not in str(refusal.value)
