"""The client's errors are resnet-serve's own, and one base catches them all."""

from __future__ import annotations

import pytest

import resnet_client
from resnet_client.errors import BadImageError, ClientError
from resnet_serve.errors import ResnetServeError
from resnet_serve.preprocessing import ImageError


@pytest.mark.parametrize("name", [n for n in resnet_client.__all__ if n.endswith("Error")])
def test_every_public_error_is_one_of_resnet_serve(name: str) -> None:
    kind = getattr(resnet_client, name)
    assert issubclass(kind, ResnetServeError)
    with pytest.raises(ClientError):
        raise kind("is broken")


def test_a_bad_image_can_be_given_another_name() -> None:
    error = BadImageError("the image\nis empty", where="image", remedy="Give another.")
    renamed = error.about("stdin")
    assert str(renamed) == "stdin: the image is empty. Give another."
    assert isinstance(renamed, ImageError)
    assert (renamed.exit_code, error.where) == (5, "image")


def test_another_name_keeps_the_cause() -> None:
    cause = ValueError("why")
    with pytest.raises(BadImageError) as raised:
        raise BadImageError("is damaged", where="image") from cause
    assert raised.value.about("a.jpg").__cause__ is cause
