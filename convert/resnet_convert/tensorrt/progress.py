"""Progress: how far a TensorRT build is, its nested phases as one number, and how to cancel it.

TensorRT reports phases within phases, each with its number of steps, from several threads. The
share of a phase is its finished steps, plus the share of the phase inside its current step:

    share(p) = (done(p) + max over children share(c)) / steps(p)

Reference: TensorRT Python API, IProgressMonitor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_serve.runtimes.tensorrt_flavours import Library

if TYPE_CHECKING:
    import tensorrt as trt

TOTAL = 1000  # steps of the bar


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class BuildProgress:
    """Collects the phases of a build and calls `show(done, TOTAL)`; `done` never decreases.

    Its methods may be called from any thread.
    """

    def __init__(self, show: Callable[[int, int], None] | None = None) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._shown = 0
        self._cancelled = False

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins, inside the current step of `parent`, if any."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, steps))

    def step(self, name: str) -> bool:
        """One more step of a phase is done; returns False where the build is cancelled."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done += 1
            self._update()
            return not self._cancelled

    def finish(self, name: str) -> None:
        """A phase ends, whether all of its steps were reported or not."""
        with self._lock:
            phase = self._phases.get(name)
            if phase is not None and phase.parent is not None:
                del self._phases[name]  # the parent's next step counts it
            elif phase is not None:
                phase.done = phase.steps
            self._update()

    def cancel(self) -> None:
        """Make the next finished step the last one."""
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


def make_monitor(library: Library, progress: BuildProgress) -> trt.IProgressMonitor:
    """The progress monitor for a build; TensorRT does not keep it alive, so the caller must."""
    if not TYPE_CHECKING:
        trt = library

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:  # noqa: ARG002
            return progress.step(phase_name)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
