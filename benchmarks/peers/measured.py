"""One peer with one configuration: started, checked against the network, loaded, ended."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from peers import environments, load
from peers.peer import JPEG, TENSOR, Configuration, Peer, Place
from peers.processes import Started, host_cpu_s, spent_s
from peers.served_model import ServedModel
from resnet_serve import host
from resnet_serve.errors import HostError, ResnetServeError

START_S = 120.0
WARM_UP_S = 0.3
HOST = 0  # among process ids, the whole host
CORRELATION = 0.98  # of the logits with those in this process: runtimes round differently


@dataclass(frozen=True)
class Level:
    """What one load found: CPU time per image of the server and of the client, memory in MiB.

    `others` is the share of all cores that neither the server nor the client used, and was busy.
    """

    peer: str
    configuration: str
    workload: str
    in_flight: int
    images_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    client_cpu_ms: float
    pss_mib: float
    images: int
    others: float
    latencies_ms: tuple[float, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Its fields."""
        return asdict(self)


class BrokenPeerError(ResnetServeError):
    """A peer that does not start, or does not compute the network."""


@dataclass(frozen=True)
class Ready:
    """A peer that runs, and computes the network; `loads` by workload."""

    server: Started
    loads: Mapping[str, load.Load]
    names: tuple[str, str]  # the peer and its configuration

    def measured(self, workload: str, in_flight: int, seconds: float) -> Level:
        """One load."""
        names = (*self.names, workload)
        return measured(self.server, self.loads[workload], in_flight, seconds, names)


@contextmanager
def started(
    peer: Peer, configuration: Configuration, model: ServedModel, workloads: Sequence[str]
) -> Iterator[Ready]:
    """Start a peer and check what it computes; raises `BrokenPeerError`."""
    samples = model.samples()
    with tempfile.TemporaryDirectory(prefix=f"peer-{peer.name}-") as name:
        folder = Path(name)
        place = Place(
            environments.python_of(peer),
            folder,
            free_ports(peer.ports),
            configuration,
            model.onnx,
            model.labels,
            model.repository,
        )
        with Started(
            peer.command(place), peer.environment(place), folder, folder / "log.txt"
        ) as server:
            loads = {each: peer.load(place.port, each, samples[each]) for each in workloads}
            for workload, sent in loads.items():
                wait(server, sent, START_S)
                check(peer, workload, load.once(sent), model)
            yield Ready(server, loads, (peer.name, str(configuration)))


def measured(
    server: Started,
    sent: load.Load,
    in_flight: int,
    seconds: float,
    names: tuple[str, str, str],
) -> Level:
    """One load on a server that is ready."""
    load.run(sent, in_flight, WARM_UP_S)
    done = load.run(sent, in_flight, seconds, lambda: {HOST: host_cpu_s(), **server.cpu_s()})
    before, after = dict(done.before), dict(done.after)
    host_s = after.pop(HOST) - before.pop(HOST)
    cpu_s, images = spent_s(before, after), len(done.latencies_ms)
    others_s = host_s - cpu_s - done.client_cpu_s
    return Level(
        *names,
        in_flight,
        round(done.per_s, 2),
        round(done.percentile(50), 2),
        round(done.percentile(99), 2),
        round(1e3 * cpu_s / images, 3),
        round(1e3 * done.client_cpu_s / images, 3),
        round(server.pss_mib(), 1),
        images,
        round(max(0.0, others_s / done.seconds / host.cores()), 3),
        tuple(round(each, 2) for each in done.latencies_ms),
    )


def wait(server: Started, sent: load.Load, timeout_s: float) -> None:
    """Until it answers a request; raises `BrokenPeerError`."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            server.check()
            load.once(sent)
        except HostError as error:
            raise BrokenPeerError(str(error)) from error
        except (OSError, RuntimeError, EOFError, TimeoutError) as error:
            if time.monotonic() > until:
                said = f"{error!r}: {server.last_words()}"
                raise BrokenPeerError(f"not ready in {timeout_s:.0f} s: {said}") from error
            time.sleep(0.3)
        else:
            return


def check(peer: Peer, workload: str, body: bytes, model: ServedModel) -> None:
    """Whether a response is the network's: its logits, or five labels; raises `BrokenPeerError`."""
    if workload == TENSOR:
        found = peer.logits(body)
        if not any(
            np.corrcoef(found, mine)[0, 1] >= CORRELATION for mine in model.expected.values()
        ):
            raise BrokenPeerError("its logits are not those of the network")
    elif workload == JPEG:
        names = set(model.labels.read_text(encoding="utf-8").splitlines())
        said = body.decode("utf-8", errors="replace")
        if sum(f"{name}" in said for name in names) < load.TOP:
            raise BrokenPeerError(f"no five labels in {said[:200]!r}")


def free_ports(count: int) -> int:
    """The first of so many consecutive free ports."""
    for _ in range(200):
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
        if port + count < 65536 and all(map(_free, range(port, port + count))):
            return port
    raise HostError("no free ports")


def _free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
