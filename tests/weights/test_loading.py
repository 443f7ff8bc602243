"""Checkpoints as strangers send them: loaded strictly, or refused with what they look like."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import other_libraries
import pytest
import torch
from library_configs import CONVNEXT, RESNET_50, written
from safetensors.torch import save_file
from state_dicts import as_run, same
from thin import thin
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import Architecture, build, find, fitting
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights import class_names
from resnet_serve.weights.assumptions import Subject

pytestmark = pytest.mark.usefixtures("one_thread")
RESNET20 = find("resnet20")


# --- what loads -------------------------------------------------------------------------------


def test_safetensors_round_trip_keeps_everything(tmp_path: Path, random20: weights.Weights) -> None:
    given = weights.Weights(
        architecture=RESNET20.with_classes(3),
        state={
            **random20.state,
            "fc.weight": torch.randn(3, 64),
            "fc.bias": torch.randn(3),
        },
        preprocessing=Preprocessing(resize=40, crop=(32, 28), interpolation="bicubic"),
        labels=("größer", 'with "quotes"', "c"),
        source="here",
        sha256="",
        trained=True,
        training={"epochs": 3, "note": "ä"},
    )
    path = tmp_path / "deep" / "net.safetensors"
    weights.save(path, given)
    found = weights.load(str(path), RESNET20)
    assert same(dict(found.state), dict(given.state))
    for field in ("architecture", "preprocessing", "labels", "training", "trained"):
        assert getattr(found, field) == getattr(given, field), field
    assert found.source == str(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_untrained_network_does_not_become_trained_by_being_saved(
    tmp_path: Path, random20: weights.Weights
) -> None:
    weights.save(tmp_path / "net.safetensors", random20)
    assert not weights.load(str(tmp_path / "net.safetensors"), RESNET20).trained


@pytest.mark.parametrize("suffix", ["pth", "pt", "PTH"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_checkpoint_loads_strictly(
    tmp_path: Path, state: dict[str, Tensor], suffix: str, zipped: bool
) -> None:
    path = tmp_path / f"net.{suffix}"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    found = weights.load(str(path), RESNET20)
    assert same(dict(found.state), state)
    assert found.trained
    assert found.labels == tuple(f"class {index}" for index in range(10))
    assert found.preprocessing == Preprocessing(resize=32, crop=(32, 32), resize_mode="exact")


def test_parameters_are_taken_as_tensors_that_need_no_gradient(tmp_path: Path) -> None:
    network = build(RESNET20)
    torch.save(network.state_dict(keep_vars=True), tmp_path / "net.pth")
    found = weights.load(str(tmp_path / "net.pth"), RESNET20)
    assert not any(tensor.requires_grad for tensor in found.state.values())
    reference = found.network()
    assert not reference.training
    assert not any(parameter.requires_grad for parameter in reference.parameters())


def test_half_precision_checkpoints_make_an_fp32_network(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    save_file(
        {n: t.half() if t.is_floating_point() else t for n, t in state.items()},
        tmp_path / "net.safetensors",
    )
    network = weights.load(str(tmp_path / "net.safetensors"), RESNET20).network()
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_checkpoints_from_before_batch_counters_load(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    old = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    assert len(old) < len(state)
    torch.save(old, tmp_path / "old.pth")
    found = weights.load(str(tmp_path / "old.pth"), RESNET20)
    assert list(found.state) == list(build(RESNET20).state_dict())
    image = torch.randn(2, 3, 32, 32)
    expected = weights.load("random:7", RESNET20).network()(image)
    assert torch.equal(found.network()(image), expected)


@pytest.mark.parametrize(
    ("wrap", "part"),
    [
        (lambda state: {"state_dict": state, "epoch": 3, "best": 0.9}, "state_dict"),
        (lambda state: {"model": state, "optimizer": {"lr": 0.1}}, "model"),
        (lambda state: {"state_dict": state, "state_dict_ema": spoiled(state)}, "state_dict"),
        (lambda state: {"model": {"state_dict": prefixed(state)}}, "model.state_dict"),
        (lambda state: {**prefixed(state)}, ""),
    ],
)
def test_training_checkpoints_give_their_network_and_say_which_part(
    tmp_path: Path,
    state: dict[str, Tensor],
    wrap: Callable[[dict[str, Tensor]], object],
    part: str,
) -> None:
    path = tmp_path / "net.pth"
    torch.save(wrap(state), path)
    found = weights.load(str(path), RESNET20)
    assert same(dict(found.state), state)
    assert found.source == (f"{path} ({part})" if part else str(path))


def prefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": tensor for name, tensor in state.items()}


def spoiled(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


def test_the_averaged_copy_is_taken_on_request_and_announced(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = tmp_path / "net.pth"
    torch.save({"model": spoiled(state), "model_ema": prefixed(state)}, path)
    found = weights.load(str(path), RESNET20, reading=Reading(ema=True))
    assert same(dict(found.state), state)
    assert found.source == f"{path} (model_ema, averaged)"
    assert found.notices == ("the averaged copy (EMA) in model_ema is used",)


def test_a_trusted_pickle_is_stamped_and_said(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "net.pth"
    network = build(RESNET20)
    network.load_state_dict(state)
    torch.save({"model": network, "epoch": 1}, path)
    found = weights.load(str(path), RESNET20, reading=Reading(trust_pickle=True))
    assert found.trusted_pickle
    assert found.notices == (f"{path} contains pickled code, which was RUN (--trust-pickle)",)
    assert found.source == f"{path} (model)"
    torch.save(state, path)
    harmless = weights.load(str(path), RESNET20, reading=Reading(trust_pickle=True))
    assert (harmless.trusted_pickle, harmless.notices) == (False, ())


@pytest.mark.parametrize("classes", [3, 100, 1000])
def test_the_classifier_of_the_file_decides_the_class_count(
    tmp_path: Path, state: dict[str, Tensor], classes: int
) -> None:
    state |= {"fc.weight": torch.zeros(classes, 64), "fc.bias": torch.zeros(classes)}
    torch.save(state, tmp_path / "net.pth")
    for architecture in (RESNET20, None):
        found = weights.load(str(tmp_path / "net.pth"), architecture)
        assert found.architecture == RESNET20.with_classes(classes)
        assert found.labels == class_names.default(classes)


def test_twins_are_told_apart_by_the_file_or_said(
    tmp_path: Path, state: dict[str, Tensor], random20: weights.Weights
) -> None:
    torch.save(state, tmp_path / "net.pth")
    silent = weights.load(str(tmp_path / "net.pth"), None)
    assert silent.architecture.name == "resnet20"
    said = {each.subject: str(each) for each in silent.assumptions}
    assert said[Subject.NETWORK] == (
        "network assumed: resnet20, although plain20 has the same tensors; "
        "state it with --arch NAME"
    )
    plain = replace(random20, architecture=find("plain20"))
    weights.save(tmp_path / "plain.safetensors", plain)
    named = weights.load(str(tmp_path / "plain.safetensors"), None)
    assert (named.architecture.name, named.notices) == ("plain20", ())
    assert named.assumptions == ()


def counted(row: Architecture) -> Architecture:
    """The row with its number of parameters, by which networks are recognised."""
    with torch.device("meta"):
        return replace(row, parameters=sum(p.numel() for p in build(row).parameters()))


@pytest.mark.parametrize(("in_bottleneck", "name"), [(False, "resnet50"), (True, "resnet50v1")])
def test_a_folder_of_transformers_says_all_that_is_to_know(
    tmp_path: Path, in_bottleneck: bool, name: str
) -> None:
    theirs = other_libraries.hugging_face(thin(find("resnet50")).with_classes(2)).state_dict()
    row = thin(find(name)).with_classes(2)
    with pytest.MonkeyPatch.context() as patch:
        rows = {each: counted(thin(find(each))) for each in ("resnet50", "resnet50v1")}
        patch.setattr(fitting, "ARCHITECTURES", rows)
        save_file(as_run(theirs), tmp_path / "model.safetensors")
        written(tmp_path, RESNET_50 | {"downsample_in_bottleneck": in_bottleneck})
        written(tmp_path, CONVNEXT, "preprocessor_config.json")
        loaded = weights.load(str(tmp_path / "model.safetensors"), None)
    assert (loaded.architecture.name, loaded.labels) == (row.name, ("tench", "gold fish"))
    assert loaded.preprocessing == Preprocessing(interpolation="bicubic")
    assert loaded.notices == (
        "the names are those of Hugging Face transformers, read as torchvision's",
    )
    loaded.network()
