"""Values of other types, as callers in Python may give them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_convert.request import Request
from resnet_convert.request.options import Options
from resnet_serve.errors import UsageError

STRINGS = ("weights", "calibration", "validation", "precision", "target", "name", "canary")


@pytest.mark.parametrize("field", [each.name for each in fields(Options)])
@pytest.mark.parametrize("value", [object, {"a": 1}, b"bytes", 1 + 2j], ids=repr)
def test_no_field_takes_what_no_option_is(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^{field} is .*, not "):
        Request(**{"arch": "resnet20", field: value})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        *((each, 5, f"{each} is a string, not 5") for each in STRINGS),
        (
            "weights",
            {"conv1.weight": [0.0] * 9408},
            "not an object of type dict. Save the state_dict",
        ),
        ("calibration", ["a", "b"], "calibration is a string, not ['a', 'b']"),
        ("repository", 5, "repository is a string, not 5"),
        ("calibration_images", "64", "calibration_images is a whole number, not '64'"),
        ("validation_images", 6.5, "validation_images is a whole number, not 6.5"),
        ("max_batch_size", True, "max_batch_size is a whole number, not True"),
        ("budget_top1", "0.5", "budget_top1 is a number, not '0.5'"),
        ("budget_top1", True, "budget_top1 is a number, not True"),
        ("force", "no", "force is True or False, not 'no'"),
        ("force", 1, "force is True or False, not 1"),
        ("batch", "1:8:32", "batch is a list of strings, not '1:8:32'"),
        ("batch", [8], "batch is a list of strings, not [8]"),
    ],
)
def test_another_type_is_refused_with_the_field_and_the_value(
    field: str, value: Any, said: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Request(**{"arch": "resnet20", field: value})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("calibration_images", np.int64(64), 64),
        ("budget_top1", np.float32(0.5), 0.5),
        ("budget_top1", 1, 1.0),
        ("threshold", 0.4, "0.4"),
        ("batch", ["1:8:32"], ("1:8:32",)),
        ("calibration", Path("images"), "images"),
        ("preprocessing", Path("own.json"), Path("own.json")),
        ("precision", None, "fp32"),
        ("batch", None, ()),
        ("force", None, False),
        ("max_batch_size", None, 8),
    ],
)
def test_what_means_the_same_is_taken(field: str, value: Any, stored: Any) -> None:
    found = getattr(Request(**{"arch": "resnet20", field: value}), field)
    assert found == stored
    assert type(found) is type(stored)
