"""Written: a transform as Python writes it, read as steps without running it.

    Compose(                                         ImageClassification(
        Resize(size=256, interpolation=bilinear)         crop_size=[224]
        CenterCrop(size=(224, 224))                      resize_size=[256]
        ToTensor()                                       …
        Normalize(mean=[0.485, …], std=[0.229, …])       interpolation=InterpolationMode.BILINEAR
    )                                                )

This is the `repr` of torchvision's transforms; program text, `transforms.Compose([…])`, is read
too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from resnet_serve.checkpoints.transforms.steps import Step

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][\w.]*)|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    r"|(?P<text>'[^'\n]*'|\"[^\"\n]*\")|(?P<mark>[()\[\],=:{}]))"
)
# The arguments that program text gives by their place.
_PLACES = {
    "Compose": ("transforms",),
    "Sequential": ("transforms",),
    "Resize": ("size", "interpolation"),
    "CenterCrop": ("size",),
    "Normalize": ("mean", "std"),
    "Grayscale": ("num_output_channels",),
    "ConvertImageDtype": ("dtype",),
}
_DEEPEST = 12
_LONGEST = 20_000


def step_of(text: str) -> Step | None:
    """The transform that a text writes; None for any other text."""
    if len(text) > _LONGEST or not re.match(r"\s*[\w.]+\(", text):
        return None
    try:
        tokens = _Tokens(text)
        found = tokens.value(0)
        tokens.end()
    except (ValueError, LookupError):
        return None
    return found if isinstance(found, Step) else None


class _Tokens:
    """A text in tokens, read from the left; every method raises `ValueError` for another text."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_split(text))
        self._at = 0

    def value(self, depth: int) -> Any:
        """A call, a list, a number, a text or a name."""
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        kind, token = self._take()
        if kind == "number":
            return ast.literal_eval(token)
        if kind == "text":
            return token[1:-1]
        if token in ("[", "("):
            return self._list({"[": "]", "(": ")"}[token], depth)
        if kind != "name":
            raise ValueError(token)
        if self._next() == "(":
            self._take()
            return self._call(token, depth)
        return {"None": None, "True": True, "False": False}.get(token, token)

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._tokens):
            raise ValueError("more follows")

    def _call(self, name: str, depth: int) -> Step:
        kind = name.rpartition(".")[2]
        placed: list[Any] = []
        fields: dict[str, Any] = {}
        while self._next() != ")":
            if self._next() == ",":
                self._take()
            elif self._numbered():  # "(0): Resize(…)" of a Sequential
                self._at += 4
            elif self._next(1) == "=":
                key = self._take()[1]
                self._take()
                fields[key] = self.value(depth + 1)
            else:
                placed.append(self.value(depth + 1))
        self._take()
        if placed and all(isinstance(each, Step) for each in placed):
            fields.setdefault("transforms", placed)
        else:
            fields |= dict(zip(_PLACES.get(kind, ()), placed, strict=False))
        library = "albumentations" if name.startswith(("A.", "albumentations.")) else "torchvision"
        return Step(f"{library}.transforms.{kind}", fields)

    def _list(self, closing: str, depth: int) -> list[Any]:
        found = []
        while self._next() != closing:
            if self._next() == ",":
                self._take()
            else:
                found.append(self.value(depth + 1))
        self._take()
        return found

    def _numbered(self) -> bool:
        return self._next() == "(" and self._next(2) == ")" and self._next(3) == ":"

    def _next(self, ahead: int = 0) -> str:
        return self._tokens[self._at + ahead][1] if self._at + ahead < len(self._tokens) else ""

    def _take(self) -> tuple[str, str]:
        self._at += 1
        return self._tokens[self._at - 1]


def _split(text: str) -> Iterator[tuple[str, str]]:
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ValueError(text[at : at + 20])
        yield match.lastgroup, match[match.lastgroup]
        at = match.end()
