"""Certificates for tests of TLS: an authority, and a server's and a client's that it signed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_IN_TEN_YEARS = ("-days", "3650", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def make(folder: Path) -> None:
    """`authority`, `server` and `client` in a folder: files `NAME.pem` and `NAME.key`."""
    openssl = shutil.which("openssl") or pytest.skip("making certificates needs openssl")

    def sign(name: str, *more: str) -> None:
        words = ["req", "-x509", *_IN_TEN_YEARS, "-subj", f"/CN={name}", "-keyout", f"{name}.key"]
        words += ["-out", f"{name}.pem", *more]
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    sign("authority")
    signed = ("-CA", "authority.pem", "-CAkey", "authority.key")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    for name in ("server", "client"):
        sign(name, *signed, "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE")


def expire(folder: Path, name: str) -> Path:
    """`NAME.expired.pem`: the certificate of a folder as one that ended yesterday."""
    openssl = shutil.which("openssl") or pytest.skip("making certificates needs openssl")
    made = folder / f"{name}.expired.pem"
    words = ["x509", "-in", f"{name}.pem", "-signkey", f"{name}.key", "-days", "-1", "-out", made]
    subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)
    return made
