"""Arguments that the process list does not show, for a program that takes its key as one.

Every user may read /proc/PID/cmdline, which is the memory where the kernel put the arguments. The
environment of a process can be read by its own user only. The program is stopped at its first
instruction, and the pointers to its secret arguments are set to variables of its environment:

    argv[5] ─► "--key=hidden"          becomes          argv[5] ─► environ: "VARIABLE_5=--key=…"

It needs ptrace(2) on one's own child. Layout: System V ABI, "Initial Process Stack", 64 bit.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from resnet_serve.triton.supervision.program.launch import CANNOT_HIDE, VARIABLE

HIDDEN = "hidden"
_DETACH = 17
_START_STACK = 25  # field 28 of /proc/PID/stat, counted after the name
_WORD = 8
_CHUNK = 4096


def hide(command: Sequence[str], secret: str) -> tuple[list[str], dict[str, str]]:
    """The command with the secret hidden, and the environment variables with the true arguments."""
    shown, variables = list(command), {}
    for index, word in enumerate(command):
        if secret and secret in word:
            shown[index] = word.replace(secret, HIDDEN)
            variables[f"{VARIABLE}{index}"] = word
    return shown, variables


def give(pid: int, secret: str) -> None:
    """Wait until a child of this thread stops at its exec, then give it its true arguments.

    It is one that `launch` makes with the variables of `hide`. Does nothing if it has ended for
    another reason. Raises `OSError` where the system allows no tracing; it is then to be killed.
    """
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
    if found is None or found.si_code not in (os.CLD_STOPPED, os.CLD_TRAPPED):
        if found is not None and found.si_status == CANNOT_HIDE:
            raise PermissionError("tracing is not allowed")
        return
    os.waitpid(pid, os.WUNTRACED)
    try:
        _redirect(pid, secret)
    finally:
        ctypes.CDLL(None).ptrace(*map(ctypes.c_long, (_DETACH, pid, 0, 0)))


def _redirect(pid: int, secret: str) -> None:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    stack = int(stat[_START_STACK])
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        (count,) = struct.unpack("=Q", _read(memory, stack, _WORD))
        arguments = list(_strings(memory, stack + _WORD))
        wanted = {}
        for _, pointer, text in _strings(memory, stack + (count + 2) * _WORD):
            name, equals, value = text.partition("=")
            if name.startswith(VARIABLE):
                wanted[value.replace(secret, HIDDEN)] = pointer + len(name + equals)
        for place, _, text in arguments:
            if text in wanted:
                memory.seek(place)
                memory.write(struct.pack("=Q", wanted.pop(text)))
        if wanted:
            raise OSError("the arguments of the new program were not found")


def _strings(memory: IO[bytes], place: int) -> Iterator[tuple[int, int, str]]:
    """The strings of an array of pointers that ends with 0: place of the pointer, pointer, text."""
    while True:
        (pointer,) = struct.unpack("=Q", _read(memory, place, _WORD))
        if not pointer:
            return
        text = b""
        while b"\0" not in text:
            chunk = _read(memory, pointer + len(text), _CHUNK - (pointer + len(text)) % _CHUNK)
            text += chunk
        yield place, pointer, os.fsdecode(text.partition(b"\0")[0])
        place += _WORD


def _read(memory: IO[bytes], place: int, count: int) -> bytes:
    memory.seek(place)
    data = memory.read(count)
    if not data:
        raise OSError("the memory of the new program cannot be read")
    return data
