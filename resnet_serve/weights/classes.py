"""The class names of a network: given, or found in its checkpoint or beside it, or assumed.

First found, first taken: `--labels`, our own metadata, the fields of the file (`statements`),
`config.json`. Names that are not as many as the classes are left out, and that is said. Given names
in another order than the file's are refused: every decision would be called something else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.checkpoints.sidecar_files import CONFIG_FILE
from resnet_serve.checkpoints.statements import Count, Names, Statements
from resnet_serve.datasets import check_label_count
from resnet_serve.datasets.class_labels import wordnet
from resnet_serve.errors import InputFileError, Note
from resnet_serve.weights import class_names, defaults
from resnet_serve.weights.assumptions import Assumption

OWN = "metadata labels"


@dataclass(frozen=True)
class Classes:
    """Names in the order of the logits, notices for the user, and what was assumed."""

    labels: tuple[str, ...]
    notices: tuple[str, ...] = ()
    assumptions: tuple[Assumption, ...] = ()


def decide(
    count: int,
    given: tuple[str, ...] | None,
    path: Path,
    *,
    own: tuple[str, ...] | None = None,
    statements: Statements = Statements(),  # noqa: B008 - frozen
    beside: tuple[str, ...] | None = None,
    counted: bool = True,
) -> Classes:
    """The class names of a network with `count` classes.

    `given` are those of `--labels`, `own` those of our metadata, `beside` those of a `config.json`.
    `counted` says that the classifier is served. Raises `UsageError` for another number of given
    names, and `InputFileError` where two sources put the same names into another order, and where
    the file says another number of classes.
    """
    if given is not None:
        check_label_count(given, count)
    counts = _contradictions(statements.counts, count) if counted else ()
    if counts and given is None:
        raise _miscounted(counts, count, path)
    sources = [Names(OWN, own)] if own is not None else []
    sources += [*statements.names, *([Names(CONFIG_FILE, beside)] if beside is not None else [])]
    usable = [each for each in sources if len(each.names) == count and not _numbered(each.names)]
    notices = tuple(_left_out(each, count) for each in sources if len(each.names) != count)
    notices += tuple(
        f"{field} of {path} holds no names that can be read: it is not used"
        for field in statements.unread
    )
    if counts:
        notices += (f"{_counted(counts)}, and --labels has {len(given or ())}: these are used",)
    if given is not None:
        for each in usable[:1]:
            _check_order(
                Names("--labels", given), each, path, f"Omit --labels: {each.field} is used."
            )
        return Classes(given, notices)
    if not usable:
        return Classes(class_names.default(count), notices, defaults.labels_assumed(count))
    first, *others = usable
    for each in others:
        _check_order(each, first, path, f"Give --labels FILE in the order of {first.field}.")
    names = first.names
    if names == class_names.wordnet_ids():
        names = class_names.built_in("imagenet1k")
    if first.field not in (OWN, CONFIG_FILE):
        notices += (Note(f"the class names are those of {first.field} in {path}"),)
    return Classes(names, notices)


def _contradictions(counts: Sequence[Count], classes: int) -> tuple[Count, ...]:
    """The fields that have another number; one output decides between two."""
    return tuple(
        each for each in counts if each.classes != classes and (each.classes, classes) != (2, 1)
    )


def _counted(counts: Sequence[Count]) -> str:
    return " and ".join(f"its {each.field} is {each.classes:,}" for each in counts[:2])


def _miscounted(counts: Sequence[Count], classes: int, path: Path) -> InputFileError:
    outputs = "1 output" if classes == 1 else f"{classes:,} outputs"
    return InputFileError(
        f"{_counted(counts)}, and its classifier has {outputs}",
        where=path,
        remedy="It may be another file, or the weights before a fine-tuning. If the classifier is "
        f"right, give --labels FILE with {classes:,} name{'' if classes == 1 else 's'}.",
    )


def _left_out(found: Names, count: int) -> str:
    if not found.names:
        return f"{found.field} does not number the classes from 0 in steps of 1: it is not used"
    names = "1 name" if len(found.names) == 1 else f"{len(found.names)} names"
    return f"{found.field} has {names} for {count} classes: it is not used"


def _numbered(names: Sequence[str]) -> bool:
    """Whether they are transformers' placeholders, which name nothing."""
    return all(re.fullmatch(r"LABEL_\d+", name) for name in names)


def _check_order(names: Names, trusted: Names, path: Path, remedy: str) -> None:
    """Raise `InputFileError` where both have the same names in another order."""
    ours, theirs = _comparable(names.names), _comparable(trusted.names)
    if ours == theirs or sorted(ours) != sorted(theirs):
        return
    index = next(at for at, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
    raise InputFileError(
        f"{names.field} and {trusted.field} have the classes in different orders: class {index} is "
        f"{names.names[index]!r} in {names.field}, {trusted.names[index]!r} in {trusted.field}",
        where=path,
        remedy=remedy,
    )


def _comparable(names: Sequence[str]) -> list[str]:
    # The long names have "crane" twice; of the whole list, each is the one of its place.
    whole = tuple(names) == wordnet.synsets()
    known = class_names.built_in("imagenet1k") if whole else map(wordnet.ours, names)
    plain = (unicodedata.normalize("NFC", name) for name in known)
    return [" ".join(name.replace("_", " ").lower().split()) for name in plain]
