"""Initial values: whether tensors are those of a network that was never trained or never run.

A new BatchNorm has mean 0, variance 1, a counter of 0, and a weight and bias that are the same for
every channel. A network in which all of them are like that was saved before its training. One that
has trained weights beside such statistics is no new network: its statistics were frozen, or were
not saved with its weights. Networks without running statistics show nothing of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_MEAN = "running_mean"
_BESIDE = ("num_batches_tracked", "weight", "bias")
_NUMBERED = re.compile(r"(?:.*\.)?(?:bn|norm)\d+")  # bn3 of a block, as training may start at zero
_LISTED = 5
_TOLERANCE = 1.01  # of a bound, for tensors stored in FP16


@dataclass(frozen=True)
class Signs:
    """`untrained` says in a sentence why it is a new network; None where it is none.

    `notices` are sentences on layers whose values are those of new or of dead ones.
    """

    untrained: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def said(self) -> tuple[str, ...]:
        """Every sentence."""
        return self.notices if self.untrained is None else (self.untrained, *self.notices)


@dataclass(frozen=True)
class _Norm:
    """A BatchNorm by its tensors; `name` is the layer's."""

    name: str
    mean: Tensor
    variance: Tensor
    counter: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    @property
    def new_statistics(self) -> bool:
        return bool((self.mean == 0).all() and (self.variance == 1).all())

    @property
    def counted(self) -> bool:
        """Whether a batch was counted."""
        return self.counter is not None and bool((self.counter != 0).any())

    @property
    def new_parameters(self) -> bool:
        """Whether weight and bias are as initialised: the same for every channel."""
        if self.mean.numel() == 1:  # one channel is always the same as itself
            weight_is_new = self.weight is None or float(self.weight) in (0.0, 1.0)
            return weight_is_new and (self.bias is None or float(self.bias) == 0)
        return all(each is None or _constant(each) for each in (self.weight, self.bias))


def examine(state: Mapping[str, Tensor], place: str) -> Signs:
    """What the values of a state dict show; `place` is its file or module, for the sentences."""
    norms = tuple(_norms(state))
    new = [norm.name for norm in norms if norm.new_statistics]
    every = len(new) == len(norms) > 0
    initial = all(norm.new_parameters and not norm.counted for norm in norms)
    if every and initial and not any(_trained_biases(state)):
        return Signs(
            f"every BatchNorm in {place} is as in a new network (mean 0, variance 1, no batch "
            "counted): the weights were never trained"
        )
    notices = tuple(_dead(state, norms, place))
    if new:
        which = "every BatchNorm" if every else _listed(new)
        said = f"in {place} the statistics of {which} are those of a new network (0 and 1)"
        of_its_own = "right only if it was trained with them, wrong if its own were not saved"
        notices = (f"{said}: {of_its_own}", *notices)
    return Signs(notices=notices)


def _norms(state: Mapping[str, Tensor]) -> Iterator[_Norm]:
    """The BatchNorms that have running statistics, and what else they have."""
    for key, mean in state.items():
        layer, _, entry = key.rpartition(".")
        place = f"{layer}." if layer else ""
        variance = state.get(f"{place}running_var")
        if entry == _MEAN and variance is not None and mean.numel():
            found = (state.get(f"{place}{each}") for each in _BESIDE)
            yield _Norm(layer or key, mean, variance, *found)


def _trained_biases(state: Mapping[str, Tensor]) -> Iterator[str]:
    """Layers whose bias is none that PyTorch draws for a new layer: |bias| < 1 / √inputs.

    A convolution with a BatchNorm folded into it has such a bias.
    """
    for key, bias in state.items():
        layer, _, entry = key.rpartition(".")
        weight = state.get(f"{layer}.weight")
        if entry != "bias" or weight is None or weight.ndim < 2 or not weight.numel():
            continue
        bound = weight[0].numel() ** -0.5
        if float(bias.abs().max()) > _TOLERANCE * bound and not _constant(bias):
            yield layer


def _dead(state: Mapping[str, Tensor], norms: Sequence[_Norm], place: str) -> Iterator[str]:
    """Weights that are zero or the same everywhere, so that an image changes nothing in them."""
    matrices = {
        name: tensor
        for name, tensor in state.items()
        if name.rpartition(".")[2] == "weight" and tensor.ndim > 1 and tensor.numel() > 1
    }
    same = [name for name, tensor in matrices.items() if _constant(tensor)]
    zero = [name for name in same if not matrices[name].any()]
    # A convolution per channel may be an average on purpose.
    equal = [name for name in same if name not in zero and matrices[name].shape[1] > 1]
    last = next(reversed(matrices), None)
    if zero:
        outputs = ", so that every image may get the same outputs" if last in zero else ""
        yield f"in {place} all values are zero in {_listed(zero)}{outputs}"
    if equal:
        yield f"in {place} all values are the same in {_listed(equal)}"
    silent = [
        norm.name
        for norm in norms
        if norm.weight is not None and not norm.weight.any() and not _ends_block(norm, norms)
    ]
    if silent:
        yield f"in {place} the weight is zero in every channel of {_listed(silent)}"


def _ends_block(norm: _Norm, norms: Sequence[_Norm]) -> bool:
    """Whether it is the last numbered BatchNorm of a block, where training may start at zero."""
    block = norm.name.rpartition(".")[0]
    numbered = [
        each.name
        for each in norms
        if each.name.rpartition(".")[0] == block and _NUMBERED.fullmatch(each.name)
    ]
    return len(numbered) > 1 and numbered[-1] == norm.name


def _constant(tensor: Tensor) -> bool:
    return bool((tensor == tensor.flatten()[0]).all()) if tensor.numel() else True


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
