"""Judge: what TensorRT-RTX's real parser and builder say of graphs, without a GPU or a driver.

    with Judge() as judge:
        verdict = judge.ask(Question(model))

One child process answers many questions. A graph that ends it gets a verdict with the signal, and
the next graph a fresh process; so does the graph after a refused build, because TensorRT-RTX 1.7.1
then builds as if for the targets that were refused.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from threading import Timer
from types import TracebackType
from typing import Any

from resnet_convert.tensorrt.judging.verdict import REFUSED_BUILD, Question, Verdict
from resnet_serve.errors import HostError

LONGEST_S = 900  # of one graph; a network of 1202 layers in INT8 takes a tenth of it


class Judge:
    """Asks the library in a child process, which is started by the first question.

    `environment` is that of the child, by default this process's own. A child that gives no
    verdict within `longest_s` is ended.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, *, longest_s: float = LONGEST_S
    ) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._child: _Child | None = None
        self._version = ""
        self.longest_s = longest_s

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def version(self) -> str:
        """The library's version. `HostError` where it is not installed or cannot be loaded."""
        self._started()
        return self._version

    def ask(self, question: Question) -> Verdict:
        """The verdict on one graph. `HostError` where there is no library, as in `version`."""
        child = self._started()
        answer = child.ask(question, self.longest_s)
        if isinstance(answer, Verdict):
            if answer.outcome == REFUSED_BUILD:
                self.close()
            return answer
        code = child.process.wait()
        reason = f"no verdict within {self.longest_s:g} s" if child.late else child.last_words()
        self.close()
        if code >= 0:
            raise HostError(f"the process of TensorRT-RTX ended with code {code} ({reason})")
        return Verdict(tensorrt=self._version, signal=-code, errors=(reason,))

    def close(self) -> None:
        """End the child; a later question starts another."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _started(self) -> _Child:
        if self._child is None:
            self._child = _Child(self._environment)
            first = self._child.receive(self.longest_s)
            if not isinstance(first, str):
                reason = self._child.last_words()
                self.close()
                raise first if isinstance(first, HostError) else _unusable(reason)
            self._version = first
        return self._child


class _Child:
    """The process of `judge_process.py`, and the pipes to it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.process = subprocess.Popen(
            [sys.executable, "-m", "resnet_convert.tensorrt.judging.judge_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
        )
        self.late = False

    def ask(self, question: Question, longest_s: float) -> Any:
        """What the child answers; None where it ends instead."""
        assert self.process.stdin is not None  # noqa: S101 - a pipe, see __init__
        with suppress(BrokenPipeError):
            pickle.dump(question, self.process.stdin)
            self.process.stdin.flush()
        return self.receive(longest_s)

    def receive(self, longest_s: float) -> Any:
        """What the child sends next; None where it ends instead, or is ended for being late."""
        assert self.process.stdout is not None  # noqa: S101 - a pipe, see __init__
        timer = Timer(longest_s, self._end)
        timer.daemon = True
        timer.start()
        try:
            return pickle.load(self.process.stdout)  # noqa: S301 - our own child wrote it
        except (EOFError, pickle.UnpicklingError):
            return None
        finally:
            timer.cancel()

    def last_words(self) -> str:
        """The last line that the child wrote to stderr."""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote no reason"

    def close(self) -> None:
        """End the process, and close its pipes."""
        self.process.kill()
        with suppress(BrokenPipeError):
            self.process.communicate()
        self._said.close()

    def _end(self) -> None:
        self.late = True
        self.process.kill()


def _unusable(reason: str) -> HostError:
    return HostError(
        f"TensorRT-RTX cannot be loaded here ({reason})",
        remedy="Install it again: pip install --force-reinstall 'resnet-serve[tensorrt-rtx]'.",
    )
