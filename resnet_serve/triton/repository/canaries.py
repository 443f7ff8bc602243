"""A canary in the repository: the files of the models that the split of a model needs.

    net/             config.pbtxt: the split of versions 3 and 4    1000000004/canary.json
    net.canary-3/    config.pbtxt  labels.txt   3 -> ../net/3       version 3 alone
    net.canary-4/    config.pbtxt  labels.txt   4 -> ../net/4       version 4 alone

So it is there again whenever a server starts. `net_image` has the same; `net_preprocess` is only a
step of it and stays the old version's. Serving another version removes all of it, in one change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from resnet_serve import durable
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.canary import split as splits
from resnet_serve.triton.canary.split import BACKEND, MARK, PARAMETER, Split, alone
from resnet_serve.triton.config import ACTIVATION, NEWEST, PREPROCESSING
from resnet_serve.triton.layout import CONFIG_FILE, LABELS_FILE
from resnet_serve.triton.repository import staging, whole
from resnet_serve.triton.repository.staging import ABSENT, DIRECTORY
from resnet_serve.triton.repository.versions import Deployed

TEXT_FILE = "canary.json"  # object stores drop empty directories
STEPS = ("_preprocess", "_average")  # what is called as a step of other models only


@dataclass(frozen=True)
class Canary:
    """A new version that gets a share: `routed` models are split, `unsplit` says why others are
    not.
    """

    split: Split
    old: Deployed
    new: Deployed
    routed: tuple[str, ...]
    unsplit: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.new} with {self.split.percent} of the requests"


def router(own: str, split: Split) -> str:
    """config.pbtxt of a model that is split, from the old version's own.

    Clients find in it what they prepare images and read outputs by.
    """
    made = config.parse(own)
    for field in (
        *("platform", "default_model_filename", "ensemble_scheduling", "dynamic_batching"),
        *("instance_group", "model_warmup", "optimization"),
    ):
        made.ClearField(field)
    made.backend = BACKEND
    made.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=1)
    for key in [each for each in made.parameters if each not in (PREPROCESSING, ACTIVATION)]:
        del made.parameters[key]
    made.parameters[PARAMETER].string_value = split.to_text()
    made.version_policy.Clear()
    made.version_policy.specific.versions.extend(sorted({split.old, split.new, split.number}))
    return config.to_text(made)


def running(model: Path) -> Split | None:
    """The split of a model's directory; None where there is none."""
    try:
        made = config.parse((model / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, text_format.ParseError):
        return None
    return splits.of(made)


def write(place: Path, canary: Canary) -> dict[str, dict[str, str]]:
    """Write its models into a change whose `place` has copies of the routed models.

    Returns what each then holds, for `staging.commit`.
    """
    split, held = canary.split, {}
    for model in canary.routed:
        own = canary.old.directory(model) / str(split.old) / CONFIG_FILE
        text = router(own.read_text(encoding="utf-8"), split).encode()
        clear(place / model)
        staging.replace(place / model / CONFIG_FILE, text)
        (place / model / str(split.number)).mkdir()
        (place / model / str(split.number) / TEXT_FILE).write_text(split.to_text())
        held[model] = {CONFIG_FILE: durable.sha256(text), str(split.number): DIRECTORY}
    for deployed in (canary.old, canary.new):
        for model in deployed.models:
            held[alone(model, deployed.version)] = _write_alone(place, deployed, model)
    return held


def clear(model: Path) -> None:
    """Remove the numbers of splits from the copy of a model."""
    for number in numbers(model):
        (model / number / TEXT_FILE).unlink(missing_ok=True)
        (model / number).rmdir()


def numbers(model: Path) -> list[str]:
    """The numbers of splits in a model's directory."""
    names = (each.name for each in model.iterdir()) if model.is_dir() else ()
    return [each for each in names if each.isdecimal() and int(each) >= splits.FIRST_SPLIT]


def ended(repository: Path, models: Collection[str]) -> dict[str, dict[str, str]]:
    """What the models of these models' canaries hold when there is none any more: nothing."""
    return {name: {".": ABSENT} for name in leftover(repository, models)}


def leftover(repository: Path, models: Collection[str]) -> Iterator[str]:
    """The directories of versions alone, of these models."""
    for entry in image_repository.directories(repository) if repository.is_dir() else ():
        model, mark, _ = entry.name.partition(MARK)
        if mark and model in models:
            yield entry.name


def differing(old: Deployed, new: Deployed, model: str) -> str | None:
    """Why a request for one version is none for the other; None where it is."""
    ours, theirs = (_own(each, model) for each in (new, old))
    labels = [_labels(each, model) for each in (new, old)]
    if labels[0] != labels[1]:
        return "its labels are others"
    for field, what in (("input", "input"), ("output", "outputs")):
        if _tensors(getattr(ours, field)) != _tensors(getattr(theirs, field)):
            return f"its {what} {'is another' if field == 'input' else 'are others'}"
    for key, what in ((PREPROCESSING, "preprocessing of clients"), (ACTIVATION, "activation")):
        if _parameter(ours, key) != _parameter(theirs, key):
            return f"its {what} is another"
    if ours.max_batch_size < theirs.max_batch_size:
        return f"its largest batch is {ours.max_batch_size}, not {theirs.max_batch_size}"
    return None


def _write_alone(place: Path, deployed: Deployed, model: str) -> dict[str, str]:
    version, name = deployed.version, alone(model, deployed.version)
    own = deployed.directory(model) / str(version)
    text = whole.served_config((own / CONFIG_FILE).read_text(encoding="utf-8"), version, (), own)
    made = config.parse(text)
    made.name = name
    for step in made.ensemble_scheduling.step:
        if step.model_name in deployed.models and step.model_version in (NEWEST, version):
            step.model_version, step.model_name = version, alone(step.model_name, version)
    folder = place / name
    folder.mkdir()
    held = {str(version): DIRECTORY}
    files = {CONFIG_FILE: config.to_text(made).encode()}
    if (own / LABELS_FILE).is_file():
        files[LABELS_FILE] = (own / LABELS_FILE).read_bytes()
    for file, data in files.items():
        (folder / file).write_bytes(data)
        held[file] = durable.sha256(data)
    (folder / str(version)).symlink_to(Path("..", model, str(version)), target_is_directory=True)
    return held


def _own(deployed: Deployed, model: str) -> Any:
    path = deployed.directory(model) / str(deployed.version) / CONFIG_FILE
    return config.parse(path.read_text(encoding="utf-8"))


def _labels(deployed: Deployed, model: str) -> bytes | None:
    path = deployed.directory(model) / str(deployed.version) / LABELS_FILE
    return path.read_bytes() if path.is_file() else None


def _tensors(tensors: Any) -> list[tuple[str, int, tuple[int, ...]]]:
    return [(each.name, each.data_type, tuple(each.dims)) for each in tensors]


def _parameter(made: Any, key: str) -> str:
    return str(made.parameters[key].string_value) if key in made.parameters else ""
