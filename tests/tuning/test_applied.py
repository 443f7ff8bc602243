"""The chosen configuration as a new version: whole, its hashes right, whatever interrupts it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import tunable
from tunable import NAMES, point, trial

from resnet_serve import passport
from resnet_serve.passport import ConvertedPassport, TunedFacts
from resnet_serve.triton import config, queue_bound
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.repository import CONFIG_FILE, Repository, changes
from resnet_serve.triton.rollout import deployed
from resnet_serve.triton.server import Server
from resnet_serve.tuning.applied import apply
from resnet_serve.tuning.candidates import Candidate, find
from resnet_serve.tuning.trials import Trial
from resnet_serve.verification import files

CHOSEN = trial(point(41, 38, 8), number=2, instances=2, threads=1, max_batch_size=8, delay_ms=1.0)
FACTS = TunedFacts(
    at=datetime(2026, 1, 1, tzinfo=UTC),
    version=1,
    command="resnet-serve tune net --p99 50ms",
    found="41 images/s",
    processor="a processor",
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    opened = Repository(tmp_path / "repository")
    tunable.deploy(opened)
    return opened


def candidate(repository: Repository, version: int = 1) -> Candidate:
    return find(repository.deployed(), "net", None).of(version)


def applied(repository: Repository, of: Candidate, chosen: Trial = CHOSEN) -> int:
    number, server = apply(repository, of, chosen, FACTS, lambda _: None)
    assert server is None
    return number


def served(repository: Repository, model: str = "net") -> object:
    return config.parse((repository.directory(model) / CONFIG_FILE).read_text())


def verified(repository: Repository) -> list[str]:
    rows = [row for each in repository.deployed() for row in files.rows(each)]
    return sorted({row.verdict for row in rows})


def test_a_new_version_is_served_and_the_old_one_can_be_again(repository: Repository) -> None:
    model = (repository.path / "net/1/model.onnx").read_bytes()
    assert applied(repository, candidate(repository)) == 2
    made = served(repository)
    assert made.instance_group[0].count == 2
    assert made.parameters["intra_op_thread_count"].string_value == "1"
    assert (made.max_batch_size, made.dynamic_batching.max_queue_delay_microseconds) == (8, 1000)
    assert {served(repository, name).max_batch_size for name in NAMES} == {8}
    assert (repository.path / "net/2/model.onnx").read_bytes() == model
    assert verified(repository) == ["ok"]
    change = changes.rollback(repository.deployed(), "net")
    repository.serve(change.models)
    assert served(repository).instance_group[0].count == 1
    assert verified(repository) == ["ok"]


def test_the_passport_keeps_the_proof_and_says_where_its_numbers_are_from(
    repository: Repository,
) -> None:
    applied(repository, candidate(repository))
    before, after = (
        passport.read(repository.path / "net" / number / passport.FILE_NAME) for number in "12"
    )
    assert isinstance(before, ConvertedPassport)
    assert isinstance(after, ConvertedPassport)
    assert after.tuned == FACTS
    assert (after.parity, after.gate, after.model) == (before.parity, before.gate, before.model)
    contract = after.contract
    assert (contract.instances, contract.threads, contract.max_batch_size) == (2, 1, 8)


def test_the_queue_is_bounded_for_the_new_instances(repository: Repository) -> None:
    applied(repository, candidate(repository))
    bound = queue_bound.bound_of(served(repository))
    assert bound == queue_bound.of_latency(1.0, instances=2).of_backend


def test_a_bound_that_a_user_chose_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = queue_bound.QueueBound(7, 500)
    opened = Repository(tmp_path / "repository")
    with monkeypatch.context() as patch:
        patch.setattr(queue_bound, "of_latency", lambda *_, **__: chosen)
        tunable.deploy(opened)
    applied(opened, candidate(opened))
    assert queue_bound.bound_of(served(opened)) == chosen


def test_another_version_wins(repository: Repository) -> None:
    tunable.deploy(repository, hidden=32, target="openvino", precision="int8")
    chosen = trial(point(41, 38, 8), version=1, instances=2)
    assert applied(repository, candidate(repository, 1), chosen) == 3
    assert served(repository).backend == "onnxruntime"
    assert verified(repository) == ["ok"]


def test_applying_again_deploys_nothing_more(repository: Repository) -> None:
    of = candidate(repository)
    assert applied(repository, of) == 2
    repository.serve(dict.fromkeys(NAMES, 1))
    assert applied(repository, of) == 2
    assert repository.versions("net") == [1, 2]
    assert served(repository).instance_group[0].count == 2


SCRIPT = """
import sys
from pathlib import Path
from test_applied import CHOSEN, FACTS, candidate
from resnet_serve.triton.repository import Repository
from resnet_serve.tuning.applied import apply
repository = Repository(Path(sys.argv[1]))
of = candidate(repository)
sys.stdout.write("begun\\n")
sys.stdout.flush()
apply(repository, of, CHOSEN, FACTS, lambda _: None)
"""


@pytest.mark.slow
def test_a_kill_leaves_one_whole_version_or_the_other(repository: Repository) -> None:
    """Applying takes a few hundredths of a second: kills at many moments of it."""
    chance = random.Random(1)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(repository.path)],
            env=environment,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(chance.uniform(0, 0.08))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        repository.recover()
        assert verified(repository) == ["ok"]
        assert set(repository.versions("net")) in ({1}, {1, 2})
        counts = {served(repository).instance_group[0].count, len(repository.versions("net"))}
        assert counts in ({1}, {1, 2}, {2})
        repository.serve(dict.fromkeys(NAMES, 1))
    assert applied(repository, candidate(repository)) == 2
    assert repository.versions("net") == [1, 2]
    assert served(repository).instance_group[0].count == 2


@pytest.mark.slow
@pytest.mark.triton
def test_a_server_that_runs_takes_it_over(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # No request is in flight that would have to be waited for.
    monkeypatch.setattr(deployed, "serve", partial(deployed.serve, drain_s=0))
    of = candidate(repository)
    server = Server(repository.path, port=0, drain_s=0)
    server.start(detach=True)
    try:
        number, address = apply(repository, of, CHOSEN, FACTS, lambda _: None)
        assert (number, address) == (2, server.grpc)
        with GrpcClient(server.grpc) as client:
            made = client.get_model_config("net", client_timeout=30).config
        assert (made.instance_group[0].count, made.max_batch_size) == (2, 8)
        assert server.models["net"] == ("2",)
    finally:
        server.stop()
