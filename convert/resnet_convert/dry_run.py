"""The plan of a conversion, without doing any of it: its stages, and what each still needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from resnet_convert.autoselect import entrants
from resnet_convert.request import Request
from resnet_convert.stage_log import StageName
from resnet_convert.stages import Stage, planned
from resnet_serve import host
from resnet_serve.architectures import catalog
from resnet_serve.checkpoints.reading import SHIPPED, cached, is_address
from resnet_serve.checkpoints.sources import hub
from resnet_serve.datasets import built_in
from resnet_serve.download import torch_hub_checkpoints

Status = Literal["here", "download", "missing"]


@dataclass(frozen=True)
class Step:
    """A stage, what it does in this conversion, what it needs, and where that is."""

    stage: str
    does: str
    needs: str
    status: Status

    def to_json(self) -> dict[str, object]:
        """The fields, by name."""
        return asdict(self)


def plan(request: Request) -> list[Step]:
    """The steps of a checked request; reads directories, writes nothing, downloads nothing."""
    return [_step(row, request) for row in planned(request)]


def _step(row: Stage, request: Request) -> Step:
    does = row.does(request)
    if row.name is StageName.WEIGHTS:
        return _weights(request)
    if row.name is StageName.CALIBRATE:
        return _images(row.name, does, request.calibration)
    if row.name is StageName.PARITY:
        return _images(row.name, does, request.validation)
    if row.name is StageName.DEPLOY:
        return Step(row.name, does, str(request.repository), "here")
    packages = row.packages
    if row.name is StageName.AUTOSELECT:
        candidates = entrants(request, host.cores())
        does = f"{len(candidates)} entrants, for {request.optimize}"
        packages = tuple(dict.fromkeys(each.target for each in candidates))
    if row.name is StageName.LATENCY:
        packages = (request.row.package,)
    missing = [name for name in packages if find_spec(name) is None]
    return Step(row.name, does, ", ".join(packages), _here(not missing))


def _weights(request: Request) -> Step:
    spec, sha256 = request.weights_spec, request.weights_sha256
    kind, _, option = spec.partition(":")
    step = Step(StageName.WEIGHTS, "a checkpoint", spec, "here")
    if spec == request.module:
        return replace(step, does="as the module returns it")
    if kind == "imagenet" and request.architecture is not None:
        row = catalog.published(request.architecture.name, option or None)
        path = torch_hub_checkpoints() / row.file_name
        if path.is_file():
            return replace(step, does=f"ImageNet {row.version}, already here", needs=str(path))
        return replace(
            step, does=f"download {row.size_mib:.0f} MiB", needs=row.url, status="download"
        )
    if kind == "random":
        present = find_spec("torch") is not None
        return replace(step, does="untrained, for speed only", needs="torch", status=_here(present))
    if spec in SHIPPED:
        return replace(step, does=f"trained on {SHIPPED[spec]}", needs="shipped")
    if hub.is_hub(spec):
        if hub.in_cache(spec):
            return replace(step, does="a checkpoint of the hub, already here")
        return replace(step, does="download from the Hugging Face Hub", status="download")
    if sha256 is not None and is_address(spec):
        path = cached(spec, sha256)
        if path.is_file():
            return replace(step, does="a checkpoint, already here", needs=str(path))
        return replace(step, does="download a checkpoint", status="download")
    return replace(step, status=_here(Path(spec).is_file()))


def _images(stage: str, does: str, source: str | None) -> Step:
    if source is None:
        return Step(stage, f"{does} (no images given: numerics only)", "synthetic images", "here")
    named = built_in.find(source)
    if named is not None:
        return Step(stage, does, named.needs, _here(named.here()))
    return Step(stage, does, source, _here(Path(source).is_dir()))


def _here(present: bool) -> Status:
    return "here" if present else "missing"
