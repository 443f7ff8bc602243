"""Read a Dockerfile and a .dockerignore: as much of their grammar as ours use."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One instruction: its name in capitals, its flags, and the rest on one line."""

    name: str
    flags: dict[str, str]
    rest: str

    @property
    def words(self) -> list[str]:
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)


@dataclass(frozen=True)
class Stage:
    name: str
    base: str
    steps: tuple[Step, ...]

    def of(self, name: str) -> list[Step]:
        return [step for step in self.steps if step.name == name]


def steps(text: str) -> Iterator[Step]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = line.strip().partition(" ")
        flags = {}
        while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[found[1]] = found[2]
            rest = rest[found.end() :]
        if name:
            yield Step(name.upper(), flags, rest)


def read(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first FROM, and the stages."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for step in steps(text):
        if step.name == "FROM":
            found = re.fullmatch(r"(\S+)\s+AS\s+(\S+)", step.rest)
            assert found, f"a stage without a name: {step.rest}"
            stages.append(Stage(found[2], found[1], ()))
        elif not stages:
            assert step.name == "ARG", f"{step.name} before FROM"
            arguments.update([step.rest.split("=", 1)])
        else:
            last = stages[-1]
            stages[-1] = Stage(last.name, last.base, (*last.steps, step))
    return arguments, stages


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether a path is left out: the last pattern that fits it or a parent decides."""
    found = False
    parts = path.split("/")
    for pattern in patterns:
        negated, bare = pattern.startswith("!"), pattern.removeprefix("!").strip("/")
        escaped = re.escape(bare).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        parents = ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
        if any(re.fullmatch(escaped, parent) for parent in parents):
            found = not negated
    return found
