"""Several images that cannot be decoded are one error."""

from __future__ import annotations

from resnet_serve.datasets import damaged
from resnet_serve.preprocessing import ImageError


def failing(index: int) -> None:
    if index % 2:
        raise ImageError("damaged image", where=f"{index}.png")


def test_every_error_is_collected() -> None:
    found = list(damaged.errors(range(6), failing))
    assert [error.where for error in found] == ["1.png", "3.png", "5.png"]


def test_one_error_stays_itself_with_something_to_do() -> None:
    (only,) = damaged.errors(range(2), failing)
    assert str(damaged.together([only])) == (
        "1.png: damaged image. Remove it from the folder or replace it."
    )


def test_the_first_five_are_named_and_all_are_counted() -> None:
    error = damaged.together(list(damaged.errors(range(40), failing)))
    assert error.exit_code == 5
    assert error.what.startswith("20 images cannot be used: 1.png (damaged image); 3.png (")
    assert error.what.endswith("9.png (damaged image); and 15 more")
    assert error.remedy == "Remove them from the folder or replace them."


def test_remedies_of_their_own_name_the_image_that_they_are_of() -> None:
    given = [ImageError("HEIC", where=name, remedy="Convert it.") for name in "ab"]
    given.append(ImageError("12 bits", where="c", remedy="Save it with 8 bits."))
    given.append(ImageError("damaged image", where="d"))
    assert damaged.together(given).remedy == (
        "a: Convert it. c: Save it with 8 bits. Or remove them from the folder or replace them."
    )
