"""Matching: a name finds its label in any form, and only where it is certain."""

from __future__ import annotations

import unicodedata

import pytest

from resnet_serve.datasets.class_labels.matching import Matching, folded
from resnet_serve.datasets.class_labels.wordnet import imagenet, synsets

NAMES = tuple(imagenet().values())


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unicode_forms_match(form: str) -> None:
    known = Matching([unicodedata.normalize(form, name) for name in ("caf\u00e9", "th\u00e9")])
    for other in ("NFC", "NFD"):
        assert known.find(unicodedata.normalize(other, "th\u00e9")) == (1,)


def test_every_form_of_imagenet_s_names_finds_the_class() -> None:
    for labels in (NAMES, synsets(), tuple(imagenet())):
        known = Matching(labels)
        for form in (NAMES, synsets(), tuple(imagenet())):
            missed = [n for n, name in enumerate(form) if known.find(name) != (n,)]
            assert set(missed) <= {134, 517}, (labels[0], form[0])
    assert Matching(NAMES).find("Tinca tinca") == (0,)
    assert Matching(NAMES).find("panda") == ()
    assert Matching(synsets()).find("crane") == (134, 517)


def test_single_names_of_synsets_are_for_imagenet_s_classes_alone() -> None:
    assert Matching(["cougar", "tench"]).find("puma") == (0,)
    assert Matching(["cougar", "my cat"]).find("puma") == ()
    assert Matching(["cougar", "my cat"]).find("n02125311") == (0,)
    assert Matching(["kite", "puma", "cougar"]).find("puma") == (1,)


def test_near_names_are_said_first_those_that_differ_least() -> None:
    known = Matching(["crow", "Cow", "T-shirt/top"])
    assert known.near("cow") == ("Cow", "crow")
    assert known.near("t-shirt_top") == ("T-shirt/top",)
    assert known.near("horse") == ()
    assert known.unknown("cow").endswith("3 labels; near it: 'Cow', 'crow'")
    assert known.unknown("horse").endswith("3 labels")


def test_folded_names() -> None:
    assert folded("STRASSE") == folded("Stra\u00dfe") == "strasse"


def test_classes_without_names_match_their_numbers() -> None:
    known = Matching([f"class {number}" for number in range(11)])
    assert known.find("10") == (10,)
    assert known.find("class 10") == (10,)
    assert known.find("010") == ()
    assert Matching(["class 1", "class 0"]).find("0") == ()
