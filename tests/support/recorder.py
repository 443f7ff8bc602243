"""A progress callback that records a conversion, and can raise what Ctrl-C raises."""

from __future__ import annotations

from resnet_convert.stage_log import Silent


class Recorder(Silent):
    """Records stages and summaries; raises KeyboardInterrupt at `moment`, (stage, event)."""

    def __init__(self, moment: tuple[str, str] | None = None) -> None:
        self.moment = moment
        self.stages: list[str] = []
        self.summaries: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)
        self._now("stage")

    def advance(self, done: int, total: int) -> None:
        assert 0 < done <= total
        self._now("advance")

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finish(self, summary: str) -> None:
        self.summaries.append(summary)
        self._now("finish")

    def _now(self, event: str) -> None:
        if self.moment == (self.stages[-1], event):
            raise KeyboardInterrupt
