"""Matching: the entries of a custom module (`--module`) in a file, every one of them, exactly.

    file       module.backbone.conv1.weight   loss.weight        optimizer …
    module            backbone.conv1.weight
    prefix     module.                        beside: said       no state dict

A module's own names are never interpreted: they are looked for as they are, then behind a prefix
that makes the match exact, or without one that all of them have. Only what the module lacks may be
beside it in the file. Several matches are a choice, and only the user makes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.architectures.fitting import disagreements, listed
from resnet_serve.checkpoints.states import containers, selection, tensor_kinds, training_forms
from resnet_serve.checkpoints.states.containers import Saved, is_averaged, shortened
from resnet_serve.errors import InputFileError, Note

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Wanted:
    """The entries that a module needs.

    `counters` are those of BatchNorms (`num_batches_tracked`), which evaluation does not read and
    old files lack. `tied` maps a name to those of the same tensor, as safetensors keeps it once.
    """

    name: str
    tensors: Mapping[str, Tensor]
    counters: Collection[str] = ()
    tied: Mapping[str, tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Match:
    """The module's tensors by its own names, from one place of a file.

    `prefix` came before each name in the file, or, with a minus sign, is missing there. `beside`
    names the other entries of that place.
    """

    place: str
    averaged: bool
    tensors: dict[str, Tensor]
    prefix: str
    beside: tuple[str, ...]


def match(
    loaded: object, wanted: Wanted, path: Path, *, ema: bool = False, key: str | None = None
) -> tuple[Match, tuple[str, ...]]:
    """The module's entries in the object loaded from `path`, and notices for the user.

    Raises `InputFileError` where an entry is missing or has another shape or kind, and where
    several places match.
    """
    saved = containers.found(loaded)
    if not saved:
        raise selection.none_in(path, loaded)
    for each in saved:  # these have no shape to compare
        nested = {name: tensor for name, tensor in each.tensors.items() if tensor.is_nested}
        tensor_kinds.check(nested, path)
    if not set(wanted.tensors) - set(wanted.counters):
        raise InputFileError(f"{wanted.name} has no weights to load", remedy="Omit --weights.")
    notices: tuple[str, ...] = ()
    matches = list(_matches(saved, wanted))
    if not matches and not _in_training_form(wanted):
        plain = [training_forms.plain(each.tensors, path) for each in saved]
        notices = tuple(notice for each in plain for notice in each.notices)
        if notices:
            changed = zip(saved, plain, strict=True)
            saved = [Saved(each.place, form.tensors, each.others) for each, form in changed]
            matches = list(_matches(saved, wanted))
    if not matches:
        raise _mismatch(saved, wanted, path)
    chosen, said = selection.one_of(matches, path, ema=ema, key=key)
    return chosen, (*notices, *said, *_notices(chosen, wanted, path))


def _in_training_form(wanted: Wanted) -> bool:
    """Whether the module itself is pruned or reparametrised, so that its file must be too."""
    try:
        return bool(training_forms.plain(wanted.tensors, Path()).notices)
    except InputFileError:
        return True


def _matches(saved: Iterable[Saved], wanted: Wanted) -> Iterator[Match]:
    for each in saved:
        found = [
            m for prefix in _prefixes(each.tensors, wanted) if (m := _at(each, prefix, wanted))
        ]
        # Its own names as they are need no interpretation, whatever else is in the file.
        yield from [one for one in found if not one.prefix] or found


def _prefixes(names: Collection[str], wanted: Wanted, *, any_entry: bool = False) -> list[str]:
    """What may come before the module's names; "-x." is missing there.

    All of them are behind it in a match; `any_entry` finds those of files that do not match too.
    """
    entries = [name for name in wanted.tensors if name not in wanted.counters]
    first = entries[0]
    found = {"": None}
    for entry in entries if any_entry else entries[:1]:
        for name in names:
            if name.endswith(f".{entry}"):
                found[name.removesuffix(entry)] = None
    common = first.rpartition(".")[0]
    while common:
        if all(name.startswith(f"{common}.") for name in wanted.tensors):
            found[f"-{common}."] = None
        common = common.rpartition(".")[0]
    return list(found)


def _in_file(name: str, prefix: str) -> str:
    return name.removeprefix(prefix[1:]) if prefix.startswith("-") else f"{prefix}{name}"


def _at(saved: Saved, prefix: str, wanted: Wanted) -> Match | None:
    """The match behind a prefix, or None."""
    tensors = _taken(saved, prefix, wanted)
    if disagreements(tensors, wanted.tensors, counters=wanted.counters):
        return None
    used = {_in_file(name, prefix) for name in tensors}
    beside = (*(name for name in saved.tensors if name not in used), *saved.others)
    parts = [*saved.place, *(() if prefix.startswith("-") else prefix.split("."))]
    place = ".".join(filter(None, parts))
    return Match(place, is_averaged(parts), tensors, prefix, beside)


def _taken(saved: Saved, prefix: str, wanted: Wanted) -> dict[str, Tensor]:
    """The tensors of the file by the module's names; a tied one by any of its names."""
    found: dict[str, Tensor] = {}
    for name in wanted.tensors:
        for each in (name, *(wanted.tied or {}).get(name, ())):
            if _in_file(each, prefix) in saved.tensors:
                found[name] = saved.tensors[_in_file(each, prefix)]
                break
    return found


