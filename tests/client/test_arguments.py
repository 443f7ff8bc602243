"""Arguments of the wrong type or range."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_client import arguments
from resnet_client.errors import UsageError


@pytest.mark.parametrize("wrong", ["5", 5.0, True, [], b"5"])
def test_a_count_is_a_whole_number(wrong: object) -> None:
    with pytest.raises(UsageError, match="top is a whole number, not"):
        arguments.top(wrong)


def test_counts_of_any_integer_type() -> None:
    assert arguments.top(np.int64(3)) == 3
    assert arguments.top(None) is None
    for few in (0, -3):
        with pytest.raises(UsageError, match=f"top must be at least 1, not {few}"):
            arguments.top(few)


@pytest.mark.parametrize("wrong", [1, 1.0, None, True, "one", "-1", "1.0", "²"])
def test_a_version_is_a_number_in_a_text(wrong: object) -> None:
    with pytest.raises(UsageError, match="a version is a"):
        arguments.version(wrong)


def test_versions_and_texts() -> None:
    assert [arguments.version(each) for each in ("", "12")] == ["", "12"]
    assert arguments.text("model", "a") == "a"


@pytest.mark.parametrize(
    "wrong", [1, None, b"a", "a b", 'a"b', "a\\b", "[a]", "é", "a\n", "x" * 101]
)
def test_a_request_id_is_what_triton_can_log(wrong: object) -> None:
    with pytest.raises(UsageError, match="request_id is"):
        arguments.request_id(wrong)


def test_request_ids() -> None:
    for good in ("", "job-7", "trace:00-0af7/1.2_3~{x}", "x" * 100):
        assert arguments.request_id(good) == good
