"""Networks that cannot be traced are refused in one line, which names the module."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_classifier import SIZE, Classifier
from torch import Tensor, nn
from torch.nn import functional

from resnet_convert.graph import writer
from resnet_convert.graph.trace import trace
from resnet_serve.errors import ConversionError, ParityError


def view_overwritten(_: Any, x: Tensor) -> Tensor:
    x[:, :2].relu_()
    return x


def base_overwritten(_: Any, x: Tensor) -> Tensor:
    view = x[:, 2:]
    x.relu_()
    return torch.cat([view, view], 1)


def sibling_view_overwritten(_: Any, x: Tensor) -> Tensor:
    one, other = x[:, :3], x[:, 1:]
    one.relu_()
    return torch.cat([other, other[:, :1]], 1)


def dropout_is_the_same_memory(_: Any, x: Tensor) -> Tensor:
    functional.dropout(x, training=False).relu_()
    return x


@pytest.mark.parametrize(
    "body",
    [view_overwritten, base_overwritten, sibling_view_overwritten, dropout_is_the_same_memory],
)
def test_overwriting_through_a_view_is_refused(body: Callable[..., Tensor]) -> None:
    with pytest.raises(ConversionError, match="overwrites a tensor whose view is read") as refusal:
        trace(Classifier(body), SIZE)
    assert refusal.value.where == "relu"


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Classifier(lambda m, x: m.act(x), act=nn.Softshrink())

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def test_an_unknown_operator_is_refused_with_its_module() -> None:
    with pytest.raises(ConversionError, match=r"aten::softshrink") as refusal:
        trace(Nested(), SIZE)
    assert refusal.value.where == "inner.act"
    assert "docs/own-networks.md" in str(refusal.value.remedy)


def test_an_operator_outside_every_module_is_refused_by_its_own_name() -> None:
    with pytest.raises(ConversionError, match=r"python::add") as refusal:
        trace(Classifier(lambda m, x: x + (x.size(0) + 1)), SIZE)
    assert refusal.value.where == "add"


def test_the_number_of_images_is_good_for_shapes_only() -> None:
    with pytest.raises(ConversionError, match="the number of images in a computation") as refusal:
        trace(Classifier(lambda m, x: x * x.size(0)), SIZE)
    assert refusal.value.where == "mul"


class TwoAnswers(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3)), x.mean((2, 3))


class NoAnswer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class TwoQuestions(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x + y).mean((2, 3))


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) if x.sum() > 0 else x.mean((2, 3)) + 1


class Segmenter(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.relu()


class FirstOnly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:1].mean((2, 3))


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], 0).mean((2, 3))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x.mean((2, 3)) * self.calls


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (TwoAnswers(), "one input and one output"),
        (NoAnswer(), "computes nothing"),
        (TwoQuestions(), "cannot trace"),
        (Branching(), "must not branch"),
        (Segmenter(), re.escape("returns [batch, 3, 8, 8]")),
        (FirstOnly(), re.escape("returns [1, 3]")),
        (Doubled(), re.escape("returns [2*batch, 3]")),
        (Counting(), "overwrites a constant"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_classifier_is_refused_in_one_line(network: nn.Module, message: str) -> None:
    with pytest.raises(ConversionError, match=message) as refusal:
        trace(network, SIZE)
    assert "\n" not in str(refusal.value)


def test_a_wrong_row_does_not_get_past_the_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What known exporter bugs look like: a graph that runs and answers something else."""
    wrong = dict(writer.ROWS)
    wrong["aten::relu"] = lambda to, a: to.emit("Abs", [a["self"]])
    monkeypatch.setattr(writer, "ROWS", wrong)
    with pytest.raises(ParityError, match="differs from PyTorch"):
        trace(Classifier(lambda _, x: x.relu()), SIZE)


def test_a_network_that_answers_nan_is_not_blamed_on_the_tracer() -> None:
    class Unbounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)) * torch.tensor(float("inf"))

    with pytest.raises(ConversionError, match="NaN or infinity"):
        trace(Unbounded(), SIZE)
