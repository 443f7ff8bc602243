"""Clean names: removes the prefixes that wrappers put before the names of a state dict.

    _orig_mod.module.layer1.0.conv1.weight  ─►  layer1.0.conv1.weight

`DataParallel` and averaged models write `module.`, `torch.compile` `_orig_mod.`, and a Lightning
module the name of the network's attribute. No tensor is read or dropped, and no two names become
one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")

WRAPPERS = frozenset(
    (
        *("module", "_orig_mod"),
        *("model", "_model", "base_model", "net", "_net", "network", "resnet"),
        *("backbone", "encoder", "classifier", "student", "online"),
    )
)
# Names in a training's state dict that inference does not need.
_TRAINING_ONLY = re.compile(
    r"criterion|loss(_fn|_func|_function)?|acc(uracy)?|metrics?|n_averaged|num_updates|decay"
    r"|\w+_(loss|acc|accuracy|metrics?|auroc|f1)"
)


@dataclass(frozen=True)
class Cleaned(Generic[Value]):
    """The network's tensors by clean name; `training_only` are the others, by their own name.

    `prefix` is what was removed from every name of `tensors`, its last dot included.
    """

    tensors: dict[str, Value]
    prefix: str
    training_only: dict[str, Value]


def clean(state: Mapping[str, Value]) -> Cleaned[Value]:
    """Remove a wrapper's prefix that all names have, as often as there is one.

    The names of losses, metrics and counters need not have it. Idempotent.
    """
    others = {name: value for name, value in state.items() if is_training_only(name)}
    names = [name for name in state if name not in others]
    if not names:
        return Cleaned(dict(state), "", {})
    prefix = ""
    while True:
        heads = {name[len(prefix) :].partition(".")[0] for name in names}
        head = heads.pop()
        longer = f"{prefix}{head}."
        whole = all(name.startswith(longer) and name != longer for name in names)
        if heads or head not in WRAPPERS or not whole:
            break
        prefix = longer
    return Cleaned({name.removeprefix(prefix): state[name] for name in names}, prefix, others)


def is_training_only(name: str) -> bool:
    """Whether a tensor of this name belongs to a loss, a metric or a counter."""
    return any(_TRAINING_ONLY.fullmatch(component) for component in name.split("."))
