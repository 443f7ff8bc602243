"""Passports: what is written is read again, and nonsense is refused in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve import passport
from resnet_serve.errors import InputFileError

FACTS: dict[str, Any] = {
    "architecture": "resnet20",
    "precision": "int8",
    "target": "onnxruntime",
    "weights": {"trained": True},
    "gate": {"passed": False, "overridden": True},
}


def write(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_round_trip(tmp_path: Path) -> None:
    made = passport.create(**FACTS, parity={"images": 3}, future={"field": [1, None]})
    found = passport.read(write(tmp_path / "passport.json", made.to_json()))
    assert found.data == made.data
    assert (found.architecture, found.precision, found.target) == (
        "resnet20",
        "int8",
        "onnxruntime",
    )
    assert found.trained
    assert found.overridden
    assert found.data["future"] == {"field": [1, None]}
    assert found.data["format"] == passport.FORMAT


def test_it_is_dated_now_with_a_time_zone() -> None:
    age = datetime.now(UTC) - passport.create(**FACTS).created
    assert timedelta(seconds=-1) < age < timedelta(seconds=60)


def test_a_date_without_a_zone_is_utc(tmp_path: Path) -> None:
    document = {**passport.create(**FACTS).data, "created": "2026-01-02T03:04:05"}
    found = passport.read(write(tmp_path / "p.json", document))
    assert found.created == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_versions_that_had_a_hand_in_it() -> None:
    found = passport.create(**FACTS).data["versions"]
    for package in ("torch", "onnx", "onnx-ir", "onnxruntime", "numpy", "pillow"):
        assert found[package] == metadata.version(package)


def test_numbers_that_json_does_not_have_become_null() -> None:
    numbers = {"a": math.nan, "b": [math.inf, (-math.inf, 1.5)]}
    text = passport.create(**FACTS, parity=numbers).to_json()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    parsed = json.loads(text, parse_constant=refuse)
    assert parsed["parity"] == {"a": None, "b": [None, [None, 1.5]]}


COMPLETE = passport.create(**FACTS).data


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "null",
        "[]",
        "3",
        '"text"',
        "{}",
        "[" * 100_000,
        *({k: v for k, v in COMPLETE.items() if k != gone} for gone in ("created", *FACTS)),
        {**COMPLETE, "weights": []},
        {**COMPLETE, "weights": None},
        {**COMPLETE, "gate": []},
        {**COMPLETE, "gate": "passed"},
        {**COMPLETE, "created": "yesterday"},
        {**COMPLETE, "created": 12},
    ],
    ids=lambda document: str(document)[:20],
)
def test_nonsense_is_refused(document: object, tmp_path: Path) -> None:
    path = write(tmp_path / "passport.json", document)
    with pytest.raises(InputFileError, match="not a passport") as refusal:
        passport.read(path)
    assert refusal.value.where == str(path)
    assert "\n" not in str(refusal.value)


def test_bytes_that_are_no_text_and_files_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "passport.json"
    path.write_bytes(b"\xff\xfe{}")
    for broken in (path, tmp_path / "missing.json", tmp_path):
        with pytest.raises(InputFileError, match="not a passport"):
            passport.read(broken)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(changes=st.dictionaries(st.sampled_from(sorted(COMPLETE)), JSON))
def test_any_json_is_a_passport_or_a_refusal(
    changes: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "passport.json"
    write(path, {**COMPLETE, **changes})
    try:
        found = passport.read(path)
    except InputFileError:
        return
    assert found.created.tzinfo is not None
    json.loads(found.to_json())
