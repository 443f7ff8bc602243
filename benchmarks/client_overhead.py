"""What our client costs beside tritonclient: CPU time and latency of an image, 1,000 classes.

    python benchmarks/client_overhead.py

Both send the same image to the same server and ask for the best five classes: an encoded file, and
pixels that are decoded and resized here by the same preprocessing. tritonclient gets the strings of
five classes, our client what it needs for their probabilities too. The Triton of the wheel can
crash when a call is cancelled, so our client calls it from a thread that nobody has to wait for;
the case `direct` is a file without that thread, as our client sends it to Triton 2.57 and later.
Rounds alternate; ratios are per round. CPU time is that of the whole client process, its threads
included.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from PIL import Image
from recorded import in_words, record

from resnet_client import Classifier
from resnet_convert import convert
from resnet_serve import Server
from resnet_serve.preprocessing import Preprocessing, decode

NAME, TOP = "resnet18", 5
Call = Callable[[], object]


def main() -> None:
    """Measure in rounds and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--calls", type=int, default=15, help="in each round, of each client")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.jpg"
        noise = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
        repository = Path(folder) / "models"
        convert(arch=NAME, weights="random", precision="fp32", repository=repository)
        with (
            Server(repository, port=0) as server,
            triton.InferenceServerClient(server.grpc) as raw,
            Classifier(server.grpc, NAME, decode="server") as files,
            Classifier(server.grpc, NAME, decode="server") as direct,
            Classifier(server.grpc, NAME) as pixels,
        ):
            direct.classify(path)  # learns the version of the server
            direct._connection._cancels_safely = True
            rows = [
                *_rounds(
                    "direct",
                    lambda: direct.classify(path, top=TOP),
                    lambda: _file(raw, path),
                    options,
                ),
                *_rounds(
                    "file", lambda: files.classify(path, top=TOP), lambda: _file(raw, path), options
                ),
                *_rounds(
                    "pixels",
                    lambda: pixels.classify(path, top=TOP),
                    lambda: _pixels(raw, path),
                    options,
                ),
            ]
    summary: dict[str, object] = {"what": (__doc__ or "").partition("\n")[0]}
    for case in ("direct", "file", "pixels"):
        for kind in ("cpu", "latency"):
            ratios = [float(str(row[f"{kind}_ratio"])) for row in rows if row["case"] == case]
            summary[f"{case}_{kind}_ratio"] = round(statistics.median(ratios), 3)
            print(f"{case}: {kind} {statistics.median(ratios):.2f} × tritonclient")
    record("client-overhead", rows, summary)


def _rounds(
    case: str, ours: Call, theirs: Call, options: argparse.Namespace
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for call in (ours, theirs):
        for _ in range(5):
            call()
    for number in range(options.rounds):
        our_cpu_ms, our_ms = _timed(ours, options.calls)
        raw_cpu_ms, raw_ms = _timed(theirs, options.calls)
        rows.append(
            {
                "case": case,
                "round": number,
                "cpu_ms": round(our_cpu_ms, 3),
                "tritonclient_cpu_ms": round(raw_cpu_ms, 3),
                "cpu_ratio": round(our_cpu_ms / raw_cpu_ms, 3),
                "latency_ms": round(our_ms, 3),
                "tritonclient_latency_ms": round(raw_ms, 3),
                "latency_ratio": round(our_ms / raw_ms, 3),
            }
        )
        print(in_words(rows[-1]))
    return rows


def _timed(call: Call, calls: int) -> tuple[float, float]:
    """CPU time and latency of a call, in milliseconds."""
    cpu_s, began_s = time.process_time(), time.perf_counter()
    for _ in range(calls):
        call()
    return (
        (time.process_time() - cpu_s) / calls * 1e3,
        (time.perf_counter() - began_s) / calls * 1e3,
    )


def _file(client: triton.InferenceServerClient, path: Path) -> object:
    image = triton.InferInput("image", [1, 1], "BYTES")
    image.set_data_from_numpy(np.array([[path.read_bytes()]], dtype=np.object_))
    return _best(client, f"{NAME}_image", image)


def _pixels(client: triton.InferenceServerClient, path: Path) -> object:
    pixels = Preprocessing().pixels(decode(path))[None]
    image = triton.InferInput("image", list(pixels.shape), "UINT8")
    image.set_data_from_numpy(pixels)
    return _best(client, NAME, image)


def _best(client: triton.InferenceServerClient, model: str, image: triton.InferInput) -> object:
    wanted = triton.InferRequestedOutput("logits", class_count=TOP)
    strings = client.infer(model, [image], outputs=[wanted], client_timeout=30).as_numpy("logits")
    return [text.decode().split(":", 2) for text in strings[0]]


if __name__ == "__main__":
    main()
