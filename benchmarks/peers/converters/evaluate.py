"""Convert with one tool and run what it made: `python evaluate.py with_nncf FOLDER SECONDS`.

It runs in the environment of the tool. The folder has `model.onnx` (FP32, normalised planes in),
`network.pt` (its PyTorch module, for tools that take one), `calibration.npy`, `test.npy` and
`labels.npy`. Prints one line of JSON: accuracy in percent, the milliseconds of single images, and
the seconds of the conversion.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np

BATCH = 50
WARM_UP = 5


def main() -> None:
    """Convert unless it is there, then run."""
    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    tool = importlib.import_module(name)
    took_s = 0.0
    if not (folder / f"{name}.done").exists():
        began = time.perf_counter()
        tool.convert(folder)
        took_s = time.perf_counter() - began
        (folder / f"{name}.done").write_text(str(took_s))
    run = tool.load(folder)
    if hasattr(tool, "seconds"):  # converted before
        took_s = tool.seconds(folder)
    else:
        took_s = float((folder / f"{name}.done").read_text())
    found: dict[str, object] = {"convert_s": took_s}
    if (folder / "labels.npy").exists():
        images, labels = np.load(folder / "test.npy"), np.load(folder / "labels.npy")
        best = [
            np.asarray(run(images[start : start + BATCH])).argmax(1)
            for start in range(0, len(images), BATCH)
        ]
        found["correct"] = int((np.concatenate(best) == labels).sum())
        found["images"] = len(labels)
    image = np.load(folder / "test.npy")[:1]
    for _ in range(WARM_UP):
        run(image)
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        run(image)
        times.append(1e3 * (time.perf_counter() - began))
    print(json.dumps({**found, "median_ms": float(np.median(times)), "runs": len(times)}))


if __name__ == "__main__":
    main()
