"""How far a TensorRT build is: its nested phases as one number, and the way to stop it.

TensorRT reports phases within phases, each with its number of steps, from several threads. A
phase's share is its finished steps, plus the share of the phase inside its current step:

    share(p) = (done(p) + max over children share(c)) / steps(p)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_serve.optional import optional

if TYPE_CHECKING:
    import tensorrt as trt
else:
    trt = optional("tensorrt", extra="tensorrt")

TOTAL = 1000  # steps of the bar


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class BuildProgress:
    """Phases in, `show(done, TOTAL)` out; never goes backwards."""

    def __init__(self, show: Callable[[int, int], None] | None = None) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._shown = 0
        self._cancelled = False

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, steps))

    def step(self, name: str) -> bool:
        """One more step of a phase is done; False asks TensorRT to stop."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done += 1
            self._update()
            return not self._cancelled

    def finish(self, name: str) -> None:
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None and phase.parent is not None:
                del self._phases[name]  # the parent's next step counts it
            elif phase is not None:
                phase.done = phase.steps
            self._update()

    def cancel(self) -> None:
        """Let the next finished step be the last."""
        with self._lock:
            self._cancelled = True

    def _update(self) -> None:
        roots = [name for name, phase in self._phases.items() if phase.parent is None]
        share = max((self._share(name) for name in roots), default=0.0)
        shown = int(TOTAL * share)
        if shown > self._shown and self._show is not None:
            self._shown = shown
            self._show(shown, TOTAL)

    def _share(self, name: str) -> float:
        phase = self._phases[name]
        inside = [self._share(child) for child, p in self._phases.items() if p.parent == name]
        return min(1.0, (phase.done + max(inside, default=0.0)) / phase.steps)


def make_monitor(progress: BuildProgress) -> trt.IProgressMonitor:
    """The object that TensorRT tells; it must live as long as the build."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:  # noqa: ARG002
            return progress.step(phase_name)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
