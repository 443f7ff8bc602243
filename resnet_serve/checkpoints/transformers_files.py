"""Hugging Face transformers' `config.json`: what it says of a residual network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnet_serve.activation import Kind
from resnet_serve.checkpoints import json_files

# `problem_type` chooses the loss: cross entropy, binary cross entropy per label, squared error.
_ACTIVATIONS = {
    "single_label_classification": Kind.SOFTMAX,
    "multi_label_classification": Kind.SIGMOID,
    "regression": Kind.NONE,
}


def is_config(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is of a residual network of transformers."""
    return config.get("model_type") == "resnet"


def labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Its class names, in the order of their numbers, each on one line, or None."""
    names = config.get("id2label")
    if not isinstance(names, dict):
        return None
    return json_files.names_in(names.get(str(number)) for number in range(len(names)))


def activation(config: Mapping[str, Any]) -> Kind | None:
    """The activation that belongs to the loss of its training, or None where it is not stated."""
    problem = config.get("problem_type")
    return _ACTIVATIONS.get(problem) if isinstance(problem, str) else None


def strided(config: Mapping[str, Any]) -> str | None:
    """The convolution of a bottleneck that halves the image: "1x1" (v1) or "3x3" (v1.5).

    None for basic blocks.
    """
    if config.get("layer_type", "bottleneck") != "bottleneck":
        return None
    return "1x1" if config.get("downsample_in_bottleneck") is True else "3x3"


def doubts(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Reasons, as text, why the network may compute something else with the same tensors."""
    found = []
    if config.get("hidden_act", "relu") != "relu":
        found.append(f"its activation is {config['hidden_act']!r}")
    if config.get("downsample_in_first_stage", False) is not False:
        found.append("its first stage also halves the image")
    return tuple(found)
