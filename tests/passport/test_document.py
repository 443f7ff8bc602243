"""Passports: what is written is read again, and nonsense is refused in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passports import NUMERICS, composed, converted
from patience import PATIENCE_S

from resnet_serve import passport
from resnet_serve.errors import InputFileError
from resnet_serve.passport import ComposedPassport, ConvertedPassport, Passport


def write(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize("made", [converted(), composed()], ids=lambda made: type(made).__name__)
def test_round_trip(made: Passport, tmp_path: Path) -> None:
    path = tmp_path / passport.FILE_NAME
    path.write_bytes(made.to_bytes())
    found = passport.read(path)
    assert found == made
    assert type(found) is type(made)
    assert found.to_bytes() == made.to_bytes()


def test_keys_of_a_later_resnet_serve_survive(tmp_path: Path) -> None:
    document = converted().to_json()
    document["future"] = {"field": [1, None]}
    for block in ("weights", "parity", "latency", "gate"):
        document[block]["future"] = {"field": 1}
    found = passport.read(write(tmp_path / "passport.json", document))
    assert found.to_json() == document
    assert found.extra == {"future": {"field": [1, None]}}


def test_the_layout_of_the_file() -> None:
    found = converted().to_json()
    assert found["format"] == passport.FORMAT
    assert found["weights"]["trained"] is True
    assert set(found["parity"]["numerics"]) == {"1", "8"}
    assert found["parity"]["decisions"]["interval_points"] == [-28.5, 14.0]
    assert set(found["latency"]) == {
        *("pytorch", "onnxruntime"),
        *("speedup", "reference_on", "share_of_integer_peak"),
    }
    assert isinstance(found["contract"]["preprocessing"], str), "as it stands in config.pbtxt"
    assert {"autoselect", "calibration_search", "mixed_precision"} <= set(found)
    assert composed().to_json()["latency"] == {"speedup": None}
    assert composed().to_json()["crops"] == {"scales": [36, 40], "per_scale": 10}


def test_the_facts_are_without_the_date_and_the_versions() -> None:
    made = converted()
    left_out = set(made.to_json()) - set(made.facts())
    assert left_out == {"format", "created", "versions"}


def test_it_is_dated_now_with_a_time_zone() -> None:
    age = datetime.now(UTC) - converted().created
    assert timedelta(seconds=-1) < age < timedelta(seconds=PATIENCE_S)


def test_a_date_without_a_zone_is_utc(tmp_path: Path) -> None:
    document = {**converted().to_json(), "created": "2026-01-02T03:04:05"}
    found = passport.read(write(tmp_path / "p.json", document))
    assert found.created == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_versions_that_shape_a_conversion() -> None:
    found = converted().versions
    for package in ("torch", "onnx", "onnx-ir", "onnxruntime", "numpy", "pillow"):
        assert found[package] == metadata.version(package)


def test_numbers_that_json_does_not_have_become_null(tmp_path: Path) -> None:
    broken = replace(NUMERICS[8], max_abs=math.inf, sqnr_db=-math.inf)
    made = converted()
    made = replace(
        made,
        parity=replace(made.parity, numerics={8: broken}),
        mixed_precision={"rows": [math.nan, (math.inf, 1.5)]},
    )

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    parsed = json.loads(made.to_bytes(), parse_constant=refuse)
    assert parsed["parity"]["numerics"]["8"]["max_abs"] is None
    assert parsed["mixed_precision"] == {"rows": [None, [None, 1.5]]}
    path = tmp_path / passport.FILE_NAME
    path.write_bytes(made.to_bytes())
    assert math.isnan(passport.read(path).parity.numerics[8].max_abs)


def test_the_two_kinds() -> None:
    assert isinstance(Passport.from_json(converted().to_json()), ConvertedPassport)
    assert isinstance(Passport.from_json(composed().to_json()), ComposedPassport)


@pytest.mark.parametrize("form", [2, 2.5, 10**30, True, 0, -1, "1", None])
def test_only_its_own_format_is_read(form: object, tmp_path: Path) -> None:
    path = write(tmp_path / "passport.json", {**converted().to_json(), "format": form})
    if form is True:  # Python's JSON has no number there, but it equals one
        with pytest.raises(InputFileError, match="format is True, not a whole number"):
            passport.read(path)
        return
    newer = isinstance(form, int) and form > passport.FORMAT
    expected = (
        f"passport format {form} is newer than this resnet-serve reads"
        if newer
        else ("not a passport: format is")
    )
    with pytest.raises(InputFileError, match=expected) as refusal:
        passport.read(path)
    assert refusal.value.where == str(path)
    assert refusal.value.remedy == ("Update resnet-serve." if newer else "Convert the model again.")


COMPLETE = converted().to_json()


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
        *({k: v for k, v in COMPLETE.items() if k != gone} for gone in COMPLETE),
        {**COMPLETE, "weights": []},
        {**COMPLETE, "weights": None},
        {**COMPLETE, "weights": {**COMPLETE["weights"], "trained": 1}},
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


def test_the_field_is_named(tmp_path: Path) -> None:
    document = json.loads(converted().to_bytes())
    document["parity"]["numerics"]["8"]["cosine"] = "high"
    path = write(tmp_path / "passport.json", document)
    with pytest.raises(
        InputFileError, match=r"parity\.numerics\.8\.cosine is 'high', not a number"
    ):
        passport.read(path)


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
    json.loads(found.to_bytes())
