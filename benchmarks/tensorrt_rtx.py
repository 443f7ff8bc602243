"""Every network of the registry through TensorRT-RTX's real parser and builder, in FP16 and INT8.

    python benchmarks/tensorrt_rtx.py

What the builder made of each, by its own list of layers: how many convolutions compute in the
precision that was asked for, and how many additions are fused with one. No GPU is needed, and
nothing is executed. The plan is the usual one for four targets, with the list of layers of 8.9;
networks of up to 50 layers are also built for 8.6 and for 12.0 alone. The weights are untrained
(`--weights random`), images have 64 pixels (CIFAR: 32), and INT8 is calibrated with 4 synthetic
ones: the layers depend on none of it. An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recorded import record

from resnet_convert import precision
from resnet_convert.folded import prepare
from resnet_convert.lint import rules, tensorrt
from resnet_convert.parity.reference import Reference
from resnet_convert.precision import Precise
from resnet_convert.request import Request
from resnet_convert.stage_log import Silent, StageLog
from resnet_convert.tensorrt.inspection import Inspection, inspect
from resnet_convert.tensorrt.judging.judge import Judge
from resnet_convert.tensorrt.judging.verdict import DEFAULT_TARGETS, Question, Verdict
from resnet_serve import host, weights
from resnet_serve.architectures import ARCHITECTURES, Architecture
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.runtimes.profiles import Profile

PRECISIONS = ("fp16", "int8")
SIDE = 64
CALIBRATION_IMAGES = 4
PROFILE = Profile(1, 8, 32)
ALONE = ("8.6", "12.0")
ALONE_UP_TO = 50  # layers
PARTIAL = Path(__file__).parent / "checkpoints" / "tensorrt-rtx.jsonl"
LONGEST_S = 3600  # of one build, on a busy host
NAMED = 3  # convolutions of another precision that a row names
Row = dict[str, Any]
Key = tuple[str, str, str]


def main() -> None:
    """Build every network in every precision; write results when nothing was left out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="these alone; nothing is written")
    options = parser.parse_args()
    rows: dict[Key, Row] = {} if options.names else kept(PARTIAL)
    chosen = [row for row in ARCHITECTURES.values() if row.name in (options.names or ARCHITECTURES)]
    wanted = [key for row in chosen for key in keys(row)]
    with Judge(longest_s=LONGEST_S) as judge:
        version = judge.version()
        for row in chosen:
            missing = [key for key in keys(row) if key not in rows]
            for key, found in measured(row, missing, judge):
                rows[key] = found
                print(f"{len(rows)} of {len(wanted)}  {shown(found)}", flush=True)
                if not options.names:
                    keep(PARTIAL, found)
    if not options.names:
        record("tensorrt-rtx", [rows[key] for key in wanted], summary(rows.values(), version))
        PARTIAL.unlink()


def keys(row: Architecture) -> list[Key]:
    """What is built of a network: its name, the precision, and the targets of the plan."""
    alone = ALONE if row.depth <= ALONE_UP_TO else ()
    targets = (",".join(DEFAULT_TARGETS), *alone)
    return [(row.name, kind, each) for kind in PRECISIONS for each in targets]


def kept(path: Path) -> dict[Key, Row]:
    """The rows of an interrupted run."""
    if not path.is_file():
        return {}
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {(row["network"], row["precision"], row["targets"]): row for row in rows}


