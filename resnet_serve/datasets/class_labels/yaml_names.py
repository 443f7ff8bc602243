"""The part of YAML in which class names are written, read without a YAML library.

    - cat        0: cat        names:          names: [cat, dog]
    - dog        1: dog          0: cat
                                 1: dog

A list or a numbered map, at the top or under `names`, with comments and quotes. Other keys beside
`names`, as in a data file of Ultralytics, are passed over, except that `nc` must be the number of
names. Everything else is refused with the command that converts the file.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from resnet_serve.datasets.class_labels.numbers import NUMBER, in_order
from resnet_serve.errors import InputFileError

SUFFIXES = (".yaml", ".yml")
_ITEM = re.compile(r"-\s+(\S.*)")
_ENTRY = re.compile(r"""("[^"]*"|'[^']*'|[^\s"'#:][^:#]*?)\s*:(?:\s+(\S.*))?""")
_CELL = re.compile(r"""\s*("[^"\\]*"|'[^']*'|[^\s,"'\[\]{}:#][^,"'\[\]{}:#]*?)\s*(?:,|$)""")
_QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*(?:#.*)?""")


def looks_like(lines: Sequence[str]) -> bool:
    """Whether the lines of a file without the suffix are YAML: all "- name", or below `names:`."""
    return bool(lines) and (
        lines[0] == "---"
        or re.match(r"names\s*:(\s|$)", lines[0]) is not None
        or all(_ITEM.fullmatch(line) for line in lines)
    )


def names_of(text: str, path: Path) -> list[str]:
    """The names in the order of the logits; raises `InputFileError` for other YAML."""
    lines = [line.rstrip() for line in text.splitlines()]
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if lines and lines[0] == "---":
        del lines[0]
    if not lines:
        return []
    if any(re.match(r"names\s*:(\s|$)", line) for line in lines):
        return _below_names(lines, path)
    return _block(lines, path)


def _below_names(lines: Sequence[str], path: Path) -> list[str]:
    at = next(i for i, line in enumerate(lines) if re.match(r"names\s*:(\s|$)", line))
    inline = re.sub(r"\s+#.*", "", lines[at]).partition(":")[2].strip()
    block = []
    for line in lines[at + 1 :]:
        if line[0] not in " -":
            break
        block.append(line)
    if bool(inline) == bool(block):
        raise _refusal(lines[at], path)
    names = _inline(inline, path) if inline else _block(block, path)
    stated = next((m[1] for line in lines if (m := re.match(r"nc\s*:\s*(\d+)\b", line))), None)
    if stated is not None and int(stated) != len(names):
        raise InputFileError(
            f"has {len(names)} names, and nc is {stated}",
            where=path,
            remedy="Correct the names, or remove nc.",
        )
    return names


def _inline(text: str, path: Path) -> list[str]:
    """A list in brackets, on one line."""
    inside = re.fullmatch(r"\[(.*)\]", text)
    names, at = [], 0
    while inside is not None and at < len(inside[1]):
        cell = _CELL.match(inside[1], at)
        if cell is None:
            raise _refusal(text, path)
        names.append(_scalar(cell[1], path))
        at = cell.end()
    if not names:
        raise _refusal(text, path)
    return names


def _block(lines: Sequence[str], path: Path) -> list[str]:
    """A list or a map, one entry per line, all indented alike."""
    indents = {len(line) - len(line.lstrip(" ")) for line in lines}
    if len(indents) != 1:
        raise _refusal(next((line for line in lines if line[0] == " "), ""), path)
    entries = [line.strip() for line in lines]
    items = [_ITEM.fullmatch(entry) for entry in entries]
    if all(items):
        return [_scalar(item[1], path) for item in items if item is not None]
    pairs = []
    for entry in entries:
        match = _ENTRY.fullmatch(entry)
        if match is None or match[2] is None:
            raise _refusal(entry, path)
        pairs.append((_scalar(match[1], path), _scalar(match[2], path)))
    if all(_is_number(key) for key, _ in pairs):
        return in_order(((int(key), value) for key, value in pairs), path)
    if all(_is_number(value) for _, value in pairs):
        return in_order(((int(value), key) for key, value in pairs), path)
    raise _refusal(entries[0], path)


def _is_number(text: str) -> bool:
    return re.fullmatch(NUMBER, text) is not None


def _scalar(text: str, path: Path) -> str:
    """The text of a quoted or plain scalar without its comment."""
    if text[0] in "\"'":
        match = _QUOTED.fullmatch(text)
        if match is None:
            raise _refusal(text, path)
        if text[0] == "'":
            return match[1][1:-1].replace("''", "'")
        try:
            return str(json.loads(match[1]))
        except ValueError as error:
            raise _refusal(text, path) from error
    plain = re.sub(r"\s+#.*", "", text).rstrip()
    if plain[0] in "&*!|>%@`[]{},?#" or re.search(r":(\s|$)", plain) or plain.startswith("- "):
        raise _refusal(text, path)
    return plain


def _refusal(line: str, path: Path) -> InputFileError:
    program = shlex.quote(
        f"import json, yaml; json.dump(yaml.safe_load(open({json.dumps(str(path))})), "
        'open("labels.json", "w"))'
    )
    return InputFileError(
        f"is YAML of another form than a list or a numbered map: {line.strip()[:60]!r}",
        where=path,
        remedy=f"Convert it: python -c {program} (needs PyYAML), and give labels.json.",
    )
