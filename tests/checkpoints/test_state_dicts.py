"""The network among what a training saves: found, or refused with the candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resnet_serve.architectures import build, find
from resnet_serve.checkpoints.state_dicts import Choice, choose
from resnet_serve.errors import InputFileError

State = Mapping[str, Tensor]
Wrap = Callable[[State, State], object]
FILE = Path("net.pth")
NAMES = tuple(build(find("resnet20")).state_dict())


def numbered(value: float) -> dict[str, Tensor]:
    return {name: torch.full((1,), value) for name in NAMES}


NETWORK, AVERAGE = numbered(1), numbered(2)


def under(prefix: str, state: State) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def is_the(state: State, choice: Choice) -> bool:
    found = choice.network.tensors
    return found.keys() == state.keys() and all(torch.equal(found[n], state[n]) for n in state)


def refused(loaded: object, *, ema: bool = False) -> str:
    with pytest.raises(InputFileError) as caught:
        choose(loaded, FILE, ema=ema)
    return str(caught.value)


@pytest.mark.parametrize(
    ("loaded", "place"),
    [
        (NETWORK, ""),
        ({"epoch": 3, "state_dict": under("module.", NETWORK)}, "state_dict"),
        ({"model_state_dict": under("_orig_mod.module.", NETWORK)}, "model_state_dict"),
        ({"model": {"state_dict": under("module._orig_mod.", NETWORK)}}, "model.state_dict"),
        ({"net": NETWORK, "acc": 95.1, "epoch": 7}, "net"),  # kuangliu's pytorch-cifar
        ({"module": NETWORK, "dp_world_size": 2}, "module"),  # DeepSpeed
        (
            {  # Lightning
                "state_dict": under("model.", NETWORK) | {"criterion.weight": torch.ones(10)},
                "hyper_parameters": {"lr": 0.1},
                "callbacks": {"ModelCheckpoint{'monitor': 'x'}": {"best_model_path": "x"}},
            },
            "state_dict",
        ),
        (under("net.", NETWORK), ""),
        (under("backbone.", NETWORK), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_wrapper_gives_the_network_and_says_where_it_was(loaded: object, place: str) -> None:
    choice = choose(loaded, FILE)
    assert is_the(NETWORK, choice)
    assert (choice.network.place, choice.network.averaged) == (place, False)


AVERAGED: list[tuple[Wrap, str]] = [
    (lambda net, ema: {"state_dict": net, "state_dict_ema": ema}, "state_dict_ema"),
    (lambda net, ema: {"model": net, "model_ema": under("module.", ema)}, "model_ema"),
    (lambda net, ema: {"model": net, "ema": {"state_dict": ema, "decay": 0.9}}, "ema.state_dict"),
    (lambda net, ema: {"model": net, "ema": {"shadow": ema}}, "ema.shadow"),
    (
        lambda net, ema: {
            "model": net,
            "model_ema": {"n_averaged": torch.tensor(5), **under("module.", ema)},
        },
        "model_ema",
    ),
    (
        lambda net, ema: {
            "state_dict": under("model.", net),
            "callbacks": {"EMACallback{'decay': 0.9}": {"ema_state_dict": under("model.", ema)}},
        },
        "callbacks.EMACallback.ema_state_dict",
    ),
    (
        lambda net, ema: {
            "state_dict": under("model.", net) | under("model_ema.module.", ema),
        },
        "state_dict.model_ema.module",
    ),
]


@pytest.mark.parametrize(("wrap", "place"), AVERAGED, ids=[place for _, place in AVERAGED])
def test_the_averaged_copy_is_taken_when_it_is_asked_for_and_never_unasked(
    wrap: Wrap, place: str
) -> None:
    loaded = wrap(NETWORK, AVERAGE)
    plain, averaged = choose(loaded, FILE), choose(loaded, FILE, ema=True)
    assert is_the(NETWORK, plain)
    assert plain.notices == (
        f"net.pth also contains an averaged copy (EMA), in {place}; --ema uses it",
    )
    assert is_the(AVERAGE, averaged)
    assert averaged.network.averaged
    assert averaged.notices == (f"the averaged copy (EMA) in {place} is used",)


def test_what_is_left_out_is_said() -> None:
    loaded = under("model.", NETWORK) | {"criterion.weight": torch.ones(10)}
    assert choose(loaded, FILE).notices == (
        "ignored in net.pth, as not part of the network: criterion.weight",
    )


@pytest.mark.parametrize(
    ("loaded", "ema", "text"),
    [
        (
            {"model_ema": AVERAGE},
            False,
            "net.pth: contains only an averaged copy (EMA) of the network, in model_ema. "
            "Give --ema to use it.",
        ),
        (
            {"model": NETWORK},
            True,
            "net.pth: contains no averaged copy (EMA) of the network. Omit --ema.",
        ),
        (
            {"ema": AVERAGE, "state_dict_ema": NETWORK},
            True,
            "net.pth: contains more than one network: ema, state_dict_ema. "
            "Save the state_dict() of the one you mean and give that file.",
        ),
        (
            {"model": NETWORK, "state_dict": AVERAGE},
            False,
            "net.pth: contains more than one network: model, state_dict. "
            "Save the state_dict() of the one you mean and give that file.",
        ),
        (
            {"state_dict": under("student.", NETWORK) | under("teacher.", AVERAGE)},
            False,
            "net.pth: contains more than one network: state_dict.student, state_dict.teacher. "
            "Save the state_dict() of the one you mean and give that file.",
        ),
        (
            {"epoch": 3},
            False,
            "net.pth: contains no state dict (a mapping of parameter names to tensors). "
            "Save the network's state_dict() and give that file.",
        ),
    ],
)
def test_what_could_mean_two_things_or_nothing_is_refused(
    loaded: object, ema: bool, text: str
) -> None:
    assert refused(loaded, ema=ema) == text
