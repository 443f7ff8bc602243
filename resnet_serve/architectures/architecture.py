"""Architecture: a network of the family as a row of values, from which `resnet.py` builds it.

Counts (convolutions, BatchNorms that cannot be folded, parameters with another classifier or other
images) follow from the row alone, without torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from resnet_serve.errors import UsageError

STEM_KERNELS = {"imagenet": 7, "deep": 3, "cifar": 3}


@dataclass(frozen=True)
class Architecture:
    """One residual network, or one of the paper's plain counterparts.

    `depths` are blocks per stage and `widths` the channels of each stage's 3×3 convolutions.
    `stem`: "imagenet" (7×7, max pooling), "deep" (three 3×3, max pooling; arXiv:1812.01187, C) or
    "cifar" (3×3).
    `shortcut` is an option of He et al. 2016 (arXiv:1512.03385, section 4.1): A (zero-padded
    identity), B (projection where shapes differ), C (projection everywhere); "D" pools before it
    projects (arXiv:1812.01187, D), and "none" is the plain network.
    `strided` names the convolution that halves the image in a bottleneck: "3x3" (v1.5, as
    torchvision's) or "1x1" (v1, as the paper's).
    `preactivation` is He et al. 2016b (arXiv:1603.05027): BatchNorm and ReLU before convolutions.
    With `bare_stem` those of the stem are in the first block, as in timm's `resnetv2`.
    `groups` and `group_width` are cardinality and width per group at 64 channels, as in
    torchvision (arXiv:1611.05431; 1605.07146).
    `image_size` is in pixels; `channels` are those of the images.
    """

    name: str
    block: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: str
    shortcut: str
    classes: int
    image_size: int
    parameters: int
    strided: str = "3x3"
    preactivation: bool = False
    bare_stem: bool = False
    groups: int = 1
    group_width: int = 64
    channels: int = 3

    @property
    def family(self) -> str:
        """The data set that it is made for: "ImageNet" or "CIFAR"."""
        return "CIFAR" if self.stem == "cifar" else "ImageNet"

    @property
    def summary(self) -> str:
        """`ImageNet: 3-4-6-3 bottleneck blocks, shortcut B`, and its other differences."""
        depths = "-".join(map(str, self.depths))
        parts = [f"{self.family}: {depths} {self.block} blocks", f"shortcut {self.shortcut}"]
        parts += ["pre-activation"] if self.preactivation else []
        parts += [f"{self.stem} stem"] if self.stem == "deep" else []
        parts += [f"{self.groups} groups"] if self.groups > 1 else []
        return ", ".join(parts)

    @property
    def depth(self) -> int:
        """Weighted layers as the papers count them: a deep stem is one, projections are none."""
        return 2 + self._per_block * sum(self.depths)

    @property
    def convolutions(self) -> int:
        """Convolutions in the network, projections included."""
        stem = 3 if self.stem == "deep" else 1
        return stem + self._per_block * sum(self.depths) + self.projections

    @property
    def projections(self) -> int:
        """The number of shortcuts that are a 1×1 convolution."""
        if self.shortcut in ("A", "none"):
            return 0
        if self.shortcut == "C":
            return sum(self.depths)
        # Every stage but the first changes the shape; bottlenecks are wider in the first too.
        return len(self.depths) - (self.block == "basic")

    @property
    def unfoldable(self) -> int:
        """The number of BatchNorms that follow no convolution and so remain as scale and shift.

        In a pre-activated network these are the one before each block's first convolution (its
        input is a sum) and the one before the classifier. The first block has one only with a bare
        stem, after the pooling.
        """
        return sum(self.depths) + self.bare_stem if self.preactivation else 0

    @property
    def features(self) -> int:
        """The number of inputs of the classifier."""
        return self.widths[-1] * (4 if self.block == "bottleneck" else 1)

    @property
    def _per_block(self) -> int:
        return 3 if self.block == "bottleneck" else 2

    def with_classes(self, classes: int) -> Architecture:
        """The same network with `classes` outputs; raises `UsageError` for fewer than one."""
        if classes < 1:
            raise UsageError(f"{self.name} cannot have {classes} classes")
        change = (classes - self.classes) * (self.features + 1)
        return replace(self, classes=classes, parameters=self.parameters + change)

    def with_channels(self, channels: int) -> Architecture:
        """The same network for images of `channels` channels; raises `UsageError` for none."""
        if channels < 1:
            raise UsageError(f"{self.name} cannot have images of {channels} channels")
        filters = self.widths[0] // (2 if self.stem == "deep" else 1)
        change = (channels - self.channels) * filters * STEM_KERNELS[self.stem] ** 2
        return replace(self, channels=channels, parameters=self.parameters + change)
