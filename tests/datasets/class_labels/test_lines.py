"""Text files: numbered lines are put into order, names with numbers in them stay names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.datasets.class_labels.lines import names_of
from resnet_serve.errors import InputFileError

PATH = Path("labels.txt")
WORDS = st.lists(
    st.from_regex(r"[a-z][a-z ]{0,8}[a-z]", fullmatch=True), min_size=2, max_size=12, unique=True
)


@pytest.mark.parametrize(
    "text",
    [
        "1 dog|0 cat",
        "1: dog|0: cat",
        "0:cat|1:dog",
        "0. cat|1. dog",
        "0) cat|1) dog",
        "0 - cat|1 - dog",
        "1\tdog|0\tcat",
        "1,dog|0,cat",
        '1,"dog"|0,"cat"',
        "1 -> dog|0 -> cat",
        "cat => 0|dog => 1",
        "(0) cat|(1) dog",
        "[1] dog|[0] cat",
        "#0 cat|#1 dog",
        "dog 1|cat 0",
        "dog: 1|cat: 0",
        "dog,1|cat,0",
        "dog\t1|cat\t0",
    ],
)
def test_numbered_lines_are_put_into_order(text: str) -> None:
    assert names_of(text.split("|"), PATH) == ["cat", "dog"]


@pytest.mark.parametrize(
    "text",
    [
        "class 0|class 1|class 2",
        "class 0|class 1|class 10|class 2",
        "class_0|class_1",
        "7-up|3D printer",
        "0|1|2",
        "0-9|1st",
        "0 stars|1 star|2 stars",
        "BMW 320|Audi 100",
        "Acura TL 2012|Audi S4 2012|Acura TL 2011",
        "tench, Tinca tinca|goldfish, Carassius auratus",
        "16 bit|32 bit",
        "2 door coupe|4 door sedan",
        "cat|dog 1",
        "no|yes",
        "background|class 0|class 1",
    ],
)
def test_names_with_numbers_in_them_stay_names(text: str) -> None:
    assert names_of(text.split("|"), PATH) == text.split("|")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: cat|2: dog", "numbers 2 classes from 1 to 2, without 0"),
        ("1 cat|2 dog", "numbers 2 classes from 1 to 2, without 0"),
        ("0: cat|2: dog", "from 0 to 2, without 1"),
        ("0: cat|0: dog", "gives the number 0 to 'cat' and 'dog'"),
        ("0: cat|1: dog|bird", "line 3 is not numbered as the others are: 'bird'"),
        ("1 big cat|0 dog|2 dog", "in another order than the lines: '1 big cat' comes first"),
        ("cat,|dog,", "commas at the ends of the lines"),
        ('"0": "cat",|"1": "dog"', "commas at the ends of the lines"),
        ("id name|1 dog|0 cat", "every line has a number but the first, 'id name'"),
        ("id,name|1,dog|0,cat", "every line has a number but the first, 'id,name'"),
        ("name id|dog 1|cat 0", "every line has a number but the first, 'name id'"),
        ("item {|id: 1|name: 'cat'|}", "label map of TensorFlow"),
        ("<!DOCTYPE html>|<p>cat</p>", "web page"),
        ("# classes|cat", "begins with a comment"),
        ("classes = [|'cat',|'dog',|]", "program text"),
    ],
)
def test_what_is_not_certain_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        names_of(text.split("|"), PATH)
    assert caught.value.remedy is not None
    assert "JSON list" in caught.value.remedy


@given(
    names=WORDS,
    form=st.sampled_from(["{0} {1}", "{0}: {1}", "{1} {0}", "{0},{1}", "{1}\t{0}"]),
    data=st.data(),
)
def test_numbered_lines_in_any_order_give_the_names(
    names: list[str], form: str, data: st.DataObject
) -> None:
    lines = [form.format(index, name) for index, name in enumerate(names)]
    assert names_of(data.draw(st.permutations(lines)), PATH) == names


def test_a_bar_may_be_between_number_and_name() -> None:
    assert names_of(["1 | dog", "0 | cat"], PATH) == ["cat", "dog"]
    assert names_of(["dog|1", "cat|0"], PATH) == ["cat", "dog"]


@given(WORDS)
def test_plain_names_are_as_they_are(names: list[str]) -> None:
    assert names_of(names, PATH) == names
