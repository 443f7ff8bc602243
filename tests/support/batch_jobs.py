"""Parts that a worker does in this process, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyarrow import parquet as pq

from resnet_serve.batch import model
from resnet_serve.batch.model import Facts
from resnet_serve.batch.on_ray.worker import Options, Worker
from resnet_serve.batch.run_file import RUN_FILE
from resnet_serve.batch.source.frozen import Source, freeze
from resnet_serve.batch.source.parts import Part, cut
from resnet_serve.batch.work import Job
from resnet_serve.triton.repository import Repository, changes


def facts_of(repository: Path, name: str = "toy") -> Facts:
    """The facts of a model in a repository."""
    return model.facts(changes.find(Repository(repository).deployed(), name))


def job_of(folder: Path, images: Path, *, features: bool = False) -> tuple[Job, list[Part]]:
    """A job over a folder of images, and its parts of 16 rows at most."""
    folder.mkdir(exist_ok=True)
    frozen = freeze(Source(str(images)), folder, lambda _count: None)
    (folder / RUN_FILE).write_text("{}")
    return Job(frozen, str(folder), {"model": "toy", "version": 1}, features), cut(frozen, 16)


def done(job: Job, facts: Facts, parts: list[Part], **options: Any) -> list[dict[str, Any]]:
    """Do all parts; the rows of the result."""
    made = Worker(job, facts, Options(**{"threads": 1, "batch_size": 4, "top": None, **options}))
    for part in parts:
        made.do(part)
    return list(pq.read_table(job.output).to_pylist())
