"""The error hierarchy: exit codes are a promise, a message is one sentence with its place."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from resnet_serve import errors
from resnet_serve.preprocessing import ImageError

CODES = {
    errors.ResnetServeError: 1,
    errors.UsageError: 2,
    errors.ParityError: 3,
    errors.HostError: 4,
    errors.InputFileError: 5,
    errors.ConversionError: 5,
    ImageError: 5,
}


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_exit_codes_are_the_documented_ones(kind: type[errors.ResnetServeError], code: int) -> None:
    assert kind("x").exit_code == code
    assert issubclass(kind, errors.ResnetServeError)


def test_every_error_has_a_documented_exit_code() -> None:
    classes = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert classes <= set(CODES)


@pytest.mark.parametrize(
    ("where", "remedy", "text"),
    [
        (None, None, "is broken"),
        (Path("a/b.onnx"), None, "a/b.onnx: is broken"),
        (None, "Mend it.", "is broken. Mend it."),
        ("layer3.4.conv2", "Mend it.", "layer3.4.conv2: is broken. Mend it."),
    ],
)
def test_message_says_where_what_and_what_to_do(
    where: object, remedy: str | None, text: str
) -> None:
    assert str(errors.InputFileError("is broken", where=where, remedy=remedy)) == text


def test_an_error_survives_a_process_boundary() -> None:
    error = errors.HostError("no port", where="127.0.0.1", remedy="Free one.")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is errors.HostError
    assert (str(copy), copy.exit_code) == (str(error), 4)