def keep(path: Path, row: Row) -> None:
    """Add a row to those of the run."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def measured(row: Architecture, wanted: Sequence[Key], judge: Judge) -> Iterator[tuple[Key, Row]]:
    """What TensorRT-RTX makes of one network, in the order of `wanted`."""
    precisions = dict.fromkeys(kind for _, kind, _ in wanted)
    for kind, made in typed(row, precisions) if wanted else ():
        broken = rules.check(made.model, tensorrt.RULES)
        said = f"{broken[0].rule} at {broken[0].layer}" if broken else "kept"
        for key in wanted:
            if key[1] == kind:
                verdict = judge.ask(Question(made.data, tuple(key[2].split(",")), (PROFILE,)))
                layers = inspect(verdict.layers, made.model) if verdict.built else None
                about = dict(zip(("network", "precision", "targets"), key, strict=True))
                yield key, {**about, "lint": said, **facts(verdict, layers)}


def typed(row: Architecture, precisions: Iterable[str]) -> Iterator[tuple[str, Precise]]:
    """The graph of `--target tensorrt-rtx` in each precision, made by the converter's stages."""
    side = min(SIDE, row.image_size)
    loaded = weights.load("random", replace(row, image_size=side))
    own = replace(loaded.preprocessing, resize=side, crop=(side, side))
    loaded = replace(loaded, preprocessing=own)
    request = Request(arch=row.name, weights="random", target="tensorrt-rtx")
    reference = Reference(loaded.network(), loaded, request.input, host.cores(), request.head)
    log = StageLog(Silent())
    folded = prepare(request, reference, log)
    images = SyntheticImages(CALIBRATION_IMAGES, side=side, seed=1)
    for kind in precisions:
        asked = replace(request, precision=kind, calibration_method="minmax")
        yield kind, precision.bring(folded.model, asked, reference, images, log)


def facts(verdict: Verdict, layers: Inspection | None) -> Row:
    """The columns of a row that the builder gave, empty where it made no plan."""
    outcome = verdict.outcome
    if not verdict.built:
        reasons = [*(each.text for each in verdict.refusals), *verdict.errors]
        outcome += f": {reasons[0]}" if reasons else ""
    found: Row = dict.fromkeys(
        ("convolutions", "as_asked", "others", "additions", "fused", "layers"), ""
    )
    if layers is not None:
        wrong = layers.wrong
        named = [f"{name} {layers.convolutions[name][1] or 'not found'}" for name in wrong[:NAMED]]
        named += [f"{len(wrong) - NAMED} more"] if len(wrong) > NAMED else []
        found = {
            "convolutions": len(layers.convolutions),
            "as_asked": len(layers.convolutions) - len(wrong),
            "others": "; ".join(named),
            "additions": len(layers.residuals),
            "fused": layers.fused,
            "layers": len(layers.layers),
        }
    size = "" if verdict.plan_bytes is None else round(verdict.plan_bytes / 1e6, 2)
    return {"outcome": outcome, **found, "plan_mb": size, "build_s": round(verdict.seconds, 2)}


def shown(row: Mapping[str, Any]) -> str:
    """A row in one line of text."""
    name = f"{row['network']} {row['precision']} for {row['targets']}: "
    name += f"lint {row['lint']}, {row['outcome']}"
    if row["outcome"] != "built":
        return name
    others = f" ({row['others']})" if row["others"] else ""
    return (
        f"{name}, {row['as_asked']} of {row['convolutions']} convolutions{others}, "
        f"{row['fused']} of {row['additions']} additions fused, {row['layers']} layers, "
        f"{row['plan_mb']} MB, {row['build_s']} s"
    )


def summary(rows: Collection[Mapping[str, Any]], version: str) -> Row:
    """What is true of all rows, by precision."""
    found: Row = {}
    for kind in PRECISIONS:
        of_kind = [row for row in rows if row["precision"] == kind]
        built = [row for row in of_kind if row["outcome"] == "built"]
        found[kind] = {
            "networks": len({row["network"] for row in of_kind}),
            "lint_kept": f"{sum(row['lint'] == 'kept' for row in of_kind)} of {len(of_kind)}",
            "built": f"{len(built)} of {len(of_kind)}",
            "convolutions_as_asked": _of(built, "as_asked", "convolutions"),
            "additions_fused": _of(built, "fused", "additions"),
            "networks_with_others": sorted({row["network"] for row in built if row["others"]}),
        }
    return {
        "what": f"untrained networks of the registry, built by TensorRT-RTX {version}'s real "
        "parser and builder; precision and fusion read from the builder's own list of layers; "
        "nothing was executed",
        "tensorrt_rtx": version,
        "targets": list(DEFAULT_TARGETS),
        "profile": f"{PROFILE.minimum}:{PROFILE.optimum}:{PROFILE.maximum}",
        "image_side": SIDE,
        "build_s": "wall time of parser and builder: an upper bound where the host is busy",
        **found,
    }


def _of(rows: Sequence[Mapping[str, Any]], part: str, whole: str) -> str:
    return f"{sum(row[part] for row in rows)} of {sum(row[whole] for row in rows)}"


if __name__ == "__main__":
    main()
