"""With a real Ray: here, where workers and the whole run are killed, and as a cluster of nodes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_model import BAD, deploy, pictures
from batch_results import alive, batch, descendants, end, parts, results, until
from patience import PATIENCE_S
from pyarrow import parquet as pq
from serve_command import serve

from resnet_serve.batch.on_ray import start

pytestmark = pytest.mark.slow
IMAGES, PARTS = 400, 26


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray")
    deploy(folder / "model_repository")
    pictures(folder / "images", IMAGES, bad=True)
    return folder


def workers(pid: int) -> list[int]:
    """The processes with a model that a run has started."""
    return [child for child, command in descendants(pid) if "MapWorker" in command]


def test_workers_and_runs_that_are_killed_lose_nothing(place: Path) -> None:
    """One after the other, on one folder: a worker is killed, then all, then the run itself."""
    output = place / "killed"
    words = ("toy", "images", "--output", output, "--rows-per-part", 16, "--workers", 2)
    process = batch(place, *words)
    try:
        until(lambda: len(parts(output)) >= 2, process)
        for killed in workers(process.pid)[:1]:
            os.kill(killed, signal.SIGKILL)
        known = len(parts(output))
        until(lambda: len(parts(output)) >= known + 2, process)
        for killed in workers(process.pid):
            os.kill(killed, signal.SIGKILL)
        known = len(parts(output))
        until(lambda: len(parts(output)) >= known + 2, process)
        before, children = parts(output), [pid for pid, _ in descendants(process.pid)]
        assert len(before) < PARTS
        process.kill()
        process.wait(PATIENCE_S)
        stop = time.monotonic() + PATIENCE_S
        while left := [pid for pid in children if alive(pid)]:
            assert time.monotonic() < stop, f"{left} outlived the run"
            time.sleep(0.1)
    finally:
        end(process)
    assert not (output / "_summary.json").exists()
    before = parts(output)

    refused = serve(place, "batch", *words)
    assert (refused.returncode, "a run began there. Go on with it: --resume" in refused.stderr) == (
        *(2, True),
    )
    done = serve(place, "batch", *words, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["images"], found["parts"]) == (IMAGES + len(BAD), PARTS)
    assert found["done_now"] == found["images"] - 16 * len(before)
    assert sorted(found["failures"].items()) == [(kind, 1) for kind in sorted(BAD.values())]
    assert parts(output).items() >= before.items()
    rows = results(output)
    assert len(rows) == len({row["input"] for row in rows}) == IMAGES + len(BAD)
    assert {row["input"]: row["failure"] for row in rows if row["failure"]} == BAD
    hashes = {
        pq.read_metadata(path).metadata[b"resnet-serve.model_sha256"]
        for path in output.glob("part-*")
    }
    assert len(hashes) == 1

    again = serve(place, "batch", *words, "--resume")
    assert again.returncode == 0
    assert "0 of them now" in again.stdout
    assert "Ray" not in again.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray of two nodes, each with its own processes, on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "disabled"
    options = {"num_cpus": 1, "object_store_memory": start.STORE_BYTES}
    made = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
    try:
        made.add_node(**options)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        os.environ.pop("RAY_AUTH_MODE", None)


def test_nodes_share_the_parts_and_one_that_is_lost_loses_nothing(
    place: Path, cluster: Any
) -> None:
    """Each of the three nodes has room for one worker; the processes of one are killed."""
    third = cluster.add_node(num_cpus=1, object_store_memory=start.STORE_BYTES)
    output = place / "cluster"
    words = ("toy", "images", "--rows-per-part", 16, "--address", cluster.address)
    process = batch(place, *words, "--output", output, "--json")
    try:
        until(lambda: len(parts(output)) >= 4, process)
        cluster.remove_node(third, allow_graceful=False)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        end(process)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert (found["nodes"], found["workers"]) == (3, 3)
    rows = results(output)
    assert len({row["input"] for row in rows}) == len(rows) == IMAGES + len(BAD)
    assert {row["input"]: row["failure"] for row in rows if row["failure"]} == BAD
    by = {pq.read_metadata(path).metadata[b"resnet-serve.worker"] for path in output.glob("part-*")}
    assert len(by) >= 2, by
