"""Weights in the form of a training: the product of a mask, or a refusal whose remedy works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from state_dicts import same
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from resnet_serve.checkpoints.states.training_forms import plain
from resnet_serve.errors import InputFileError

FILE = Path("net.pth")


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))


def refused(state: dict[str, Tensor]) -> str:
    with pytest.raises(InputFileError) as caught:
        plain(state, FILE)
    assert caught.value.remedy is not None
    return str(caught.value)


@pytest.mark.parametrize("method", ["unstructured", "structured", "bias", "twice", "custom"])
def test_a_pruned_network_is_what_prune_remove_leaves(method: str) -> None:
    pruned = network()
    if method == "unstructured":
        prune.global_unstructured([(pruned[0], "weight"), (pruned[3], "weight")],
                                  pruning_method=prune.L1Unstructured, amount=0.4)  # fmt: skip
    elif method == "structured":
        prune.ln_structured(pruned[0], "weight", amount=0.5, n=2, dim=0)
    elif method == "bias":
        prune.random_unstructured(pruned[3], "bias", amount=2)
    elif method == "twice":
        prune.l1_unstructured(pruned[3], "weight", amount=0.3)
        prune.random_unstructured(pruned[3], "weight", amount=0.3)
    else:
        prune.custom_from_mask(pruned[3], "weight", (torch.rand(5, 16) > 0.5).float())
    state = pruned.state_dict()
    found = plain(state, FILE)
    assert found.notices == (
        f"net.pth is pruned: {found.notices[0].split(': ')[1].split(' taken')[0]} taken as "
        "weight_orig × weight_mask, which is what prune.remove does",
    )
    for layer, name in ((pruned[0], "weight"), (pruned[3], "weight"), (pruned[3], "bias")):
        if hasattr(layer, f"{name}_mask"):
            prune.remove(layer, name)
    assert same(found.tensors, pruned.state_dict())
    network().load_state_dict(found.tensors, strict=True)


@pytest.mark.parametrize(
    ("wrap", "unwrap", "call"),
    [
        (
            parametrizations.weight_norm,
            lambda layer: parametrize.remove_parametrizations(layer, "weight"),
            "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')",
        ),
        (
            parametrizations.spectral_norm,
            lambda layer: parametrize.remove_parametrizations(layer, "weight"),
            "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')",
        ),
        (
            parametrizations.orthogonal,
            lambda layer: parametrize.remove_parametrizations(layer, "weight"),
            "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')",
        ),
        (
            torch.nn.utils.weight_norm,
            torch.nn.utils.remove_weight_norm,
            "torch.nn.utils.remove_weight_norm(layer)",
        ),
        (
            torch.nn.utils.spectral_norm,
            torch.nn.utils.remove_spectral_norm,
            "torch.nn.utils.remove_spectral_norm(layer)",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_call_of_the_remedy_makes_a_reparametrised_network_plain(
    wrap: Callable[..., nn.Module], unwrap: Callable[..., nn.Module], call: str
) -> None:
    changed = network()
    wrap(changed[3])
    text = refused(changed.state_dict())
    assert call in text
    assert "3 first" in text
    unwrap(changed[3])
    assert same(plain(changed.state_dict(), FILE).tensors, changed.state_dict())


def test_records_of_observers_are_left_out_and_said() -> None:
    state = network().state_dict()
    observed = {
        **state,
        "0.activation_post_process.min_val": torch.zeros(()),
        "0.activation_post_process.max_val": torch.ones(()),
        "0.activation_post_process.eps": torch.ones(1),
    }
    found = plain(observed, FILE)
    assert same(found.tensors, state)
    assert found.notices == (
        "ignored in net.pth, as records of quantization observers, which compute nothing: "
        "0.activation_post_process.min_val and 2 more",
    )


@pytest.mark.parametrize("name", ["0.weight_fake_quant", "0.activation_post_process"])
def test_fake_quantization_is_refused_unless_it_is_off(name: str) -> None:
    state = network().state_dict()
    quantizer = torch.ao.quantization.default_fake_quant()
    entries = {f"{name}.{key}": tensor for key, tensor in quantizer.state_dict().items()}
    text = refused({**state, **entries})
    assert "quantization-aware training" in text
    code = text.partition("torch.save(")[2].rpartition(", 'fp32.pth')")[0]
    followed = eval(code, {"state": {**state, **entries}})
    assert same(plain(followed, FILE).tensors, state)
    quantizer.disable_fake_quant()
    entries = {f"{name}.{key}": tensor for key, tensor in quantizer.state_dict().items()}
    assert same(plain({**state, **entries}, FILE).tensors, state)
    assert "fake_quant" in refused({**state, "0.weight_fake_quant.scale": torch.ones(1)})


@pytest.mark.parametrize(
    ("names", "alone"),
    [
        (("base_model.model.fc.lora_A.default.weight", "base_model.model.fc.lora_B.weight"), True),
        (("0.weight", "3.lora_A", "3.lora_B"), False),
        (("layer1.0.conv1.base_layer.weight", "layer1.0.conv1.lora_A.x.weight"), True),
    ],
)
def test_an_adapter_is_to_be_merged(names: tuple[str, ...], alone: bool) -> None:
    text = refused({name: torch.ones(2) for name in names})
    assert ("alone, without the network" in text) == alone
    assert "Merge the LoRA: network = peft_model.merge_and_unload()" in text


@pytest.mark.filterwarnings("ignore")
def test_a_network_that_was_converted_to_int8_is_named() -> None:
    converted = torch.ao.quantization.quantize_dynamic(network(), {nn.Linear})
    state = {n: t for n, t in converted.state_dict().items() if isinstance(t, Tensor)}
    text = refused(state)
    assert "1 layer is quantized already, 3 first" in text
    assert "--precision int8 quantizes it" in text


def test_plain_weights_are_as_they_were() -> None:
    state = network().state_dict()
    found = plain(state, FILE)
    assert same(found.tensors, state)
    assert list(found.tensors) == list(state)
    assert found.notices == ()
