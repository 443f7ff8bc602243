"""The price table: what is read, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.errors import InputFileError
from resnet_serve.planning import machines
from resnet_serve.planning.machines import Machine


def table(folder: Path, text: str) -> Path:
    path = folder / "prices.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_read(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "\ufeffmachine,price_per_hour,speed,measurements\n"
        "small,0.1,,\nlarge, 0.3 ,3.5,\nown,1,,own.json\n",
    )
    assert machines.read(path) == (
        Machine("small", 0.1),
        Machine("large", 0.3, 3.5),
        Machine("own", 1.0, 1.0, tmp_path / "own.json"),
    )
    assert machines.read(table(tmp_path, "price_per_hour,machine\n2,small\n")) == (
        Machine("small", 2.0),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column machine"),
        ("machine\nsmall\n", "no column price_per_hour"),
        ("machine,price_per_hour,cores\nsmall,1,2\n", "a column 'cores'"),
        ("machine,price_per_hour\n", "no machine"),
        ("machine,price_per_hour\nsmall\n", "another number of columns"),
        ("machine,price_per_hour\nsmall,1,2\n", "another number of columns"),
        ("machine,price_per_hour\n,1\n", "no name"),
        ("machine,price_per_hour\nsmall,$1\n", r"prices.csv:2: the price_per_hour is '\$1'"),
        ("machine,price_per_hour\nsmall,0\n", "not a number above 0"),
        ("machine,price_per_hour\nsmall,nan\n", "not a number above 0"),
        ("machine,price_per_hour,speed\nsmall,1,-2\n", "the speed is '-2'"),
        ("machine,price_per_hour\nsmall,1\nsmall,2\n", "in the price table twice"),
        ("machine,price_per_hour,speed,measurements\na,1,2,x.json\n", "a speed and measurements"),
    ],
)
def test_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputFileError, match=said):
        machines.read(table(tmp_path, text))


def test_no_such_table(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot read the price table: No such file"):
        machines.read(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputFileError, match="cannot read the price table"):
        machines.read(tmp_path / "bytes.csv")
