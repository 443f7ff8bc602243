"""Naming: other libraries' names of the same networks, translated to torchvision's.

    resnet.encoder.stages.0.layers.2.layer.0.convolution.weight  ─►  layer1.2.conv1.weight

The rules follow the published code of each: transformers `models/resnet/modeling_resnet.py`, timm
`models/resnetv2.py`, kuangliu/pytorch-cifar `models/resnet.py` (akamaster/pytorch_resnet_cifar10
uses the same names), weiaicunzai/pytorch-cifar100 `models/resnet.py`, OpenMMLab's `backbone` and
`head`. A name without a rule is not changed, and the strict fit that follows refuses it. This is
for networks of the family; a custom module (`--module`) keeps its own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_serve.checkpoints.reading import Checkpoint
from resnet_serve.checkpoints.state_dicts import ANCHOR
from resnet_serve.checkpoints.states import normalization
from resnet_serve.checkpoints.states.classifier import features, rename
from resnet_serve.checkpoints.states.containers import shortened
from resnet_serve.errors import InputFileError, Note

if TYPE_CHECKING:
    from torch import Tensor

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


@dataclass(frozen=True)
class Naming:
    """One library's names: `marks` are those that identify it, `rules` translate the prefixes."""

    library: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]

    def matches(self, names: Iterable[str]) -> bool:
        """Whether a state dict with these names is the library's."""
        return set(self.marks) <= set(names)

    def renamed(self, name: str) -> str:
        """The name in torchvision's terms; unchanged where no rule matches."""
        for pattern, replacement in self.rules:
            found, count = pattern.subn(replacement, name, count=1)
            if count:
                return found
        return name


@dataclass(frozen=True)
class Renamed:
    """Tensors by torchvision's names, and notices for the user."""

    tensors: dict[str, Tensor]
    notices: tuple[str, ...]


def of_family(checkpoint: Checkpoint, *, classifies: bool = True) -> Checkpoint:
    """The checkpoint with torchvision's names, and a notice where they were translated.

    A prefix that all tensors have is removed. Raises `InputFileError` for one that not all have, as
    the others may be the classifier; unless it is not served (`classifies`).
    """
    found = read(checkpoint.tensors)
    normalization.check(found.tensors, checkpoint.path)
    ends = f".{ANCHOR}"
    root = next((name.removesuffix(ANCHOR) for name in found.tensors if name.endswith(ends)), "")
    if not root:
        notices = checkpoint.notices + found.notices
        return replace(checkpoint, tensors=found.tensors, notices=notices)
    outside = {name: t for name, t in found.tensors.items() if not name.startswith(root)}
    inside = {
        name.removeprefix(root): t for name, t in found.tensors.items() if name not in outside
    }
    notices = checkpoint.notices + found.notices
    if outside and classifies:
        raise _beside(root, inside, outside, checkpoint.path)
    if outside:
        notices += (f"not served, as beside {root!r}: {shortened(list(outside))}",)
    within = read(inside)
    return replace(checkpoint, tensors=within.tensors, notices=notices + within.notices)


def _beside(
    root: str, inside: Mapping[str, Tensor], outside: Mapping[str, Tensor], path: Path
) -> InputFileError:
    """The error for a network beside other tensors, which may be its classifier."""
    remedy = (
        "Serve its features with --head features, or give --module package.module:factory with "
        "the code of the whole network."
    )
    weight = next((name for name, t in outside.items() if name.endswith("weight")), "")
    head = weight.removesuffix("weight")
    linear = set(outside) in ({weight}, {weight, f"{head}bias"}) and outside[weight].ndim == 2
    if linear and outside[weight].shape[1] == features(inside):
        remedy = rename(weight, root=root) + remedy
    return InputFileError(
        f"contains a network under {root!r} and other tensors: {shortened(list(outside))}",
        where=path,
        remedy=remedy,
    )


def read(tensors: Mapping[str, Tensor]) -> Renamed:
    """The tensors by torchvision's names; those without another library's names are unchanged.

    No tensor is dropped. Where two names would become one, no name is changed.
    """
    notices: list[str] = []
    found = dict(tensors)
    naming = next((each for each in NAMINGS if each.matches(found)), None)
    if naming is not None:
        names = {name: naming.renamed(name) for name in found}
        if len(set(names.values())) == len(names):
            found = {names[name]: _linear(names[name], tensor) for name, tensor in found.items()}
            said = f"the names are those of {naming.library}, read as torchvision's"
            notices.append(Note(said))
    head = _sequential_head(found)
    if head:
        found = {re.sub(rf"^fc\.{head}\.", "fc.", name): t for name, t in found.items()}
        notices.append(
            f"fc.{head} is used as the classifier; layers of fc without parameters are ignored"
        )
    return Renamed(found, tuple(notices))


