"""Whole conversions for ONNX Runtime's CUDA provider on a real GPU: run there, gated, deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resnet_convert import Conversion, convert
from resnet_serve import passport
from resnet_serve.cuda.nvidia_smi import gpus
from resnet_serve.passport import ConvertedPassport, ProviderState

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda_provider")]


def converted(repository: Path, **options: Any) -> tuple[Conversion, ConvertedPassport]:
    conversion = convert(accelerator="cuda", repository=repository, **options)
    assert conversion.path is not None
    stamped = passport.read(conversion.path / passport.FILE_NAME)
    assert isinstance(stamped, ConvertedPassport)
    return conversion, stamped


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_digits_keep_their_accuracy_on_the_provider(
    tmp_path: Path, precision: str, record_property: Any
) -> None:
    conversion, stamped = converted(
        tmp_path, arch="resnet20", precision=precision, validation="digits", name="digits"
    )
    assert conversion.verdict.passed
    assert stamped.cuda is not None
    assert stamped.cuda.state is ProviderState.RAN
    assert stamped.cuda.gpu is not None
    assert stamped.cuda.gpu.name == gpus()[0].name
    decisions = conversion.measurements.decisions
    assert decisions is not None
    assert decisions.converted_top1 is not None
    assert decisions.converted_top1 >= 99.0
    ratio = conversion.measurements.speedup
    record_property(
        f"digits {precision}",
        {
            "top-1": decisions.converted_top1,
            "speed-up against PyTorch": str(ratio),
            "operators": conversion.measurements.compiled,
        },
    )


@pytest.mark.parametrize("head", ["features", "pyramid"])
def test_other_heads_are_on_the_provider_too(tmp_path: Path, head: str) -> None:
    conversion, stamped = converted(
        tmp_path, arch="resnet18", weights="random", precision="fp16", head=head, name="embedded"
    )
    assert conversion.verdict.passed
    assert stamped.cuda is not None
    assert stamped.cuda.state is ProviderState.RAN
