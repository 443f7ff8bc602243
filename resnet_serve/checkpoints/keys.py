"""Clean names: the prefixes that wrappers leave on a state dict's names, taken off.

    _orig_mod.module.layer1.0.conv1.weight  ─►  layer1.0.conv1.weight

`DataParallel` and averaged models write `module.`, `torch.compile` `_orig_mod.`, a Lightning
module the name of the attribute that holds the network. Pure: no tensor is looked at, none is
dropped, and no two names become one.
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
# What training modules keep in the same state dict, and inference has no use for.
_BESIDE = re.compile(
    r"criterion|loss(_fn|_func|_function)?|acc(uracy)?|metrics?|n_averaged|num_updates|decay"
    r"|\w+_(loss|acc|accuracy|metrics?|auroc|f1)"
)


@dataclass(frozen=True)
class Cleaned(Generic[Value]):
    """The network's tensors by clean name, and what was saved beside them under its own name.

    `prefix` is what was taken off every name of `tensors`, its last dot included.
    """

    tensors: dict[str, Value]
    prefix: str
    beside: dict[str, Value]


def clean(state: Mapping[str, Value]) -> Cleaned[Value]:
    """Take off, as often as there is one, a wrapper's prefix that every relevant name carries.

    The names of losses, metrics and counters are not relevant. Idempotent.
    """
    beside = {name: value for name, value in state.items() if is_beside(name)}
    names = [name for name in state if name not in beside]
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
    return Cleaned({name.removeprefix(prefix): state[name] for name in names}, prefix, beside)


def is_beside(name: str) -> bool:
    """Whether a tensor of this name belongs to a loss, a metric or a counter."""
    return any(_BESIDE.fullmatch(component) for component in name.split("."))
