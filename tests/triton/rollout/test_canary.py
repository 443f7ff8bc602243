"""A canary on the real server: its share, its comparison, and how it begins and ends under load."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import versioned
from deployments import inside
from in_process import command
from patience import PATIENCE_S, until
from prometheus_text import scrape
from versioned import COLOURS, NAMES

from resnet_client import Classifier
from resnet_serve.errors import UsageError
from resnet_serve.triton.backends.canary.model import _KEEP_S
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.status import SERVING
from resnet_serve.verification import served
from resnet_serve.verification.reference import recorded

pytestmark = pytest.mark.slow
PLAIN, OTHER = 2, 3  # versions that answer the same requests as version 1
BRIGHT = 230  # images for which version OTHER fails; of all others it decides otherwise


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the commands run: with a state directory of its own."""
    made = tmp_path_factory.mktemp("canary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(made / "state"))
        yield made


@pytest.fixture(scope="module")
def repository(folder: Path) -> Repository:
    made = Repository(folder / "model_repository")
    versioned.deploy(made)
    versioned.deploy(made, serve=False, like=1)
    versioned.deploy(made, serve=False, like=1, second=100.0, fails_above=BRIGHT - 10)
    return made


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[Server]:
    started = Server(repository.path, port=0, drain_s=0).start(detach=True)
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with contextlib.closing(triton.InferenceServerClient(server.grpc)) as made:
        yield made


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`resnet-serve WORDS`, which succeeds: what it prints."""

    def run(*words: object) -> str:
        found = command("resnet-serve", [str(each) for each in words], capsys, folder)
        assert found.returncode == 0, found.stderr
        return " ".join(found.stdout.split())

    return run


def given(level: int) -> triton.InferInput:
    data = versioned.image(level) if level >= 0 else b"nothing"
    made = triton.InferInput("image", [1, 1], "BYTES")
    made.set_data_from_numpy(np.array([[data]], np.object_))
    return made


def ask(
    client: triton.InferenceServerClient, level: int = COLOURS[0], version: str = ""
) -> np.ndarray:
    """The logits of one image; of none for a level below 0."""
    wanted = [triton.InferRequestedOutput("logits")]
    found = client.infer(
        "net_image",
        [given(level)],
        model_version=version,
        outputs=wanted,
        client_timeout=PATIENCE_S,
    )
    return np.asarray(found.as_numpy("logits")[0])


def answered(logits: np.ndarray) -> int:
    """Which version they are of."""
    return round(float(logits[0]) / 10)


def seen(run: Callable[..., str]) -> dict[str, Any]:
    """What `list --json` has of the canary of `net_image`: its router writes it every second."""
    rows = json.loads(run("list", "--json"))["models"]
    (found,) = [row["canary"] for row in rows if row["canary"] is not None]
    return dict(found["seen"].get("net_image") or {})


def at_rest(run: Callable[..., str]) -> dict[str, Any]:
    """What has been seen when nobody asks any more."""
    found = [(time.monotonic(), seen(run))]

    def unchanged() -> bool:
        if (now := seen(run)) != found[-1][1]:
            found.append((time.monotonic(), now))
        return bool(now) and time.monotonic() - found[-1][0] > 3 * _KEEP_S

    assert until(unchanged)
    return found[-1][1]


def becomes(run: Callable[..., str], **expected: object) -> dict[str, Any]:
    """What has been seen, once it is this."""
    found = [seen(run)]

    def written() -> bool:
        found.append(seen(run))
        return {**found[-1], **expected} == found[-1]

    assert until(written), found[-1]
    return found[-1]


class Load:
    """Requests without a pause: raw ones for logits, labels by our client, and of version 1."""

    def __init__(self, address: str) -> None:
        self.answers: list[int] = []
        self.pinned: list[int] = []
        self.failures: list[str] = []
        self._address = address
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(12)
        kinds = [self._logits] * 6 + [self._labels] * 4 + [self._pinned] * 2
        self._running = [self._pool.submit(self._repeat, kind) for kind in kinds]

    def end(self) -> None:
        self._stop.set()
        for each in self._running:
            each.result()
        self._pool.shutdown()

    def _repeat(self, kind: object) -> None:
        with (
            contextlib.closing(triton.InferenceServerClient(self._address)) as raw,
            Classifier(self._address, "net", decode="server", timeout_s=PATIENCE_S) as ours,
        ):
            while not self._stop.is_set():
                try:
                    kind(raw, ours)  # type: ignore[operator]
                except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
                    self.failures.append(f"{kind}: {error!r}")

    def _logits(self, raw: triton.InferenceServerClient, _: Classifier) -> None:
        found = ask(raw, COLOURS[1])
        np.testing.assert_allclose(found, versioned.expected(answered(found), COLOURS[1]))
        self.answers.append(answered(found))

    def _labels(self, _: triton.InferenceServerClient, ours: Classifier) -> None:
        (best, *_) = ours.classify(versioned.image(COLOURS[1]))
        assert best.label == "version 1"  # both have the same labels

    def _pinned(self, raw: triton.InferenceServerClient, _: Classifier) -> None:
        self.pinned.append(answered(ask(raw, COLOURS[1], "1")))


def test_a_share_of_the_requests_until_it_is_withdrawn(
    run: Callable[..., str],
    server: Server,
    repository: Repository,
    client: triton.InferenceServerClient,
) -> None:
    """Begun and withdrawn under load; the share is exact, and explicit versions are untouched."""
    load = Load(server.grpc)
    try:
        said = run("promote", "net", PLAIN, "--canary", "10%")
        assert "net version 2 gets 10% of the requests to net and net_image" in said
        assert "3 example images are within the gate's budget" in said
        time.sleep(1)
    finally:
        load.end()
    assert load.failures == []
    assert set(load.pinned) == {1}
    before = at_rest(run)
    found = [answered(ask(client)) for _ in range(300)]
    assert abs(found.count(PLAIN) - 30) <= 1
    assert set(found) == {1, PLAIN}
    assert [answered(ask(client, version=str(each))) for each in (1, PLAIN)] == [1, PLAIN]
    chosen = before["chosen"] + found.count(PLAIN)
    after = becomes(run, requests=before["requests"] + 300, answered=chosen)
    assert abs(after["chosen"] - after["requests"] / 10) <= 1
    assert (after["errors"], after["distance"]) == (0, 10.0)
    assert after["agreed"] == after["compared"] == after["answered"] == after["chosen"]
    shown = run("list")
    assert "net version 2 with 10% of the requests" in shown
    assert "100.00 % of" in shown
    new = 'resnet_serve_canary_requests_total{model="net_image",version="2"}'
    assert until(lambda: scrape(server.metrics)[new] == after["chosen"])

    load = Load(server.grpc)
    try:
        said = run("withdraw", "net", "--drain", 1)
        assert "net version 2 is withdrawn, net version 1 is served" in said
    finally:
        load.end()
    assert load.failures == []
    assert set(load.pinned) == {1}
    assert {answered(ask(client)) for _ in range(30)} == {1}
    assert server.models == dict.fromkeys(NAMES, ("1",))
    assert inside(repository) == set(NAMES)


def test_it_is_promoted_under_load(
    run: Callable[..., str], server: Server, client: triton.InferenceServerClient
) -> None:
    run("promote", "net", PLAIN, "--canary", "50%")
    deployed = changes.find(Repository(server.repository).deployed(), "net")
    with (
        contextlib.closing(GrpcClient(server.grpc)) as ours,
        pytest.raises(UsageError, match=r"a canary of net gets a share.*withdraw net"),
    ):
        served.rows(deployed, ours, recorded(deployed))
    load = Load(server.grpc)
    try:
        said = run("promote", "net", "--drain", 1)
        assert "net version 2 is the served version" in said
    finally:
        load.end()
    # Version 1 is no longer served, so requests for it are refused: those only.
    assert [each for each in load.failures if "_pinned" not in each] == []
    assert {answered(ask(client)) for _ in range(30)} == {PLAIN}
    assert server.models == dict.fromkeys(NAMES, (str(PLAIN),))
    run("rollback", "net", "--drain", 0)


def test_other_decisions_and_failures_are_reported_and_the_old_version_answers(
    run: Callable[..., str], server: Server, client: triton.InferenceServerClient
) -> None:
    """The canary is there again after a crash of the server, and its counts go on."""
    run("promote", "net", OTHER, "--canary", "100%")
    assert [answered(ask(client, level)) for level in (COLOURS[0], BRIGHT)] == [OTHER, 1]
    with pytest.raises(triton.InferenceServerException, match="not an image"):
        ask(client, -1)
    found = becomes(run, requests=3, compared=1, errors=1)
    assert (found["agreed"], found["distance"]) == (0, 100.0)
    assert "Gather" in found["error"]
    assert "0.00 % of 1 images decided as by version 1" in run("list")
    os.kill(server.status.server_pid, signal.SIGKILL)
    assert until(lambda: (server.status.state, server.status.restarts) == (SERVING, 1))
    assert answered(ask(client)) == OTHER
    becomes(run, requests=4, compared=2, errors=1)
    run("withdraw", "net", "--drain", 0)
    assert {answered(ask(client)) for _ in range(10)} == {1}


def test_another_canary_waits_for_the_requests_of_the_one_that_runs(
    run: Callable[..., str], server: Server, repository: Repository
) -> None:
    run("promote", "net", PLAIN, "--canary", "50%")
    ended, found = threading.Event(), set[int]()

    def repeat() -> None:
        with contextlib.closing(triton.InferenceServerClient(server.grpc)) as raw:
            while not ended.is_set():
                found.add(answered(ask(raw)))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(repeat) for _ in range(4)]
        try:
            assert until(lambda: found == {1, PLAIN})
            said = run("promote", "net", OTHER, "--canary", "50%", "--drain", 1)
            assert until(lambda: OTHER in found)
        finally:
            ended.set()
        for each in asking:
            each.result()
    assert found == {1, PLAIN, OTHER}
    assert f"net version {OTHER} gets 50% of the requests to net and net_image" in said
    alone = {name for name in server.models if ".canary-" in name}
    assert alone == {f"{name}.canary-{version}" for name in NAMES for version in (1, OTHER)}
    run("withdraw", "net", "--drain", 0)
    assert server.models == dict.fromkeys(NAMES, ("1",))
    assert inside(repository) == set(NAMES)
