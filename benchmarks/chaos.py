"""Chaos: a served model whose processes are killed and whose version changes, under load.

    python benchmarks/chaos.py --seconds 180 --seed 0

Clients classify images without a pause while a seeded schedule kills the server, its backend
processes, its supervisor, the clients and a command that changes the version, and promotes and
rolls back. Each answer must be right for a version that was served between question and answer,
each failure one that the client calls retryable; when all is quiet again, the server must serve
what the repository says. Exit code 1 otherwise. The times are from an event to the first right
answers over both paths: image files and pixels. A server whose supervisor was killed ends, and is
started again with `resnet-serve up --detach`. Results go to benchmarks/results/ with the date and
the hardware.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import chaos_clients
import versioned
from chaos_clients import MODEL, WAYS, Answer, ask
from chaos_judged import Happened, Run, Timeline, broken, rows, summary
from chaos_place import PATIENCE_S, VERSIONS, Place, opened, wait_for
from recorded import record

from resnet_client import Classifier
from resnet_serve.parity import pressure
from resnet_serve.parity.latency import PRESSED
from resnet_serve.triton.supervision.detached import Process
from resnet_serve.triton.supervision.status import GAVE_UP

SERVER, STUB, SUPERVISOR = "server killed", "backend process killed", "supervisor killed"
CLIENT, CHANGE = "client killed", "version changed"
SERVER_IN_CHANGE = "server killed during a change"
CHANGE_KILLED = "change killed, and done again"
KINDS = (SERVER, STUB, SUPERVISOR, CLIENT, CHANGE, SERVER_IN_CHANGE, CHANGE, CHANGE_KILLED)
_PAUSES_S = (0.5, 3.0)
_SWAP_S = 2.0  # from the swap in the repository to the last moment of a kill after it


@dataclass(frozen=True)
class Event:
    """What happens after a pause; `moment`, 0 to 1, chooses the victim, or the time of the kill."""

    kind: str
    pause_s: float
    moment: float
    after_swap: bool


def schedule(
    seed: int, kinds: Sequence[str] = KINDS, pauses_s: tuple[float, float] = _PAUSES_S
) -> Iterator[Event]:
    """Events without end: every kind once, in random order, and again."""
    choose = random.Random(seed)  # noqa: S311 - a schedule
    while True:
        for kind in choose.sample(kinds, len(kinds)):
            pause_s = choose.uniform(*pauses_s)
            yield Event(kind, pause_s, choose.random(), choose.random() < 0.5)


class Chaos:
    """Events on one place; what came of them is in `came`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._change_s = 5.0  # the time of a change, once one was seen
        self._restarts = 0
        self._probes = [Classifier(place.url, MODEL, decode=decode, timeout_s=5) for decode in WAYS]
        self.came = Run(time.monotonic(), Timeline())
        self.came.timeline.only(place.served, -math.inf)

    def run(self, events: Iterable[Event]) -> None:
        """Let them happen one after another, each when all is quiet again."""
        self._quiet()
        for event in events:
            time.sleep(event.pause_s)
            began = time.monotonic()
            since, said = self._happen(event)
            quiet = self._quiet()
            status = self._place.status
            restarts, self._restarts = status.restarts - self._restarts, status.restarts
            says_s = status.recovery_s if restarts else None
            self.came.happened.append(
                Happened(event.kind, began, since, quiet, restarts, says_s, said)
            )
            print(f"{event.kind:30} {quiet - since:6.1f} s  {said}", flush=True)

    def close(self) -> None:
        """Close the connections."""
        for each in self._probes:
            each.close()

    def _happen(self, event: Event) -> tuple[float, str]:
        """Let it happen; returns the moment of the kill, or of the beginning, and what was said."""
        place = self._place
        if event.kind == SERVER:
            return self._kill(place.server_pid()), ""
        if event.kind == STUB:
            stubs = sorted(place.stubs(), key=lambda each: each.instance)
            stub = stubs[int(event.moment * len(stubs))]
            return self._kill(stub.pid), stub.instance
        if event.kind == SUPERVISOR:
            return self._supervisor()
        if event.kind == CLIENT:
            client = place.clients[int(event.moment * len(place.clients))]
            killed = self._kill(client.process.pid)
            place.replace_client(client)
            return killed, f"client {client.number}"
        return self._change(event)

    @staticmethod
    def _kill(pid: int) -> float:
        """SIGKILL; returns the moment, after the process has ended."""
        process, killed = Process.of(pid), time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not process.alive, f"the end of process {pid}")
        return killed

    def _supervisor(self) -> tuple[float, str]:
        """The server gets SIGTERM from the kernel, drains and ends; then it is started again."""
        server = Process.of(self._place.server_pid())
        killed = self._kill(self._place.server.supervisor.pid)
        wait_for(lambda: not server.alive, "the end of the server")
        ended_s = time.monotonic() - killed
        self._restarts = 0
        self._place.up()
        return killed, f"the server ended after {ended_s:.1f} s and was started again"

    def _change(self, event: Event) -> tuple[float, str]:
        place = self._place
        old, began = place.served, time.monotonic()
        new = next(each for each in VERSIONS if each != old)
        self.came.timeline.may(new, began)
        command = place.change(new)
        said, since = f"{old} to {new}", began
        if event.kind != CHANGE:
            self._wait_in_change(command, event, new)
            since = time.monotonic()
            said += f", killed after {since - began:.1f} s"
            if event.kind == CHANGE_KILLED:
                command.kill()
            else:
                self._kill(place.server_pid())
        code = command.wait()
        if event.kind == CHANGE_KILLED:
            code = place.change(new).wait()
        if code:
            said += f", exit code {code}: {place.said()}"
            if event.kind != SERVER_IN_CHANGE:
                self.came.wrong.append(f"{event.kind}: {said}")
        else:
            self.came.timeline.only(new, time.monotonic())
        if event.kind == CHANGE:
            self._change_s = time.monotonic() - began
        return since, said

    def _wait_in_change(self, command: subprocess.Popen[bytes], event: Event, new: int) -> None:
        if not event.after_swap:
            time.sleep(event.moment * self._change_s)
            return
        swapped = lambda: self._place.served == new or command.poll() is not None  # noqa: E731
        wait_for(swapped, "the swap in the repository")
        time.sleep(event.moment * _SWAP_S)

    def _quiet(self) -> float:
        """When both paths are answered, with what the repository says; returns that moment."""
        self._answered()
        moment = time.monotonic()
        served = self._place.served
        for answer in self._answered():
            if answer.version != served:
                self.came.wrong.append(f"the repository serves version {served}: {answer}")
        self.came.timeline.only(served, time.monotonic())
        return moment

    def _answered(self) -> list[Answer]:
        """An answer over each path, as soon as there is one."""
        return [
            self._answer(decode, probe) for decode, probe in zip(WAYS, self._probes, strict=True)
        ]

    def _answer(self, decode: str, probe: Classifier) -> Answer:
        until = time.monotonic() + PATIENCE_S
        while True:
            answer = ask(probe, decode, versioned.COLOURS[0])
            self.came.answers.append(answer)
            if answer.version is not None or time.monotonic() > until:
                return answer
            if self._place.status.state == GAVE_UP:
                self.came.given_up += 1
                self._place.up()


