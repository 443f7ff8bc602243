"""Overload: what a served model still does when more is asked of it than it can do.

    python benchmarks/overload.py

Requests arrive at random times (Poisson, fixed seed) at a half, one, two and three times of the
measured capacity, whether or not earlier ones are answered. Goodput is what is answered within the
deadline: three times the 99th percentile at half the capacity, or --deadline-ms. Each network is
served with its bounded queue and without a bound, in one run on one host, so that the ratios mean
something: goodput over capacity, and the 99th percentile of the accepted over the one at half the
capacity. They are not stated where tasks waited for a CPU before it began. The networks may be
untrained: speed only. Results go to benchmarks/results/ with the date
and the hardware.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from open_loop import Answers, Load
from recorded import in_words, record

from resnet_convert import convert
from resnet_convert.report import svg
from resnet_serve import Server
from resnet_serve.parity import pressure
from resnet_serve.parity.latency import PRESSED
from resnet_serve.triton import config, image_repository, queue_bound
from resnet_serve.triton.backends.image.room import DECODED_WAIT
from resnet_serve.triton.supervision.orders import Policy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row: TypeAlias = dict[str, str | float]
LOADS = (0.5, 1.0, 2.0, 3.0)
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet20": {"arch": "resnet20", "weights": "digits", "precision": "fp32"},
    "resnet50": {"arch": "resnet50", "weights": "random", "precision": "int8"},
}
DEADLINES = 3


def measure(name: str, repository: Path, seconds: float, deadline_ms: float | None) -> list[Row]:
    """Every load, with the bound of the deployment and without one."""
    found: list[tuple[str, float, Answers, int]] = []
    with Server(repository, port=0) as server:
        load = Load(server, f"{name}_image")
        load.capacity(seconds / 4)  # warm
        capacity = load.capacity(seconds)
        for times in LOADS:
            answers = load.open_loop(times * capacity, seconds, seed=round(10 * times))
            found.append(("bounded", times, answers, server.status.restarts))
    unbound(repository, name)
    # A server each, as what one load leaves in the queue is not the next one's; and none that is
    # restarted because it answers too late. Some crash: this Triton can with thousands of requests.
    for times in LOADS:
        with Server(repository, port=0, policy=Policy(check_s=0)) as server:
            load = Load(server, f"{name}_image")
            load.capacity(seconds / 4)
            answers = load.open_loop(times * capacity, seconds, seed=round(10 * times))
            found.append(("unbounded", times, answers, server.status.restarts))
    deadline = deadline_ms or DEADLINES * found[0][2].percentile_ms(99)
    return [row(name, *each, capacity=capacity, deadline_ms=deadline) for each in found]


def row(
    name: str,
    queue: str,
    times: float,
    found: Answers,
    restarts: int,
    *,
    capacity: float,
    deadline_ms: float,
) -> Row:
    """One run as a row; `restarts` are those of its server so far."""
    spent = {
        "client": found.spent.client,
        "server": found.spent.server,
        "decoding": found.spent.models[f"{name}_preprocess"],
        "network": found.spent.models[name],
    }
    made: Row = {
        "network": name,
        "queue": queue,
        "load": times,
        "capacity_per_s": round(capacity, 1),
        "deadline_ms": round(deadline_ms),
        "sent": found.sent,
        "answered": len(found.latencies_ms),
        "rejected": found.rejected,
        "failed": found.failed,
        "restarts": restarts,
        "goodput_per_s": round(found.goodput_per_s(deadline_ms), 1),
        "goodput_ratio": round(found.goodput_per_s(deadline_ms) / capacity, 3),
        "p50_ms": round(found.percentile_ms(50), 1),
        "p99_ms": round(found.percentile_ms(99), 1),
        "sent_late_p99_ms": round(float(np.percentile(found.late_ms, 99)), 1),
        **{
            f"{process}_cores": "" if math.isnan(cpu_s) else round(cpu_s / found.wall_s, 3)
            for process, cpu_s in spent.items()
        },
    }
    print(in_words(made), flush=True)
    return made


def unbound(repository: Path, name: str) -> None:
    """Take the queue policies out of the configurations."""
    for model in (name, f"{name}_preprocess"):
        path = image_repository.directory(repository, model) / "config.pbtxt"
        made = config.parse(path.read_text(encoding="utf-8"))
        queue_bound.clear(made)
        made.parameters.pop(DECODED_WAIT, None)
        path.write_text(config.to_text(made), encoding="utf-8")


def busy(pressed: float | None) -> bool:
    """Whether tasks waited for a CPU before the benchmark began."""
    return pressed is not None and pressed > PRESSED


def summary(rows: Sequence[Row], pressed: float | None) -> dict[str, object]:
    """Per network, what three times its capacity left of it; no ratios of a busy host."""
    about = {
        "what": "goodput under open-loop load, encoded photographs over gRPC, generator and server "
        "on the same cores",
        "tasks_waited_for_a_cpu_before": pressed,
    }
    if busy(pressed):
        return {**about, "not_stated": "host busy: other tasks took the cores while it ran"}
    found: dict[str, object] = {}
    for name in dict.fromkeys(str(each["network"]) for each in rows):
        of = {(each["queue"], each["load"]): each for each in rows if each["network"] == name}
        half, three = of["bounded", LOADS[0]], of["bounded", LOADS[-1]]
        found[name] = {
            "goodput_over_capacity_at_3x": three["goodput_ratio"],
            "p99_accepted_over_p99_at_half": round(
                float(three["p99_ms"]) / float(half["p99_ms"]), 2
            ),
            "goodput_over_capacity_at_3x_unbounded": of["unbounded", LOADS[-1]]["goodput_ratio"],
            "cores_at_3x": {
                key.removesuffix("_cores"): value
                for key, value in three.items()
                if key.endswith("_cores")
            },
        }
    return {**about, "networks": found}


@svg.figure((5.2, 3.4))
def picture(axes: Axes, rows: Sequence[Row]) -> str:
    """Goodput of one network by load, with the bounded queue and without a bound."""
    for queue, color in (("bounded", svg.CONVERTED), ("unbounded", svg.SOFT)):
        points = [each for each in rows if each["queue"] == queue]
        loads = [float(each["load"]) for each in points]
        ratios = [float(each["goodput_ratio"]) for each in points]
        axes.plot(loads, ratios, marker="o", color=color, label=f"queue {queue}")
    axes.set_xlabel("load / capacity")
    axes.set_ylabel("goodput / capacity")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return f"Goodput of {rows[0]['network']} by load"


def main() -> None:
    """Convert, measure each network, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--deadline-ms", type=float)
    parser.add_argument(
        "--models", type=Path, help="a repository with both networks, not converted"
    )
    options = parser.parse_args()
    pressed = pressure.lately()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, network in NETWORKS.items():
            repository = Path(folder) / name
            if options.models is None:
                convert(
                    **network,
                    calibration="digits" if network["precision"] == "int8" else None,
                    validation="digits",
                    validation_images=32,
                    name=name,
                    repository=repository,
                )
            else:
                for model in (name, f"{name}_preprocess", f"{name}_image"):
                    there = image_repository.directory(options.models, model)
                    shutil.copytree(there, image_repository.directory(repository, model))
            rows += measure(name, repository, options.seconds, options.deadline_ms)
    found = summary(rows, pressed)
    print(json.dumps(found, indent=2))
    drawn = () if busy(pressed) else NETWORKS
    pictures = {name: picture([each for each in rows if each["network"] == name]) for name in drawn}
    record("overload", rows, found, pictures)


if __name__ == "__main__":
    main()
