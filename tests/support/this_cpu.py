"""The INT8 dialect of the CPU that the tests run on: without VNNI, weights have seven bits."""

from __future__ import annotations

from resnet_convert.quantization.dialects import dialect_of
from resnet_convert.quantization.u8s8 import LARGEST_WEIGHT, LARGEST_WEIGHT_WITHOUT_VNNI
from resnet_serve import host

VNNI = host.describe().fast_int8
U8 = dialect_of(for_tensorrt=False, vnni=VNNI)
LARGEST = LARGEST_WEIGHT if VNNI else LARGEST_WEIGHT_WITHOUT_VNNI