def attack(
    folder: Path,
    events: Iterator[Event],
    clients: int,
    *,
    threads: int = 4,
    seconds: float = math.inf,
) -> Run:
    """Events on a new place until they end or the time is over."""
    with opened(folder, threads) as place:
        place.start_clients(clients)
        wait_for(lambda: all(each.output.stat().st_size for each in place.clients), "the clients")
        chaos = Chaos(place)
        until = chaos.came.started + seconds
        chaos.run(itertools.takewhile(lambda _: time.monotonic() < until, events))
        chaos.close()
        place.end_clients()
        for output in place.outputs:
            chaos.came.answers.extend(chaos_clients.read(output))
    chaos.came.wrong.extend(f"left behind: {each}" for each in place.left())
    return chaos.came


def main() -> int:
    """Serve, attack, and print what happened."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clients", type=int, default=3)
    chosen = parser.parse_args()
    pressed = pressure.lately()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        events = schedule(chosen.seed)
        run = attack(Path(folder), events, chosen.clients, seconds=chosen.seconds)
    facts = {
        "what": "processes killed and versions changed under load: answers, failures, recovery",
        "seed": chosen.seed,
        "clients": chosen.clients,
        "tasks_waited_for_a_cpu_before": pressed,
        "host_was_busy": pressed is not None and pressed > PRESSED,
        **summary(run),
    }
    for name, value in facts.items():
        print(f"{name:30} {value}")
    record("chaos", rows(run), facts)
    return 1 if broken(run) else 0


if __name__ == "__main__":
    sys.exit(main())
