"""The pool: the parts of a run on workers, by Ray Data.

    parts ─ Ray Data ─► actors: Worker, one model each ─► what was done

Only the places of parts go through Ray; images, and results, do not. Ray starts a worker that was
lost again, and gives it the part once more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from resnet_serve.batch.model import Facts
from resnet_serve.batch.on_ray.start import Cluster
from resnet_serve.batch.on_ray.worker import Options, Worker, heard
from resnet_serve.batch.source.parts import Part
from resnet_serve.batch.work import Done, Job
from resnet_serve.errors import ResnetServeError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import ray
else:
    ray = optional("ray", extra="batch")


def done(
    cluster: Cluster, job: Job, facts: Facts, options: Options, parts: Sequence[Part]
) -> Iterator[Done]:
    """Do the parts, in any order; each is told when it is written.

    Raises the error that a worker returned, and `ResnetServeError` where Ray itself gave up.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    rows = [{"part": json.dumps(asdict(part))} for part in parts]
    workers = min(cluster.workers, len(parts))
    # With one part each, no worker waits at the end while another has several left.
    pool = ray.data.ActorPoolStrategy(
        min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=1
    )
    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Worker,
        fn_constructor_args=(job, facts, options),
        batch_size=1,
        compute=pool,
        num_cpus=options.threads,
    )
    try:
        for batch in results.iter_batches(batch_size=None, prefetch_batches=0):
            for text in batch["done"]:
                yield heard(str(text))
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[-300:]
        raise ResnetServeError(
            f"Ray gave up ({type(error).__name__}: {reason})",
            remedy="What is done is kept: repeat the command with --resume.",
        ) from error
