"""Damaged images: all of a set in one error, so that nobody has to remove one per run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from resnet_serve.preprocessing import ImageError

NAMES_SHOWN = 5
_REMEDIES_SHOWN = 2


def errors(indices: Iterable[int], decode_one: Callable[[int], object]) -> Iterator[ImageError]:
    """The error of each image that `decode_one` cannot decode."""
    for index in indices:
        try:
            decode_one(index)
        except ImageError as error:
            yield error


def together(found: Sequence[ImageError]) -> ImageError:
    """One error for one or more images, naming the first of them, each by its `where`."""
    if len(found) == 1:
        (only,) = found
        remedy = only.remedy or "Remove it from the folder or replace it."
        return ImageError(only.what, where=only.where, remedy=remedy)
    named = "; ".join(f"{each.where} ({each.what})" for each in found[:NAMES_SHOWN])
    more = len(found) - NAMES_SHOWN
    rest = f"; and {more:,} more" if more > 0 else ""
    remedies: dict[str, str | None] = {}
    for each in found:
        if each.remedy is not None:
            remedies.setdefault(each.remedy, each.where)
    own = [f"{where}: {remedy}" for remedy, where in remedies.items()][:_REMEDIES_SHOWN]
    return ImageError(
        f"{len(found):,} images cannot be used: {named}{rest}",
        remedy=" ".join(
            (*own, f"{'Or remove' if own else 'Remove'} them from the folder or replace them.")
        ),
    )