def _notices(chosen: Match, wanted: Wanted, path: Path) -> Iterator[str]:
    if chosen.prefix.startswith("-"):
        prefix = chosen.prefix[1:]
        yield Note(f"the names in {path} lack the module's prefix {prefix!r}, which is added")
    elif chosen.prefix:
        yield Note(f"the prefix {chosen.prefix!r} of the names in {path} is removed")
    if chosen.beside:
        yield (f"ignored in {path}, as {wanted.name} has no such entry: {shortened(chosen.beside)}")
    lacking = [name for name in wanted.counters if name not in chosen.tensors]
    if lacking:
        yield Note(
            f"{path} lacks {shortened(lacking)}: counters of training, which evaluation does not "
            "read"
        )


def _mismatch(saved: list[Saved], wanted: Wanted, path: Path) -> InputFileError:
    """The error, about the place and prefix that come closest."""
    ways = [
        (each, prefix)
        for each in saved
        for prefix in _prefixes(each.tensors, wanted, any_entry=True)
    ]
    each, prefix = max(ways, key=lambda way: _agreeing(way[0], way[1], wanted))
    tensors = _taken(each, prefix, wanted)
    tensor_kinds.check(tensors, path)
    used = {_in_file(name, prefix) for name in tensors}
    extra = {name: tensor for name, tensor in each.tensors.items() if name not in used}
    details = disagreements(tensors | extra, wanted.tensors, counters=wanted.counters)
    place = ".".join(filter(None, (*each.place, prefix.strip("-."))))
    where = f"{path}, {place}" if place else str(path)
    if not tensors:
        return InputFileError(
            f"has none of the {len(wanted.tensors)} entries of {wanted.name} "
            f"({shortened(list(wanted.tensors)[:3])}, …); its own {len(each.tensors)} are "
            f"{shortened(list(each.tensors)[:5])}, …",
            where=where,
            remedy="Give the checkpoint of this --module.",
        )
    return InputFileError(
        f"does not fit {wanted.name}: {_agreeing(each, prefix, wanted)} of its "
        f"{len(wanted.tensors)} entries are there; {listed(details)}",
        where=where,
        remedy="Give the checkpoint of this --module, or the factory that made this one.",
    )


def _agreeing(saved: Saved, prefix: str, wanted: Wanted) -> int:
    tensors = _taken(saved, prefix, wanted)
    own = {name: wanted.tensors[name] for name in tensors}
    wrong = {text.partition(" ")[0] for text in disagreements(tensors, own)}
    return len(tensors) - len(wrong)
