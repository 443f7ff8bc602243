"""CSV files: the column of the numbers orders the column of the names."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.datasets.class_labels.tables import names_of
from resnet_serve.errors import InputFileError

PATH = Path("labels.csv")


@pytest.mark.parametrize(
    "text",
    [
        "1,dog|0,cat",
        "index,name|1,dog|0,cat",
        "name;id|dog;1|cat;0",
        "\tlabel|0\tcat|1\tdog",
        ",label|0,cat|1,dog",
        '0,"cat"|1,"dog"',
        "id,name,images|0,cat,500|1,dog,500",
        "cat|dog",
        "1 dog|0 cat",
    ],
)
def test_the_names_are_in_the_order_of_their_numbers(text: str) -> None:
    assert names_of(text.split("|"), PATH) == ["cat", "dog"]


def test_names_may_have_commas_and_be_numbers() -> None:
    assert names_of(['0,"tench, Tinca tinca"', "1,goldfish"], PATH)[0] == "tench, Tinca tinca"
    assert names_of(["0,7", "1,3"], PATH) == ["7", "3"]
    assert names_of(["index,label", "0,1", "1,0"], PATH) == ["1", "0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tench, Tinca tinca|goldfish", "row 2 has 1 columns, the first has 2"),
        ("tench, Tinca tinca|goldfish, Carassius", "not one of them with the numbers"),
        ("name|cat|dog", "'name', may be the title"),
        ("0,1|1,0", "2 columns that may be the numbers"),
        ("1,cat|2,dog", "from 1 to 2, without 0"),
        ("0,cat|0,dog", "gives the number 0 to 'cat' and 'dog'"),
        ("0,cat,felis|1,dog,canis", "3 columns, and it is not certain which has the names"),
        ('0,"cat|1,dog', "not valid CSV"),
        ("index,name", "not one of them with the numbers"),
    ],
)
def test_what_is_not_certain_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        names_of(text.split("|"), PATH)
    assert caught.value.remedy is not None
