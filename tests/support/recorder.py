"""Somebody who watches a conversion, and may press Ctrl-C."""

from __future__ import annotations

from resnet_convert.stage_log import Silent


class Recorder(Silent):
    """Notes what it is told; raises KeyboardInterrupt at `moment`, as Ctrl-C would."""

    def __init__(self, moment: tuple[str, str] | None = None) -> None:
        self.moment = moment
        self.stages: list[str] = []
        self.summaries: list[str] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)
        self._now("stage")

    def advance(self, done: int, total: int) -> None:
        assert 0 < done <= total
        self._now("advance")

    def finish(self, summary: str) -> None:
        self.summaries.append(summary)
        self._now("finish")

    def _now(self, event: str) -> None:
        if self.moment == (self.stages[-1], event):
            raise KeyboardInterrupt
