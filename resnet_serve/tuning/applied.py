"""Applied: the chosen configuration as a new version of the model, which is then served.

The new version has the files of the measured one; its configuration, and so its passport's hashes,
its instances and its threads, are the chosen ones. Weights, graph, runtime and precision are the
same, and with them the proof; the example images are tested through the server that was tuned,
and again where a running server takes the version over. Every step is journalled like a
deployment, and an interrupted one is completed by `--apply` of the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_serve import passport
from resnet_serve.passport import TunedFacts
from resnet_serve.triton import config, queue_bound
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.queue_bound import QueueBound
from resnet_serve.triton.repository import CONFIG_FILE, ModelFiles, Repository, whole
from resnet_serve.triton.repository.versions import REPORT_FILE
from resnet_serve.triton.rollout import deployed as rollout
from resnet_serve.triton.supervision.detached import running
from resnet_serve.tuning import configuration as written
from resnet_serve.tuning.candidates import Candidate
from resnet_serve.tuning.trials import Point, Trial

Say = Callable[[str], None]
_NOT_HASHED = (passport.FILE_NAME, REPORT_FILE)


def apply(
    repository: Repository, candidate: Candidate, trial: Trial, facts: TunedFacts, say: Say
) -> tuple[int, str | None]:
    """Deploy the configuration of a trial and serve it.

    Returns the number of the version, and the address of the server that took it over, if a
    detached one runs. Raises the errors of a deployment and of `promote`.
    """
    repository.recover()
    best = max(trial.points, key=lambda each: each.concurrency or 0)
    models = _models(repository, candidate, trial, best)
    number = _deployed(repository, candidate, models)
    if number is None:
        say("deploying the new version")
        number = repository.deploy(_stamped(candidate, trial, facts, models), serve=False)
    server = running(repository.path)
    return number, rollout.bring(server, repository, candidate.deployed.name, number, say)


def _models(
    repository: Repository, candidate: Candidate, trial: Trial, best: Point
) -> list[ModelFiles]:
    """Every model of the deployment, with the files of the version and its new configuration."""
    made = []
    for model in candidate.deployed.models:
        folder = repository.directory(model) / str(candidate.version)
        own = config.parse((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        if model == candidate.deployed.name:
            changed = written.written(own, candidate.passport, trial.configuration)
            _bound(changed, own, candidate, trial, best)
        else:
            changed = written.around(own, trial.configuration)
        kept = _files(folder)
        labels = {LABELS_FILE: kept.pop(LABELS_FILE)} if LABELS_FILE in kept else {}
        made.append(ModelFiles(model, config.to_text(changed), labels, kept))
    return made


def _bound(made: Any, own: Any, candidate: Candidate, trial: Trial, best: Point) -> None:
    """Bound the queue for the new instances, and never below the requests that were measured.

    A bound that a user chose stays.
    """
    before = queue_bound.bound_of(own)
    latency = candidate.passport.latency.times.get(candidate.passport.target)
    latency_ms = None if latency is None else latency.median_ms
    contract = candidate.passport.contract
    derived = queue_bound.of_latency(latency_ms, instances=contract.instances)
    if before not in (derived, derived.of_backend):
        return
    bound = queue_bound.of_latency(latency_ms, instances=trial.configuration.instances)
    requests = max(bound.requests, best.concurrency or 0)
    QueueBound(requests).write(made)


def _files(folder: Path) -> dict[str, bytes]:
    """The files that a version keeps, without its configuration and its passport."""
    left = (CONFIG_FILE, passport.FILE_NAME)
    return {
        each.name: each.read_bytes()
        for each in sorted(folder.iterdir())
        if each.is_file() and each.name not in left
    }


def _deployed(repository: Repository, candidate: Candidate, models: list[ModelFiles]) -> int | None:
    """The version that an interrupted run has deployed already."""
    wanted = _hashes(models)
    for each in repository.deployed():
        document = each.passport
        same = each.name == candidate.deployed.name and each.passport.files == wanted
        if same and isinstance(document, passport.ConvertedPassport) and document.tuned:
            return each.version
    return None


def _hashes(models: list[ModelFiles]) -> Mapping[str, Mapping[str, str]]:
    return {
        name: {file: sha256 for file, sha256 in files.items() if file not in _NOT_HASHED}
        for name, files in whole.hashes(models).items()
    }


def _stamped(
    candidate: Candidate, trial: Trial, facts: TunedFacts, models: list[ModelFiles]
) -> list[ModelFiles]:
    chosen = trial.configuration
    contract = replace(
        candidate.passport.contract,
        instances=chosen.instances,
        threads=chosen.threads,
        max_batch_size=chosen.max_batch_size,
    )
    document = replace(
        candidate.passport,
        contract=contract,
        files=_hashes(models),
        tuned=facts,
    )
    first, *rest = models
    files = {**first.version_files, passport.FILE_NAME: document.to_bytes()}
    return [replace(first, version_files=files), *rest]
