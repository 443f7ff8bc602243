"""The same code on the double and on the real bindings: what runs without a GPU must be equal.

Enums, Dims, loggers, constructors and refused calls are code of the bindings themselves, so they
run without a GPU. The double is compared with them here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from trt_bindings import EVERY, Api, bindings_module, run
from trt_double import Double

ALIKE = [
    "int(trt.BuilderFlag.TF32)",
    "str(trt.BuilderFlag.TF32), repr(trt.BuilderFlag.TF32), trt.BuilderFlag.TF32.name",
    "trt.BuilderFlag(3) == trt.BuilderFlag.GPU_FALLBACK, trt.BuilderFlag.TF32 == 8",
    "sorted(trt.MemoryPoolType.__members__)",
    "trt.BuilderFlag.NOPE",
    "trt.BuilderFlag['TF32']",
    "list(trt.BuilderFlag)",
    "1 << trt.BuilderFlag.TF32",
    "1 << int(trt.BuilderFlag.TF32)",
    "trt.BuilderFlag.TF32 | trt.BuilderFlag.DEBUG",
    "len({trt.BuilderFlag.TF32: 1, trt.BuilderFlag.DEBUG: 2})",
    "tuple(trt.Dims((1, 2))), len(trt.Dims((1, 2))), trt.Dims((1, 2))[-1], trt.Dims((1, 2))[:1]",
    "trt.Dims((1, 2)) == (1, 2), trt.Dims((1, 2)) != (1, 2), trt.Dims([1, 2]) == [1, 3]",
    "trt.Dims((1, 2)) == trt.Dims((1, 2))",
    "trt.Dims((1.5,))",
    "trt.Dims((1, 2)).shape",
    "hash(trt.Dims((1, 2)))",
    "setattr(trt.Dims((1, 2)), 'shape', 1)",
    "setattr(trt.Logger(), 'anything', 1)",
    "trt.Logger(3)",
    "trt.Logger(severity=trt.Logger.ERROR)",
    "trt.Logger(min_severity=trt.Logger.ERROR).min_severity.name",
    "setattr(trt.Logger(), 'min_severity', 2)",
    "trt.Logger().log(3, 'x')",
    "trt.Logger().log(trt.Logger.INFO)",
    "trt.Logger().log(trt.Logger.INFO, 'x', z=1)",
    "trt.Logger().log(trt.BuilderFlag.TF32, 'x')",
    "trt.IBuilderConfig()",
    "trt.Builder()",
    "trt.Builder(1)",
    "type('L', (trt.ILogger,), {'__init__': lambda self: None})()",
    "type('L', (trt.ILogger,), {})() is not None",
    "trt.volume((2, 3)), trt.nptype(trt.float16).__name__, trt.float32.itemsize",
    "trt.nptype(trt.bfloat16)",
    "trt.IHostMemory()",
    "trt.Weights()",
    "trt.__version__",
    "trt.nothing",
]
ANSWER = """
def answer(trt, expression):
    try:
        value = eval(expression, {"trt": trt})
    except Exception as error:
        return type(error).__name__
    return repr(value) if isinstance(value, (bool, int, float, str, tuple, list)) else "an object"
"""


@pytest.mark.parametrize("api", EVERY, indirect=True)
def test_the_double_does_as_the_real_bindings(double: Callable[[], Double], api: Api) -> None:
    imported = f"import {bindings_module(api.version)} as trt"
    script = f"{imported}\n{ANSWER}\nfor e in {ALIKE!r}: print(answer(trt, e))"
    real = dict(zip(ALIKE, run(api.version, ["-c", script]).splitlines(), strict=True))
    names: dict[str, Any] = {}
    exec(ANSWER, names)
    assert {e: names["answer"](double().module, e) for e in ALIKE} == real
