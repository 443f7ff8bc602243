"""Every network of the registry through the converter, untrained, in FP32 and INT8.

    python benchmarks/family.py

Whether each converts, meets parity and is deployed, and how exact it is. ImageNet networks get
images of 64 pixels here to save hours; INT8 is calibrated with synthetic images of another seed
than those it is measured on. Untrained: only the numerics of the logits mean something, not the
decisions.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from recorded import in_words, record

from resnet_convert import convert
from resnet_serve.architectures import ARCHITECTURES, Architecture
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.errors import ResnetServeError

PRECISIONS = ("fp32", "int8")
SIDE = 64
CALIBRATION_IMAGES = 32


def main() -> None:
    """Convert every network; write results when nothing was left out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="these alone; nothing is written")
    parser.add_argument("--precision", choices=PRECISIONS, help="this alone; nothing is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        calibration = Path(folder) / "calibration"
        calibration.mkdir()
        images = SyntheticImages(CALIBRATION_IMAGES, side=SIDE, seed=1)
        for index in range(len(images)):
            images.image(index).save(calibration / f"{index}.png")
        rows = [
            converted(row, precision, Path(folder))
            for row in ARCHITECTURES.values()
            if not options.names or row.name in options.names
            for precision in PRECISIONS
            if options.precision in (None, precision)
        ]
    if not (options.names or options.precision):
        deployed = sum(row["outcome"] == "deployed" for row in rows)
        what = f"untrained networks of the registry, converted: {deployed} of {len(rows)} deployed"
        record("family", rows, {"what": what, "image_side": SIDE})


def converted(row: Architecture, precision: str, folder: Path) -> dict[str, object]:
    """One conversion; a refusal is a row, not the end."""
    size = min(SIDE, row.image_size)
    own = folder / "preprocessing.json"
    own.write_text(json.dumps({"resize": size, "crop": [size, size]}))
    found: dict[str, object] = dict.fromkeys(("sqnr_db", "cosine", "folded", "kept", "nodes"), "")
    started = time.perf_counter()
    try:
        done = convert(
            arch=row.name,
            weights="random",
            precision=precision,
            preprocessing=own,
            target="onnxruntime",
            calibration=str(folder / "calibration") if precision == "int8" else None,
            repository=folder / "models",
        )
        numbers = done.measurements.numerics[1]
        found = {
            "sqnr_db": round(numbers.sqnr_db, 1),
            "cosine": round(numbers.cosine, 6),
            "folded": done.folded.fold.folded,
            "kept": len(done.folded.fold.kept),
            "nodes": sum(done.folded.trace.operators.values()),
        }
        outcome = "deployed"
    except ResnetServeError as error:
        outcome = str(error)
    result = {
        "network": row.name,
        "precision": precision,
        "outcome": outcome,
        **found,
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(in_words(result), flush=True)
    return result


if __name__ == "__main__":
    main()
