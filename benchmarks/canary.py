"""What a canary costs while it lasts: latency and throughput of the split beside a version alone.

    python benchmarks/canary.py

A small network is served with a canary of 10 %, a copy of it. The same requests go to the split,
which passes them on, and to the served version under the name that it has alone. Rounds alternate;
ratios are per round.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from recorded import in_words, record

from resnet_convert import convert
from resnet_serve import Server
from resnet_serve.datasets.digits import Digits
from resnet_serve.triton.canary.split import alone, share
from resnet_serve.triton.repository import Repository, changes

NAME, SHARE, CLIENTS = "digits", "10%", 8


def main() -> None:
    """Measure in rounds and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=100, help="in each round, of each model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "models"
        (image,) = Digits(held_out=True).export(Path(place) / "image", 1)
        convert(arch="resnet20", weights="digits", precision="fp32", name=NAME, repository=path)
        repository = Repository(path)
        for model in (NAME, f"{NAME}_preprocess", f"{NAME}_image"):
            folder = repository.directory(model)
            shutil.copytree(folder / "1", folder / "2")
        repository.split(changes.canary(repository.deployed(), NAME, 2, share(SHARE)))
        pixels = np.zeros((1, 32, 32, 3), np.uint8)
        files = np.array([[image.read_bytes()]], np.object_)
        with Server(path, port=0) as server:
            rows = [
                row
                for model, data in ((NAME, pixels), (f"{NAME}_image", files))
                for row in _rounds(server.grpc, model, data, options)
            ]
    summary: dict[str, object] = {"what": (__doc__ or "").partition("\n")[0], "share": SHARE}
    for model in (NAME, f"{NAME}_image"):
        for kind in ("added_ms", "throughput_ratio"):
            found = statistics.median(
                float(str(row[kind])) for row in rows if row["model"] == model
            )
            summary[f"{model}_{kind}"] = round(found, 3)
            print(f"{model}: {kind} {found:.2f}")
    record("canary", rows, summary)


def _rounds(
    url: str, model: str, data: NDArray[Any], options: argparse.Namespace
) -> list[dict[str, object]]:
    names = {"split": (model, ""), "alone": (alone(model, 1), "1")}
    rows: list[dict[str, object]] = []
    for number in range(-1, options.rounds):  # the first warms up
        row: dict[str, object] = {"model": model, "round": number}
        for kind, (name, version) in names.items():
            row[f"{kind}_ms"] = round(_latency_ms(url, name, version, data, options.calls), 3)
        for kind, (name, version) in names.items():
            row[f"{kind}_per_s"] = round(_throughput(url, name, version, data, options.calls), 1)
        row["added_ms"] = round(float(str(row["split_ms"])) - float(str(row["alone_ms"])), 3)
        ratio = float(str(row["split_per_s"])) / float(str(row["alone_per_s"]))
        row["throughput_ratio"] = round(ratio, 3)
        if number >= 0:
            rows.append(row)
            print(in_words(row))
    return rows


def _latency_ms(url: str, name: str, version: str, data: NDArray[Any], calls: int) -> float:
    """Median latency of requests one after the other."""
    with triton.InferenceServerClient(url) as client:
        return statistics.median(_ask(client, name, version, data) for _ in range(calls)) * 1e3


def _throughput(url: str, name: str, version: str, data: NDArray[Any], calls: int) -> float:
    """Requests per second of several clients."""

    def run(_: int) -> None:
        with triton.InferenceServerClient(url) as client:
            for _ in range(calls // 2):
                _ask(client, name, version, data)

    began_s = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(run, range(CLIENTS)))
    return CLIENTS * (calls // 2) / (time.perf_counter() - began_s)


def _ask(
    client: triton.InferenceServerClient, name: str, version: str, data: NDArray[Any]
) -> float:
    kind = "UINT8" if data.dtype == np.uint8 else "BYTES"
    image = triton.InferInput("image", list(data.shape), kind)
    image.set_data_from_numpy(data)
    wanted = [triton.InferRequestedOutput("logits")]
    began_s = time.perf_counter()
    client.infer(name, [image], model_version=version, outputs=wanted, client_timeout=60)
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()
