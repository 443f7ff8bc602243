"""Verdict: what TensorRT-RTX's parser and builder say of one graph, and what they are asked.

Plain values, which go through a pipe between this process and the one that holds the library.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnet_serve.runtimes.profiles import Profile

# What TensorRT-RTX builds for when nothing is set.
DEFAULT_TARGETS = ("8.0", "8.6", "8.9", "12.0")

REFUSED_BUILD = "the builder refuses"


@dataclass(frozen=True)
class Question:
    """A graph, and for what it is built.

    `targets` are compute capabilities. An open dimension of an input
    other than the batch is built for `open_side` elements. Without `build` it is only parsed.
    """

    model: bytes
    targets: tuple[str, ...] = DEFAULT_TARGETS
    profiles: tuple[Profile, ...] = (Profile(1, 4, 8),)
    open_side: int = 224
    build: bool = True


@dataclass(frozen=True)
class Refusal:
    """A refusal of the parser: the layer in the graph's own name, "" where it names none."""

    layer: str
    operator: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What became of one graph.

    `tensorrt` is the library's version, "" where the process ended before it said so. `parsed` and
    `plan_bytes` say how far it came. `layers` is the layer list of the build log, as it was
    logged. `signal` is the signal that ended the process of the library, None where it returned.
    `errors` and `warnings` are the library's own lines.
    """

    tensorrt: str = ""
    parsed: bool = False
    refusals: tuple[Refusal, ...] = ()
    plan_bytes: int | None = None
    layers: str = ""
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    signal: int | None = None

    @property
    def built(self) -> bool:
        """Whether the builder made a plan."""
        return self.plan_bytes is not None

    @property
    def outcome(self) -> str:
        """One of "built", "parsed", "the parser refuses", "the builder refuses", "crashed"."""
        if self.signal is not None:
            return "crashed"
        if not self.parsed:
            return "the parser refuses"
        if self.built:
            return "built"
        return REFUSED_BUILD if self.errors else "parsed"
