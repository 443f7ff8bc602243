"""The files of a version against the hashes of its passport, and the served copies against them.

Triton reads `net/config.pbtxt` and `net/labels.txt`; which version they belong to is compared here
with the files that the version itself keeps. Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from google.protobuf import text_format

from resnet_serve import composed, durable
from resnet_serve.errors import InputFileError
from resnet_serve.triton import config
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import CONFIG_FILE, canaries, whole
from resnet_serve.triton.repository.versions import Deployed

Verdict: TypeAlias = Literal["ok", "differs", "damaged", "refused", "unknown"]
_MOST_LINES = 3
LEFT_OUT = "encoded images"  # the subject of models that take them, where they are not there
DEPLOY_AGAIN = "deploy it again with resnet-convert, or copy it here again"


@dataclass(frozen=True)
class Row:
    """One comparison. `found` has both sides, `remedy` what to do unless it is ok."""

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""


def compare(path: Path, sha256: str, subject: str) -> Row:
    """A file with the hash that the passport has of it."""
    try:
        found = durable.sha256(path)
    except FileNotFoundError:
        return Row(subject, "damaged", f"{path} is not there", DEPLOY_AGAIN)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = str(getattr(error, "strerror", None) or error).lower()
        return Row(subject, "unknown", f"{path} cannot be read: {reason}", "make it readable")
    if found != sha256:
        detail = f"{path} has sha256 {found[:12]}…, the passport {sha256[:12]}…"
        return Row(subject, "damaged", detail, DEPLOY_AGAIN)
    return Row(subject, "ok", f"{path.name} has the sha256 of the passport")


def rows(deployed: Deployed) -> Iterator[Row]:
    """Every file that the version keeps, and what is served of it; one row where all are right."""
    if deployed.passport.files is None:
        yield _earlier(deployed)
        return
    left = deployed.not_copied
    compared = of_version(deployed, without=left)
    if left:
        what = f"{' and '.join(left)} were not copied with it: it is served without them"
        yield Row(LEFT_OUT, "ok", what)
    yield from (row for row in compared if row.verdict != "ok")
    if all(row.verdict == "ok" for row in compared):
        yield Row("files", "ok", f"{len(compared)} files have the sha256 of the passport")
        if deployed.served:
            yield from _served(deployed)


def all_rows(deployed: Deployed) -> Iterator[Row]:
    """The same of a version and, if it is composed of others, of every member.

    A member must be the file that it was proved with, and be served at that version.
    """
    yield from rows(deployed)
    pins = composed.members(deployed.passport)
    if not pins:
        return
    try:
        members = composed.pinned(deployed)
    except InputFileError as error:
        yield Row("members", "damaged", error.what, f"{error.remedy or DEPLOY_AGAIN}")
        return
    for pin, member in zip(pins, members, strict=True):
        subject = f"member {pin.name}"
        path = member.path / member.passport.model.file
        found = [compare(path, pin.sha256, f"the file of {pin.name}"), *rows(member)]
        wrong = [row for row in found if row.verdict != "ok"]
        yield from (replace(row, subject=f"{subject}: {row.subject}") for row in wrong)
        if not member.served:
            remedy = f"serve it: resnet-serve promote {pin.name} {pin.version}"
            yield Row(subject, "differs", f"version {pin.version} is not served", remedy)
        elif not wrong:
            yield Row(subject, "ok", f"version {pin.version}, as it was proved with")


def of_version(deployed: Deployed, *, without: Collection[str] = ()) -> list[Row]:
    """A row for each file of which the passport has a hash, but for those of some models."""
    stamped = deployed.passport.files or {}
    if deployed.name not in stamped:  # a copy under another name
        stamped = {deployed.name: stamped.get(deployed.passport.name, {})}
    number = str(deployed.version)
    return [
        compare(deployed.directory(model) / number / file, sha256, f"{model}/{file}")
        for model, files in stamped.items()
        if model not in without
        for file, sha256 in files.items()
    ]


def earlier(found: Iterable[Deployed]) -> Iterator[str]:
    """A line for each version that an earlier resnet-serve deployed; for many, one for the rest."""
    without = [deployed for deployed in found if deployed.passport.files is None]
    for deployed in without[:_MOST_LINES]:
        row = _earlier(deployed)
        yield f"{deployed}: {row.found}; {row.remedy}"
    if len(without) > _MOST_LINES:
        more = len(without) - _MOST_LINES
        yield f"{more} more versions are such: resnet-serve verify --host names all"


def edited(found: Iterable[Deployed]) -> Iterator[str]:
    """A line for each file that Triton reads and that is not the served version's own.

    Backends compare what the version keeps; of these copies only `rows` and this tell.
    """
    for deployed in found:
        if deployed.passport.files is not None:
            for row in _served(deployed):
                if row.verdict != "ok":
                    yield f"{deployed}: {row.found}" + (row.remedy and f"; {row.remedy}")


def _earlier(deployed: Deployed) -> Row:
    kept = deployed.served or whole.keeps_its_own(deployed.path)
    remedy = (
        f"store them as they are now: resnet-serve promote {deployed.name} {deployed.version}"
        if kept
        else f"convert it again: {deployed.passport.command}"
    )
    what = "an earlier resnet-serve deployed it, without hashes of its configuration and labels"
    return Row("files", "unknown", what, remedy)


def _served(deployed: Deployed) -> Iterator[Row]:
    """The files that Triton reads in the models' directories."""
    remedy = f"put it back: resnet-serve promote {deployed.name} {deployed.version}"
    wrong = []
    for model in deployed.models:
        folder = deployed.directory(model)
        try:
            own = whole.copies(folder / str(deployed.version), deployed.models)
            if split := canaries.running(folder):
                text = (folder / str(deployed.version) / CONFIG_FILE).read_text(encoding="utf-8")
                own[CONFIG_FILE] = canaries.router(text, split).encode()
            for file in (CONFIG_FILE, LABELS_FILE):
                if not _same(folder / file, own.get(file)):
                    what = f"{folder / file} is not that of version {deployed.version}"
                    wrong.append(Row("served copy", "damaged", what, remedy))
        except OSError as error:
            reason = str(error.strerror).lower()
            wrong.append(
                Row("served copy", "unknown", f"{error.filename} cannot be read: {reason}", "")
            )
    yield from wrong
    if not wrong:
        what = f"configuration and labels are those of version {deployed.version}"
        yield Row("served copy", "ok", what)


def _same(path: Path, expected: bytes | None) -> bool:
    if not path.exists() or expected is None:
        return not path.exists() and expected is None
    found = path.read_bytes()
    if path.name != CONFIG_FILE:
        return found == expected
    return bool(_parsed(found) == _parsed(expected))


def _parsed(text: bytes) -> Any:
    """Two texts of one configuration may be written differently by different protobuf versions."""
    try:
        return config.parse(text.decode())
    except (text_format.ParseError, UnicodeDecodeError):
        return None
