"""How often the gate refuses a good network and passes a broken one, by the number of images.

python benchmarks/gate_error_rates.py

The networks are recorded by `gate_logits.py`. For each number of images, samples are drawn with
replacement from all recorded images and judged, by the gate and by the rule that it replaced: the
smallest cosine of any image, and point estimates.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from gate_logits import Recorded, read
from numpy.typing import NDArray
from recorded import record

from resnet_convert.report.svg import CONVERTED, NOTABLE, SOFT, figure
from resnet_serve.parity import accuracy, numerics
from resnet_serve.parity.gate import judge
from resnet_serve.precisions import PRECISIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BUDGET = PRECISIONS["int8"].budget
SIZES = {"cifar10": (50, 100, 250, 500, 1000, 2500, 5000, 10_000), "digits": (50, 100, 250, 500)}
RULES = ("before", "with labels", "without labels")
DRAWS = 200
WHAT = "share of good networks that the gate refuses and of broken ones that it passes, by images"


def passes(
    recorded: Recorded, network: NDArray[np.float32], rows: NDArray[np.int64]
) -> dict[str, bool]:
    """Whether each rule passes a network on these images."""
    reference, converted = recorded.reference[rows], network[rows]
    near = numerics.compare(reference, converted)
    labelled = accuracy.decide(reference, converted, recorded.labels[rows])
    unlabelled = accuracy.decide(reference, converted)
    lost = 0.0 - (labelled.difference_points or 0.0)
    return {
        "before": near.cosine >= 0.97
        and near.sqnr_db >= 15
        and labelled.top1_agreement >= 0.97
        and lost <= 0.5,
        "with labels": judge(BUDGET, {8: near}, labelled, trained=True).passed,
        "without labels": judge(BUDGET, {8: near}, unlabelled, trained=True).passed,
    }


def simulate(name: str, recorded: Recorded, draws: int) -> list[dict[str, object]]:
    """The share of samples that each rule passes, for every network and number of images."""
    generator = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for size in SIZES[name]:
        samples = generator.integers(0, len(recorded.labels), (draws, size))
        for network, logits in recorded.networks.items():
            found = [passes(recorded, logits, sample) for sample in samples]
            shares = {rule: float(np.mean([each[rule] for each in found])) for rule in RULES}
            rows.append({"set": name, "images": size, "network": network, **shares})
            print(name, size, network, shares, flush=True)
    return rows


def errors(rows: list[dict[str, object]], name: str) -> dict[str, dict[int, tuple[float, float]]]:
    """By rule and number of images: good networks refused and broken ones passed, mean shares."""
    found: dict[str, dict[int, tuple[float, float]]] = {rule: {} for rule in RULES}
    for rule in RULES:
        for size in SIZES[name]:
            here = [row for row in rows if (row["set"], row["images"]) == (name, size)]
            good = [float(str(r[rule])) for r in here if str(r["network"]).startswith("good")]
            bad = [float(str(r[rule])) for r in here if str(r["network"]).startswith("broken")]
            found[rule][size] = (1 - float(np.mean(good)), float(np.mean(bad)))
    return found


@figure((7.0, 3.6))
def curve(axes: Axes, found: Mapping[str, Mapping[int, tuple[float, float]]]) -> str:
    """Both errors against the number of images."""
    colours = {"before": SOFT, "with labels": CONVERTED, "without labels": NOTABLE}
    for rule, by_size in found.items():
        for which, style, what in ((0, "-", "good refused"), (1, "--", "broken passed")):
            shares = [100 * pair[which] for pair in by_size.values()]
            axes.plot(
                list(by_size), shares, style, color=colours[rule], marker="o", ms=3,
                label=f"{rule}: {what}",
            )  # fmt: skip
    axes.set_xscale("log")
    sizes = list(next(iter(found.values())))
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("images")
    axes.set_ylabel("% of verdicts")
    axes.legend(frameon=False, fontsize=8)
    return "Good networks refused and broken networks passed, by the number of images"


def main() -> None:
    """Simulate, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=DRAWS)
    draws = parser.parse_args().draws
    sets = read()
    rows = [row for name, each in sets.items() for row in simulate(name, each, draws)]
    curves = {name: errors(rows, name) for name in sets}
    facts = {
        name: {
            "images": len(each.labels),
            "networks": {
                network: accuracy.decide(each.reference, logits, each.labels).to_json()
                | {"changed": None}
                for network, logits in each.networks.items()
            },
            "good refused, broken passed": curves[name],
        }
        for name, each in sets.items()
    }
    record(
        "gate-error-rates",
        rows,
        {"what": WHAT, "draws": draws, **facts},
        {"cifar10": curve(curves["cifar10"])},
    )


if __name__ == "__main__":
    main()
