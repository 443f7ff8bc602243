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


def test_lightnings_average_is_taken_when_it_is_asked_for_and_nothing_else_unasked() -> None:
    """Its WeightAveraging saves the average as the state dict, and the network beside it."""
    loaded = {
        "state_dict": under("model.", AVERAGE),
        "current_model_state": under("model.", NETWORK),
        "averaging_state": {"n_averaged": torch.tensor(5)},
    }
    text = refused(loaded)
    assert "the average of the weights, in state_dict" in text
    assert text.endswith("Give --ema for the average, or --weights-key current_model_state.")
    averaged = choose(loaded, FILE, ema=True)
    assert is_the(AVERAGE, averaged)
    assert averaged.notices == ("the averaged copy (EMA) in state_dict is used",)
    assert is_the(NETWORK, choose(loaded, FILE, key="current_model_state"))
    assert is_the(AVERAGE, choose(loaded, FILE, key="state_dict"))


def test_what_is_left_out_is_said() -> None:
    loaded = under("model.", NETWORK) | {"criterion.weight": torch.ones(10)}
    assert choose(loaded, FILE).notices == (
        "ignored in net.pth, as not part of the network: criterion.weight",
    )


BOTH: list[tuple[object, str, str]] = [
    ({"student": NETWORK, "teacher": AVERAGE}, "student", "teacher"),
    ({"a": {"student": NETWORK}, "b": AVERAGE, "epoch": 1}, "a.student", "b"),
    ({"models": [NETWORK, AVERAGE], "epoch": 3}, "models.0", "models.1"),
    (
        {"state_dict": under("student.", NETWORK) | under("teacher.", AVERAGE)},
        "state_dict.student",
        "state_dict.teacher",
    ),
    (under("encoder_q.", NETWORK) | under("encoder_k.", AVERAGE), "encoder_q", "encoder_k"),
    ({**NETWORK, **under("teacher.", AVERAGE)}, ".", "teacher"),
]


@pytest.mark.parametrize(("loaded", "first", "second"), BOTH)
def test_of_two_networks_the_one_of_the_key_is_taken(
    loaded: object, first: str, second: str
) -> None:
    text = refused(loaded)
    assert text.startswith("net.pth: contains more than one network: ")
    proposed = text.partition("--weights-key ")[2]
    assert proposed in (first, second), "the remedy names one of them"
    for key, state in ((first, NETWORK), (second, AVERAGE)):
        assert is_the(state, choose(loaded, FILE, key=key))
        ending = key.rpartition(".")[2] or key
        assert is_the(state, choose(loaded, FILE, key=ending))


def test_a_key_without_a_network_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputFileError) as caught:
        choose({"student": NETWORK, "teacher": AVERAGE}, FILE, key="pupil")
    assert str(caught.value) == (
        "net.pth: contains no network 'pupil'; it contains student, teacher. "
        "Choose one, such as --weights-key student"
    )


def test_the_beginning_of_a_key_is_completed_in_the_remedy() -> None:
    loaded = {"state_dict": AVERAGE, "run": {"student": NETWORK}}
    with pytest.raises(InputFileError, match=r"no network 'run'.*--weights-key run\.student$"):
        choose(loaded, FILE, key="run")


@pytest.mark.parametrize(
    ("loaded", "others"),
    [
        ({**NETWORK, "epoch": 12, "arch": "resnet20"}, "epoch, arch"),
        ({"model": NETWORK, "criterion": {"weight": torch.ones(3)}}, "criterion"),
        ({"model": NETWORK, "discriminator": {"a.weight": torch.ones(3)}}, "discriminator"),
    ],
)
def test_what_else_is_in_a_file_is_said(loaded: object, others: str) -> None:
    choice = choose(loaded, FILE)
    assert is_the(NETWORK, choice)
    assert choice.notices == (f"ignored in net.pth, as not part of the network: {others}",)


def test_the_state_of_an_optimizer_is_no_network() -> None:
    kept = {"state": {0: {"step": torch.ones(())}}, "param_groups": [{"lr": 0.1}]}
    named = {"state": {"layer1.0.conv1.weight": {"exp_avg": torch.ones(1)}}}
    for optimizer in (kept, named):
        choice = choose({"model": NETWORK, "optimizer": optimizer}, FILE)
        assert is_the(NETWORK, choice)
        assert choice.notices == ()


def test_a_layer_that_may_come_after_the_classifier_is_not_left_out() -> None:
    state = {"layer1.0.conv1.weight": torch.ones(1), "fc.weight": torch.ones(512, 64)}
    with pytest.raises(InputFileError, match=r"metric.weight \[10, 512\] may be a layer after fc"):
        choose({**state, "metric.weight": torch.ones(10, 512)}, FILE)
    for beside in (torch.ones(10, 64), torch.ones(512), torch.ones(10, 512, dtype=torch.int64)):
        assert len(choose({**state, "metric.weight": beside}, FILE).network.tensors) == 2


def test_containers_that_refer_to_each_other_end() -> None:
    loaded: dict[str, object] = {"model": NETWORK}
    loaded["module"] = loaded
    assert is_the(NETWORK, choose(loaded, FILE))
    wide: object = {"x": torch.ones(1)}
    for _ in range(8):
        wide = {str(number): wide for number in range(50)}
    with pytest.raises(InputFileError):
        choose(wide, FILE)


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
            "Choose one, such as --weights-key ema",
        ),
        (
            {"model": NETWORK, "state_dict": AVERAGE},
            False,
            "net.pth: contains more than one network: model, state_dict. "
            "Choose one, such as --weights-key model",
        ),
        (
            {"state_dict": under("student.", NETWORK) | under("teacher.", AVERAGE)},
            False,
            "net.pth: contains more than one network: state_dict.student, state_dict.teacher. "
            "Choose one, such as --weights-key state_dict.student",
        ),
        (
            {"epoch": 3},
            False,
            "net.pth: contains no state dict (a mapping of parameter names to tensors), but epoch. "
            "Save the network's state_dict() and give that file.",
        ),
    ],
)
def test_what_could_mean_two_things_or_nothing_is_refused(
    loaded: object, ema: bool, text: str
) -> None:
    assert refused(loaded, ema=ema) == text
