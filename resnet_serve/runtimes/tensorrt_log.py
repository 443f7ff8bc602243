"""What a TensorRT library logs: its errors, and of a build the parsed nodes and the layers.

A process has one logger per library: TensorRT keeps the first that it is given and ignores the
others, with a warning, so an object of its own per build would stay empty. Every `Log` collects
from that one logger while it exists.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING
from weakref import WeakSet

from resnet_serve.runtimes.tensorrt_flavours import FLAVOURS, Flavour, Library

if TYPE_CHECKING:
    import tensorrt as trt

_KEPT_ERRORS = 200
_LAYERS = "Layers:"
_PARSING = "Parsing node: "


class Log:
    """What the library of a flavour has logged since this was made; pass its `logger` to it.

    `parsing` is the node that the parser read last, as `NAME [OPERATOR]`; `layers` is the text of
    the list of layers that a build with detailed verbosity logs, which TensorRT-RTX alone does.
    Both are "" until then. TensorRT logs from several threads.
    """

    def __init__(self, flavour: Flavour) -> None:
        self.title = flavour.title
        self._errors: deque[str] = deque(maxlen=_KEPT_ERRORS)
        self.parsing = ""
        self.layers = ""
        self.logger, listeners = _logger(flavour.library())
        listeners.add(self)

    @property
    def errors(self) -> list[str]:
        """The errors, each as one line, oldest first."""
        return list(self._errors)

    @property
    def last_error(self) -> str:
        """The newest error; "" when there is none."""
        return (self.errors or [""])[-1]

    def error(self, message: str) -> None:
        """The library logged an error."""
        self._errors.append(" ".join(message.split()))

    def detail(self, message: str) -> None:
        """The library logged something that is no error."""
        if message.startswith(_PARSING):
            self.parsing = message.removeprefix(_PARSING).strip()
        elif message.startswith(_LAYERS):
            self.layers = message


class _Listeners:
    """The logs that exist; one lock, as they come and go in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: WeakSet[Log] = WeakSet()

    def add(self, log: Log) -> None:
        """One more log, for as long as something else refers to it."""
        with self._lock:
            self._logs.add(log)

    def now(self) -> list[Log]:
        """The logs that exist at this moment."""
        with self._lock:
            return list(self._logs)


@lru_cache(maxsize=len(FLAVOURS))
def _logger(library: Library) -> tuple[trt.ILogger, _Listeners]:
    """The process's logger for one library; its base class exists only where the library does."""
    listeners = _Listeners()
    severity = library.ILogger.Severity
    errors = (severity.ERROR, severity.INTERNAL_ERROR)

    if not TYPE_CHECKING:
        trt = library

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            wrong = severity in errors
            if wrong or msg.startswith((_LAYERS, _PARSING)):
                for log in listeners.now():
                    (log.error if wrong else log.detail)(msg)

    return Logger(), listeners