def _linear(name: str, tensor: Tensor) -> Tensor:
    """A classifier that is stored as a 1×1 convolution [classes,C,1,1], as [classes,C]."""
    pointwise = name == "fc.weight" and tensor.ndim == 4 and tensor.shape[2:] == (1, 1)
    return tensor.flatten(1) if pointwise else tensor


def _sequential_head(tensors: Mapping[str, Tensor]) -> str:
    """The number in `fc` of its only layer with parameters, a linear one after dropout."""
    inside = {name for name in tensors if name.startswith("fc.")}
    place = next((name.split(".")[1] for name in inside if name.count(".") == 2), "")
    linear = inside == {f"fc.{place}.weight", f"fc.{place}.bias"} and place.isdecimal()
    return place if linear and tensors[f"fc.{place}.weight"].ndim == 2 else ""


def _rule(pattern: str, replacement: str | Callable[[re.Match[str]], str]) -> Rule:
    return re.compile(f"^{pattern}"), replacement


_HUGGING_FACE = r"resnet\.encoder\.stages\.(\d{1,3})\.layers\.(\d{1,3})\."


def _timm_v2(mark: str, *stem: Rule, place: int) -> Naming:
    """timm's names with the stem that `mark` identifies.

    `place` is the number of the convolution in a projection.
    """
    block = r"stages\.(\d{1,3})\.blocks\.(\d{1,3})\."
    return Naming(
        "timm (resnetv2)",
        (mark, "stages.0.blocks.0.norm1.running_mean"),
        (
            *stem,
            _rule(
                block + r"downsample\.conv\.",
                lambda m: f"layer{int(m[1]) + 1}.{m[2]}.downsample.{place}.",
            ),
            _rule(block + r"norm(\d)\.", lambda m: f"layer{int(m[1]) + 1}.{m[2]}.bn{m[3]}."),
            _rule(block + r"conv(\d)\.", lambda m: f"layer{int(m[1]) + 1}.{m[2]}.conv{m[3]}."),
            _rule(r"head\.fc\.", "fc."),
        ),
    )


# torch.nn.Sequential(conv, norm, relu, conv, norm, …): every third module is a convolution.
_IN_SEQUENCE = r"conv(\d)_x\.(\d{1,3})\.residual_function\.(\d{1,3})\."

NAMINGS = (
    Naming(
        "Hugging Face transformers",
        ("resnet.embedder.embedder.convolution.weight",),
        (
            _rule(r"resnet\.embedder\.embedder\.convolution\.", "conv1."),
            _rule(r"resnet\.embedder\.embedder\.normalization\.", "bn1."),
            _rule(
                _HUGGING_FACE + r"layer\.(\d)\.convolution\.",
                lambda m: f"layer{int(m[1]) + 1}.{m[2]}.conv{int(m[3]) + 1}.",
            ),
            _rule(
                _HUGGING_FACE + r"layer\.(\d)\.normalization\.",
                lambda m: f"layer{int(m[1]) + 1}.{m[2]}.bn{int(m[3]) + 1}.",
            ),
            _rule(
                _HUGGING_FACE + r"shortcut\.(convolution|normalization)\.",
                lambda m: f"layer{int(m[1]) + 1}.{m[2]}.downsample.{int(m[3] == 'normalization')}.",
            ),
            _rule(r"classifier\.1\.", "fc."),
        ),
    ),
    _timm_v2("stem.conv.weight", _rule(r"stem\.conv\.", "conv1."), place=0),
    _timm_v2(
        "stem.conv1.weight",
        _rule(r"stem\.conv(\d)\.", lambda m: f"conv1.{3 * int(m[1]) - 3}."),
        _rule(r"stem\.norm(\d)\.", lambda m: f"conv1.{3 * int(m[1]) - 2}."),
        place=1,  # average pooling comes before
    ),
    Naming(
        "pytorch-cifar",
        ("layer1.0.conv1.weight", "linear.weight"),
        (
            _rule(r"(layer\d\.\d{1,3})\.shortcut\.", r"\1.downsample."),
            _rule(r"linear\.", "fc."),
        ),
    ),
    Naming(
        "pytorch-cifar100",
        ("conv2_x.0.residual_function.0.weight",),
        (
            _rule(r"conv1\.0\.", "conv1."),
            _rule(r"conv1\.1\.", "bn1."),
            _rule(
                _IN_SEQUENCE,
                lambda m: (
                    f"layer{int(m[1]) - 1}.{m[2]}.{('conv', 'bn', 'relu')[int(m[3]) % 3]}"
                    f"{int(m[3]) // 3 + 1}."
                ),
            ),
            _rule(
                r"conv(\d)_x\.(\d{1,3})\.shortcut\.",
                lambda m: f"layer{int(m[1]) - 1}.{m[2]}.downsample.",
            ),
        ),
    ),
    Naming(
        "OpenMMLab",
        ("backbone.layer1.0.conv1.weight", "head.fc.weight"),
        (_rule(r"backbone\.", ""), _rule(r"head\.fc\.", "fc.")),
    ),
)
