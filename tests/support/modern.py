"""Classifiers of other families, in small and by hand, for `--module`: what each is known for.

Every one takes images of 32 × 32 and is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def seeded(make: Callable[[], nn.Module], seed: int = 1) -> nn.Module:
    """The network with random weights, and BatchNorm statistics of noise, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make().train()
        with torch.no_grad():
            for _ in range(3):
                network(torch.randn(16, 3, 32, 32))
        return network.eval()


def conv_bn(inputs: int, outputs: int, kernel: int = 3, act: nn.Module | None = None, **options):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if act is None else [act]))


class Gate(nn.Module):
    """Squeeze and excitation: a factor per channel (arXiv:1709.01507)."""

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        s = functional.adaptive_avg_pool2d(x, 1)
        return x * self.gate(self.expand(functional.relu(self.reduce(s))))


class Inverted(nn.Module):
    """An inverted residual: wide, depthwise, gated, narrow (arXiv:1801.04381, 1905.11946)."""

    def __init__(self, channels: int, act: nn.Module, gate: nn.Module | None) -> None:
        super().__init__()
        wide = 2 * channels
        self.expand = conv_bn(channels, wide, 1, act)
        self.depthwise = conv_bn(wide, wide, 3, act, groups=wide)
        self.gate = nn.Identity() if gate is None else Gate(wide, gate)
        self.project = conv_bn(wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.gate(self.depthwise(self.expand(x))))


class Headed(nn.Module):
    """Features, pooled and classified."""

    def __init__(self, features: nn.Module, channels: int) -> None:
        super().__init__()
        self.features = features
        self.pool, self.drop = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.2)
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.drop(self.pool(self.features(x)).flatten(1)))


def mobilenet_v2() -> nn.Module:
    act = nn.ReLU6(inplace=True)
    body = [conv_bn(3, 16, 3, act, stride=2), Inverted(16, act, None), Inverted(16, act, None)]
    return seeded(lambda: Headed(nn.Sequential(*body), 16))


def mobilenet_v3() -> nn.Module:
    act = nn.Hardswish(inplace=True)
    blocks = [Inverted(16, act, nn.Hardsigmoid()) for _ in range(2)]
    return seeded(lambda: Headed(nn.Sequential(conv_bn(3, 16, 3, act, stride=2), *blocks), 16))


def efficientnet() -> nn.Module:
    act = nn.SiLU(inplace=True)
    blocks = [Inverted(16, act, nn.Sigmoid()) for _ in range(2)]
    return seeded(lambda: Headed(nn.Sequential(conv_bn(3, 16, 3, act, stride=2), *blocks), 16))


class ConvNeXtBlock(nn.Module):
    """Depthwise 7×7, LayerNorm, linear, GELU, linear, LayerScale (arXiv:2201.03545)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(channels, 48), nn.Linear(48, channels)
        self.gamma = nn.Parameter(0.5 * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(functional.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    def make() -> nn.Module:
        stem = nn.Conv2d(3, 12, 4, 4)
        return Headed(nn.Sequential(stem, ConvNeXtBlock(12), ConvNeXtBlock(12)), 12)

    return seeded(make)


class DenseLayer(nn.Module):
    """BatchNorm and ReLU before the convolution; its output joins its input (arXiv:1608.06993)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(functional.relu(self.norm(x)))], 1)


def densenet() -> nn.Module:
    body = [nn.Conv2d(3, 8, 3, 2, 1), DenseLayer(8), DenseLayer(16), nn.AvgPool2d(2, 2)]
    return seeded(lambda: Headed(nn.Sequential(*body, DenseLayer(24)), 32))


class SplitAttention(nn.Module):
    """ResNeSt's: two branches, weighted by a softmax over them (arXiv:2004.08955)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv_bn(channels, 2 * channels, 3, nn.ReLU(), groups=2)
        self.fc1, self.fc2 = nn.Conv2d(channels, 8, 1), nn.Conv2d(8, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = self.conv(x).view(n, 2, c, h, w)
        weights = self.fc2(functional.relu(self.fc1(parts.sum(1).mean((2, 3), keepdim=True))))
        weights = weights.view(n, 2, c, 1, 1).softmax(1)
        return x + (weights * parts).sum(1)


def resnest() -> nn.Module:
    body = [conv_bn(3, 16, 3, nn.ReLU(), stride=2), SplitAttention(16), nn.MaxPool2d(2)]
    return seeded(lambda: Headed(nn.Sequential(*body), 16))


class PooledGroups(nn.Module):
    """GroupNorm, blurred strides and generalized mean pooling, with LeakyReLU and PReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 16)
        self.conv2, self.act2 = nn.Conv2d(16, 16, 3, padding=1), nn.PReLU(16)
        kernel = torch.tensor([1.0, 2, 1])
        self.register_buffer("blur", (kernel[:, None] * kernel / 16)[None, None])
        self.p = nn.Parameter(torch.tensor(3.0))
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm1(self.conv1(x)), 0.1)
        padded = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        x = functional.conv2d(padded, self.blur.expand(16, 1, 3, 3), stride=2, groups=16)
        x = self.act2(self.conv2(x)).clamp(min=1e-6).pow(self.p)
        return self.fc(functional.adaptive_avg_pool2d(x, 1).pow(1 / self.p).flatten(1))


def pooled_groups() -> nn.Module:
    return seeded(PooledGroups)


class Encoder(nn.Module):
    """A transformer block, norm first (arXiv:2010.11929)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(attended.transpose(1, 2).reshape(n, length, width))
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 17, 16))
        self.blocks = nn.Sequential(Encoder(16, 2), Encoder(16, 2))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


def vit() -> nn.Module:
    return seeded(VisionTransformer)
