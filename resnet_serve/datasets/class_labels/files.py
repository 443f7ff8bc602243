"""Files of class names, in any of the forms in which training code writes them.

| form | e.g. |
|---|---|
| text | one name per line, or numbered lines (`lines`) |
| JSON | a list; an object from number to name, or from name to number; `id2label` and the like |
| Python | the same as a literal: `{0: 'tench, Tinca tinca', 1: …}` |
| CSV, YAML | `tables`, `yaml_names` |

WordNet ids become ImageNet's names (`wordnet`). What is none of these, or could be two of them, is
refused: a file that is read wrongly calls every decision something else.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from resnet_serve.datasets.class_labels import lines, tables, wordnet, yaml_names
from resnet_serve.datasets.class_labels.numbers import AS_A_LIST, NUMBER, in_order
from resnet_serve.errors import InputFileError

_FIELDS = ("id2label", "label2id", "class_to_idx", "idx_to_class", "names", "classes", "labels")


def read(path: Path) -> tuple[str, ...]:
    """The class names in a file of the user, in the order of the logits.

    Raises `InputFileError` for a file that is not certain to be read rightly, and an empty name.
    """
    text = _text(path)
    if path.suffix.lower() in yaml_names.SUFFIXES:
        names = yaml_names.names_of(text, path)
    elif text.lstrip().startswith(("[", "{")):
        names = _of_data(_data(text, path), path)
    else:
        names = _of_lines(text, path)
    return _checked(wordnet.named([_name(name) for name in names]), path)


def read_lines(path: Path) -> tuple[str, ...]:
    """The class names of a deployed model, which are always one per line.

    Raises `InputFileError` for a file that cannot be read, and for an empty name.
    """
    return _checked([" ".join(line.split()) for line in _lines(_text(path))], path)


def _text(path: Path) -> str:
    """The text of a file without its byte order mark and surrounding blank lines."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"cannot be read ({error.strerror})", where=path) from error
    wide = _wide(data)
    if wide is None and re.search(rb"[\x00-\x08\x0e-\x1b\x7f]", data):
        raise InputFileError("contains control characters: it is not a text file", where=path)
    try:
        if wide is not None:
            raise ValueError(f"it is {wide}")
        text = data.decode("utf-8-sig")
    except ValueError as error:
        raise InputFileError(
            f"is not text in UTF-8 ({getattr(error, 'reason', error)})",
            where=path,
            remedy=f"Convert it: iconv -f {wide or 'WINDOWS-1252'} -t UTF-8 "
            f"{shlex.quote(str(path))} > labels-utf8.txt",
        ) from error
    return text.lstrip("\r\n").rstrip()


def _wide(data: bytes) -> str | None:
    """The encoding of a text of two bytes a letter, by its byte order mark or its zeros."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    halves = data[0:200:2], data[1:200:2]
    for half, other, name in ((*halves, "UTF-16BE"), (*halves[::-1], "UTF-16LE")):
        if len(other) > 1 and half.count(0) > len(half) * 0.8 and 0 not in other:
            return name
    return None


def _name(text: str) -> str:
    """A name on one line, without invisible letters around it, such as a byte order mark."""
    return " ".join(text.strip("\ufeff\u200b\u2060\u200e\u200f").split())


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text) if text else []


def _of_lines(text: str, path: Path) -> list[str]:
    found = _lines(text)
    stripped = [line.strip() for line in found]
    _checked(stripped, path)
    if path.suffix.lower() in tables.SUFFIXES:
        return tables.names_of(found, path)
    if yaml_names.looks_like(stripped):
        return yaml_names.names_of(text, path)
    return lines.names_of(stripped, path)


def _checked(names: list[str], path: Path) -> tuple[str, ...]:
    if not names:
        raise InputFileError("contains no labels", where=path)
    if "" in names:
        raise InputFileError(
            f"label {names.index('') + 1} is empty",
            where=path,
            remedy="A blank line would shift every label after it.",
        )
    return tuple(names)


def _data(text: str, path: Path) -> object:
    """JSON, or else a literal of Python; keys that are there twice are refused."""

    def once(pairs: list[tuple[object, object]]) -> dict[object, object]:
        counts = Counter(key for key, _ in pairs)
        twice = next((key for key, count in counts.items() if count > 1), None)
        if twice is not None:
            raise InputFileError(f"has {twice!r} twice", where=path, remedy=AS_A_LIST)
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        reason = f"is not valid JSON ({error})"
    try:
        tree = ast.parse(text.strip(), mode="eval")
        data: object = ast.literal_eval(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                once([(ast.literal_eval(key), None) for key in node.keys if key is not None])
        return data
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise InputFileError(reason, where=path, remedy=AS_A_LIST) from error


def _of_data(data: object, path: Path) -> list[str]:
    """The names in a list, or in an object from number to name or from name to number."""
    if isinstance(data, Mapping):
        field = next((data[key] for key in _FIELDS if isinstance(data.get(key), dict | list)), None)
        data = data if field is None else field
    if isinstance(data, list) and all(isinstance(name, str) for name in data):
        return data
    if isinstance(data, Mapping) and data:
        keys = [str(key) for key in data]
        values = [_synset(value) for value in data.values()]
        if all(re.fullmatch(NUMBER, key) for key in keys) and _are_names(values):
            return in_order(zip(map(int, keys), map(str, values), strict=True), path)
        if all(type(value) is int for value in values) and _are_names(list(data)):
            return in_order(zip(map(_number, values), keys, strict=True), path)
    raise InputFileError(
        "is JSON, but not a list of names, nor an object of names by number",
        where=path,
        remedy='Write ["first class", "second class", …], or one name per line.',
    )


def _synset(value: object) -> object:
    """Keras's pairs of a WordNet id and a name as one text."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value):
        return " ".join(value)
    return value


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def _are_names(values: list[object]) -> bool:
    return all(isinstance(value, str) for value in values)
