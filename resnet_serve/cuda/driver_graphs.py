"""CUDA graphs through the driver's own C API, for a binding that has none (pycuda).

    cuStreamBeginCapture ─► enqueue ─► cuStreamEndCapture ─► cuGraphInstantiate ─► cuGraphLaunch

Reference: CUDA Driver API, "Graph Management"; the numbers are those of cuda.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from resnet_serve.errors import HostError

_CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1  # the work of other threads is not captured
_HANDLE, _HANDLES = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
_ARGUMENTS: dict[str, list[object]] = {
    "cuStreamBeginCapture_v2": [_HANDLE, ctypes.c_int],
    "cuStreamEndCapture": [_HANDLE, _HANDLES],
    "cuGraphInstantiateWithFlags": [_HANDLES, _HANDLE, ctypes.c_ulonglong],
    "cuGraphLaunch": [_HANDLE, _HANDLE],
    "cuGraphExecDestroy": [_HANDLE],
    "cuGraphDestroy": [_HANDLE],
    "cuGetErrorString": [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)],
}


class DriverGraphs:
    """CUDA graphs of one driver library; streams and graphs are handles, as integers.

    Every CUresult is checked. Raises `HostError` for a driver without CUDA graphs.
    """

    def __init__(self, library: str) -> None:
        self._driver = ctypes.CDLL(library)
        for name, arguments in _ARGUMENTS.items():
            try:
                function = getattr(self._driver, name)
            except AttributeError as error:
                raise HostError(
                    f"this host's CUDA driver has no {name}",
                    where=library,
                    remedy="Update the driver: CUDA graphs need one of CUDA 11.4 or newer.",
                ) from error
            function.argtypes, function.restype = arguments, ctypes.c_int

    def capture(self, stream: int, enqueue: Callable[[], None]) -> int:
        """An executable graph of the work that `enqueue` queues in the stream."""
        self._call("cuStreamBeginCapture_v2", stream, _CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        try:
            enqueue()
        except BaseException:
            # The stream cannot be used until its capture has ended; its failure is expected here.
            self._driver.cuStreamEndCapture(stream, ctypes.byref(graph))
            if graph.value:
                self._driver.cuGraphDestroy(graph)
            raise
        self._call("cuStreamEndCapture", stream, ctypes.byref(graph))
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)
        return int(executable.value or 0)

    def launch(self, graph: int, stream: int) -> None:
        """Queue the graph in the stream."""
        self._call("cuGraphLaunch", graph, stream)

    def destroy(self, graph: int) -> None:
        """Release an executable graph."""
        self._call("cuGraphExecDestroy", graph)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._driver, name)(*arguments)
        if status:
            raise HostError(f"{name} failed: {self._text(status)}")

    def _text(self, status: int) -> str:
        text = ctypes.c_char_p()
        self._driver.cuGetErrorString(status, ctypes.byref(text))
        return text.value.decode(errors="replace") if text.value else f"CUresult {status}"
