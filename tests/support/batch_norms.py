"""A convolution with its BatchNorm, as ONNX text and constants, for the tests of folding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def statistics(channels: int, **changes: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(7)
    values = {
        "gamma": random.normal(1, 0.3, channels),
        "beta": random.normal(0, 1, channels),
        "mean": random.normal(0, 1, channels),
        "var": random.uniform(0.1, 3, channels),
    } | changes
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


CONV_BN = """(float[N,3,5,5] x) => (float[N,4,5,5] y) {
    [stem] c = Conv <pads = [1,1,1,1]> (x, w)
    [bn] y = BatchNormalization (c, gamma, beta, mean, var)
}"""
