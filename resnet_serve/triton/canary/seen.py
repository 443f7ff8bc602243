"""What a canary has seen: how often it was asked, and how its answers compare with the old ones.

The router keeps it in a file in its server's folder, which `resnet-serve list` reads and a router
that is started again goes on from: `<folder>/canary/net_image.json`.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from resnet_serve.triton.canary.split import Split

FOLDER = "canary"


@dataclass(frozen=True)
class Seen:
    """Counts since the canary began. `chosen` requests went to the new version too.

    Of these, `compared` images were answered by both, `agreed` with the same decision (None where
    nothing is decided), their outputs `distance` apart at most. `errors` are chosen requests that
    only the old version answered, or the new one too late; `error` is the last. `new_s` and `old_s`
    are the times of `answered` requests together, sent to both at once.
    """

    requests: int = 0
    chosen: int = 0
    answered: int = 0
    compared: int = 0
    agreed: int | None = None
    distance: float = 0.0
    errors: int = 0
    error: str = ""
    new_s: float = 0.0
    old_s: float = 0.0

    def failed(self, reason: str) -> Self:
        """And one more chosen request that only the old version answered."""
        return replace(self, errors=self.errors + 1, error=" ".join(reason.split())[:200])

    def and_compared(
        self, images: int, agreed: int | None, distance: float, new_s: float, old_s: float
    ) -> Self:
        """And one more request that both versions answered."""
        return replace(
            self,
            answered=self.answered + 1,
            compared=self.compared + images,
            agreed=None if agreed is None else (self.agreed or 0) + agreed,
            distance=max(self.distance, distance),
            new_s=self.new_s + new_s,
            old_s=self.old_s + old_s,
        )

    def told(self, split: Split) -> str:
        """One line for people."""
        parts = [f"version {split.new} got {self.chosen:,} of {self.requests:,} requests"]
        if self.compared:
            if self.agreed is not None:
                same = 100 * self.agreed / self.compared
                parts.append(
                    f"{same:.2f} % of {self.compared:,} images decided as by version {split.old}"
                )
            parts.append(f"outputs at most {self.distance:.3g} apart")
        if self.answered:
            new_ms, old_ms = (1000 * each / self.answered for each in (self.new_s, self.old_s))
            parts.append(f"{new_ms:.1f} ms, version {split.old} {old_ms:.1f} ms")
        parts.append(
            f"{self.errors:,} errors" + (f" (the last: {self.error})" if self.error else "")
        )
        return "; ".join(parts)


def path(folder: Path, model: str) -> Path:
    """The file of one model's split in a server's folder."""
    return folder / FOLDER / f"{model}.json"


def read(file: Path, split: Split) -> Seen | None:
    """What was seen of this very split; None where there is no file of it."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data.pop("split") != split.to_text():
            return None
        return Seen(**data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write(file: Path, split: Split, seen: Seen) -> None:
    """Keep it; where that cannot be written, nothing is kept."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        fresh.write_text(json.dumps({"split": split.to_text(), **asdict(seen)}), encoding="utf-8")
        fresh.replace(file)
