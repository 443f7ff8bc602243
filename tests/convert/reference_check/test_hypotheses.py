"""Hypotheses: one change each, none twice, every usual preprocessing found from every other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resnet_convert.reference_check.hypotheses import hypotheses
from resnet_serve.preprocessing import Preprocessing

GIVEN = {
    "ImageNet": Preprocessing(),
    "digits": Preprocessing(resize=32, crop=(32, 32), resize_mode="exact"),
    "half": Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3),
    "none": Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3),
    "raw": Preprocessing(mean=(0.0,) * 3, std=(1 / 255,) * 3),
    "232": Preprocessing(resize=232),
}
ASPECTS = {"scale": ("mean", "std"), "resize": ("resize", "resize_mode")}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_each_changes_one_thing(given: Preprocessing) -> None:
    found = list(hypotheses(given))
    assert len({each.preprocessing for each in found}) == len(found)
    for each in found:
        assert each.preprocessing != given
        if each.axis in ASPECTS:
            same = {name: getattr(given, name) for name in ASPECTS[each.axis]}
            assert replace(each.preprocessing, **same) == given


@pytest.mark.parametrize("true", ["ImageNet", "half", "none", "raw", "232"])
def test_a_usual_preprocessing_is_one_change_from_another(true: str) -> None:
    wrong = replace(GIVEN[true], mean=(0.4, 0.4, 0.4), std=(0.2, 0.3, 0.3))
    if true == "232":
        wrong = replace(GIVEN[true], resize=300)
    assert GIVEN[true] in [each.preprocessing for each in hypotheses(wrong)]


def test_grey_images_have_no_channel_order_and_one_mean() -> None:
    grey = Preprocessing(resize=28, crop=(28, 28), mean=(0.3,), std=(0.35,))
    found = list(hypotheses(grey))
    assert {each.axis for each in found} == {"scale", "resize"}
    assert all(each.preprocessing.channels == 1 for each in found)


def test_margins_are_in_proportion_to_the_crop() -> None:
    small = Preprocessing(resize=32, crop=(32, 32))
    names = {each.name: each.preprocessing.resize for each in hypotheses(small)}
    assert names["resize the shorter side to 37, as 256 is to 224"] == 37
    assert names["resize the shorter side to 33, as 232 is to 224"] == 33
