"""What Ray costs a run of many images on one machine: images/s beside processes of our own.

    python benchmarks/batch.py --repository models     # kept: converted at the first time only

All do the same work on the same JPEG files with ResNet-18 in ONNX Runtime. "ray" is
`resnet-serve batch`; "processes" are as many processes without Ray, which take parts from a queue
and write the same Parquet; "threads" is one process that decodes in threads and runs the network
with all cores, and writes nothing. Rounds take them in turn; the ratio of a round is that of Ray to
the better of the others. Rates are from the first part that begins to the last that ends; the
seconds before and after, in which processes and models start, are told apart.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from recorded import in_words, record

from resnet_serve import host
from resnet_serve.batch import model
from resnet_serve.batch.model import Facts, Model
from resnet_serve.batch.on_ray.worker import Options, Worker
from resnet_serve.batch.request import Request, Told
from resnet_serve.batch.run import run
from resnet_serve.batch.run_file import RUN_FILE
from resnet_serve.batch.source.frozen import Source, freeze
from resnet_serve.batch.source.parts import Part, cut
from resnet_serve.batch.work import Job
from resnet_serve.triton.repository import Repository, changes

NAME, SIZE, ROWS, BATCH = "resnet18", (500, 375), 32, 8
_worker: Worker | None = None


def main() -> None:
    """Measure in rounds and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repository", type=Path, help="where the model is, or is converted to")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prepare", action="store_true", help="convert, and measure nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = options.repository or folder / "models"
        if not (repository / NAME).is_dir():
            from resnet_convert import convert

            convert(arch=NAME, weights="random", precision="fp32", repository=repository)
        if options.prepare:
            return
        facts = model.facts(changes.find(Repository(repository).deployed(), NAME))
        images = _images(folder / "images", options.images)
        rows = list(_rounds(folder, repository, facts, images, options.rounds))
    ratios = [float(str(row["ratio"])) for row in rows]
    summary: dict[str, object] = {
        "what": (__doc__ or "").partition("\n")[0],
        "network": NAME,
        "images": options.images,
        "cores": host.cores(),
        "ratio_to_the_best_in_process": round(statistics.median(ratios), 3),
    }
    print(f"Ray is {statistics.median(ratios):.3f} × the best in process")
    record("batch", rows, summary)


def _images(folder: Path, count: int) -> Path:
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(noise.integers(0, 256, (32, 40, 3), dtype=np.uint8))
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(folder / f"{number:05d}.jpg", quality=90)
    return folder


def _rounds(
    folder: Path, repository: Path, facts: Facts, images: Path, rounds: int
) -> Iterator[dict[str, object]]:
    for number in range(rounds):
        found = {
            "ray": _ray(folder / f"ray{number}", repository, images),
            "processes": _processes(folder / f"processes{number}", facts, images),
            "threads": _threads(facts, images),
        }
        best = max(found["processes"][0], found["threads"][0])
        row: dict[str, object] = {"round": number}
        for name, (rate, other_s) in found.items():
            row[f"{name}_images_per_s"] = round(rate, 2)
            row[f"{name}_start_s"] = round(other_s, 1)
        row["ratio"] = round(found["ray"][0] / best, 4)
        print(in_words(row))
        yield row


def _ray(output: Path, repository: Path, images: Path) -> tuple[float, float]:
    """Images/s, and the seconds of the start and the end."""
    request = Request(
        NAME, Source(str(images)), output, repository, rows_per_part=ROWS, workers=host.cores()
    )
    nothing = Told(lambda _n: None, lambda *_: None, lambda _d: None, print)
    found = run(request, nothing)
    rate = found.images_per_s or 0.0
    return rate, found.seconds - found.images / rate


def _processes(output: Path, facts: Facts, images: Path) -> tuple[float, float]:
    begun = time.monotonic()
    output.mkdir()
    frozen = freeze(Source(str(images)), output, lambda _n: None)
    (output / RUN_FILE).write_text("{}")
    job, parts = Job(frozen, str(output), {"model": NAME}), cut(frozen, ROWS)
    options = Options(threads=1, batch_size=BATCH, top=None)
    context, first = multiprocessing.get_context("spawn"), float("inf")
    with context.Pool(host.cores(), _opened, (job, facts, options)) as pool:
        for seconds in pool.imap_unordered(_done, parts):
            ended = time.monotonic()
            first = min(first, ended - seconds)
    seconds = ended - first
    return frozen.rows / seconds, time.monotonic() - begun - seconds


def _opened(job: Job, facts: Facts, options: Options) -> None:
    global _worker  # noqa: PLW0603 - what each process of a pool has
    _worker = Worker(job, facts, options)


def _done(part: Part) -> float:
    assert _worker is not None
    return _worker.do(part).seconds


def _threads(facts: Facts, images: Path) -> tuple[float, float]:
    """One process: images are decoded in threads while the network runs with all cores."""
    begun = time.monotonic()
    cores = host.cores()
    opened = Model(facts, cores)
    paths = sorted(images.iterdir())
    with ThreadPoolExecutor(cores) as pool:
        started = time.monotonic()
        elements = pool.map(lambda path: opened.prepared(path.read_bytes()), paths)
        batch = []
        for element in elements:
            batch.append(element)
            if len(batch) == BATCH:
                opened.outputs(batch)  # type: ignore[arg-type]
                batch = []
        if batch:
            opened.outputs(batch)  # type: ignore[arg-type]
        seconds = time.monotonic() - started
    opened.close()
    return len(paths) / seconds, time.monotonic() - begun - seconds


if __name__ == "__main__":
    main()
