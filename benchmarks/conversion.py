"""Where the time of a conversion goes, by stage: INT8 ResNet-50, 128 calibration images.

    python benchmarks/conversion.py
    python benchmarks/conversion.py --before ../another-checkout

Each conversion is a process of its own, from the first import to the deployed version. With another
checkout both convert the same checkpoint and images in turn, and ratios are per round. The weights
are random, of a file as those of a user are, and the images are JPEG files of noise: their
decisions mean nothing, their times do. CPU seconds are recorded, because elapsed time is longer on
a busy host. With one `--case` the results have its name.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from recorded import record

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.datasets.synthetic import SyntheticImages

ROOT = Path(__file__).parent.parent
CALIBRATION, VALIDATION = 128, 64
CHECKPOINT = "resnet50.pth"
CASES: dict[str, dict[str, Any]] = {
    "int8": {"target": "onnxruntime"},
    "int8, calibration auto": {"target": "onnxruntime", "calibration_method": "auto"},
    "int8, target auto": {"target": "auto"},
}
CHILD = """
import json, sys
from resnet_convert import convert
made = convert(**json.loads(sys.argv[1]))
print(json.dumps({
    "stages": {stage.name: round(stage.seconds, 3) for stage in made.stages},
    "sqnr_db": round(min(found.sqnr_db for found in made.measurements.numerics.values()), 2),
}))
"""
Row = dict[str, Any]
SECONDS: dict[str, Callable[[Row], float]] = {
    "elapsed": lambda row: row["elapsed_s"],
    "CPU": lambda row: row["cpu_s"],
}


def main() -> None:
    """Convert in rounds, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, action="append")
    options = parser.parse_args()
    trees = {"before": options.before, "now": ROOT} if options.before else {"now": ROOT}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        write(images, "calibration", CALIBRATION)
        write(images, "validation", VALIDATION)
        torch.save(weights.load("random", find("resnet50")).state, images / CHECKPOINT)
        for number in range(options.rounds):
            for case in options.case or CASES:
                for name, tree in trees.items():
                    row = {"round": number, "case": case, "source": name}
                    rows.append(row | converted(tree, images, CASES[case]))
                    shown(rows[-1])
    ratios = {case: ratio(rows, case) for case in options.case or CASES} if options.before else {}
    for case, found in ratios.items():
        print(f"{case}, now ÷ before: " + ", ".join(f"{key} {each}" for key, each in found.items()))
    stages = sorted({key for row in rows for key in row if key.startswith("stage ")})
    table = [{**row, **{name: row.get(name, 0.0) for name in stages}} for row in rows]
    only = options.case[0].replace(", ", "-").replace(" ", "-") if options.case else ""
    record(
        f"conversion-{only}" if only else "conversion",
        table,
        {
            "what": f"INT8 ResNet-50, untrained, {CALIBRATION} calibration images, "
            f"{VALIDATION} validation images",
            "ratios": ratios,
        },
    )


def write(folder: Path, name: str, count: int) -> None:
    """So many JPEG files of noise, 256 pixels a side."""
    (folder / name).mkdir(parents=True)
    images = SyntheticImages(count, seed=len(name))
    for index in range(count):
        images.image(index).save(folder / name / f"{index:04}.jpg", quality=90)


def converted(tree: Path, images: Path, options: dict[str, Any]) -> Row:
    """One conversion by the source of a checkout: seconds in all, of CPU, and by stage."""
    with tempfile.TemporaryDirectory() as repository:
        request = {
            "arch": "resnet50",
            "precision": "int8",
            "weights": str(images / CHECKPOINT),
            "calibration": str(images / "calibration"),
            "calibration_images": CALIBRATION,
            "validation": str(images / "validation"),
            "validation_images": VALIDATION,
            "repository": repository,
            **options,
        }
        places = (tree, tree / "convert", tree / "clients" / "python")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(each) for each in places)}
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", CHILD, json.dumps(request)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=repository,
        )
        elapsed = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(done.stdout.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    stages = {f"stage {name}": seconds for name, seconds in found["stages"].items()}
    return {
        "elapsed_s": round(elapsed, 2),
        "cpu_s": round(cpu, 2),
        "outside_stages_s": round(elapsed - sum(stages.values()), 2),
        "sqnr_db": found["sqnr_db"],
        **stages,
    }


def shown(row: Row) -> None:
    """Print a row as it comes, the longest stages first."""
    stages = sorted(((row[key], key[6:]) for key in row if key.startswith("stage ")), reverse=True)
    longest = ", ".join(f"{name} {seconds:.1f}" for seconds, name in stages[:5])
    print(
        f"{row['case']:<23} {row['source']:<7} {row['elapsed_s']:5.1f} s, CPU {row['cpu_s']:5.1f} "
        f"({longest}; imports and the rest {row['outside_stages_s']:.1f}), {row['sqnr_db']} dB",
        flush=True,
    )


def ratio(rows: list[Row], case: str) -> dict[str, str]:
    """Now over before, in each round: the median, the smallest and the largest."""
    mine = [row for row in rows if row["case"] == case]
    found = {}
    for name, seconds in SECONDS.items():
        by_source = (
            [seconds(row) for row in mine if row["source"] == source]
            for source in ("before", "now")
        )
        each = [now / before for before, now in zip(*by_source, strict=True)]
        found[name] = f"{statistics.median(each):.2f} [{min(each):.2f}–{max(each):.2f}]"
    return found


if __name__ == "__main__":
    main()
