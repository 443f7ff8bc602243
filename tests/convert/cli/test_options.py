"""Checkpoints as a user meets them on the command line: announced, stamped, or refused."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.weights.class_names import built_in

Answer = tuple[int, str, str]
Call = Callable[..., Answer]
QUICK = ("--validation", "digits", "--validation-images", 20)

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def state() -> dict[str, Tensor]:
    return dict(weights.load("digits", find("resnet20")).state)


def test_what_was_asked_for_is_announced_and_stamped(
    call: Call, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    torch.save(
        {
            "state_dict": {f"model._orig_mod.{name}": 0 * tensor for name, tensor in state.items()},
            "state_dict_ema": {f"module.{name}": tensor for name, tensor in state.items()},
            "hyper_parameters": argparse.Namespace(lr=0.1),
        },
        tmp_path / "net.ckpt",
    )
    own = weights.load("digits", find("resnet20")).preprocessing
    (tmp_path / "own.json").write_text(own.to_json())
    digest = hashlib.sha256((tmp_path / "net.ckpt").read_bytes()).hexdigest()
    code, out, err = call(
        *("--arch", "auto", "--weights", "net.ckpt", "--ema", "--trust-pickle", "--json"),
        *("--weights-sha256", digest, "--preprocessing", "own.json", "--labels", "cifar10"),
        *QUICK,
    )
    assert code == 0, err
    result = json.loads(out)
    assert result["weights"]["trusted_pickle"] is True
    assert result["weights"]["source"] == "net.ckpt (state_dict_ema, averaged)"
    assert result["weights"]["sha256"] == digest
    assert result["parity"]["decisions"]["reference_top1"] > 90
    assert "note: the averaged copy (EMA) in state_dict_ema is used" in err
    assert "warning: net.ckpt contains pickled code, which was RUN (--trust-pickle)" in err
    assert result["name"] == result["architecture"] == "resnet20"
    assert result["command"] == (
        "resnet-convert --arch resnet20 --weights net.ckpt --labels cifar10 --ema --trust-pickle "
        f"--weights-sha256 {digest} --preprocessing own.json --validation digits "
        "--validation-images 20"
    )
    served = Path(result["path"]).parent / "labels.txt"
    assert tuple(served.read_text().splitlines()) == built_in("cifar10")
    again = json.loads(Path(result["path"], "passport.json").read_text())
    assert again["weights"]["trusted_pickle"] is True


def test_an_average_that_was_not_asked_for_is_said_to_be_there(
    call: Call, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    torch.save({"model": state, "model_ema": state}, tmp_path / "net.pth.tar")
    code, out, err = call("--arch", "auto", "--weights", "net.pth.tar", *QUICK, "--json")
    assert code == 0, err
    assert "warning: net.pth.tar also contains an averaged copy (EMA), in model_ema; --ema" in err
    result = json.loads(out)
    assert result["weights"]["trusted_pickle"] is False
    assert result["weights"]["source"] == "net.pth.tar (model)"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ("--arch", "auto"),
            2,
            "error: --arch auto infers the network from a checkpoint. Give --weights a file.",
        ),
        (
            ("--arch", "auto", "--weights", "imagenet"),
            2,
            "error: no network can be inferred from 'imagenet'. Name it with --arch, "
            "or give --weights a checkpoint.",
        ),
        (
            ("--arch", "resnet20", "--weights", "random", "--ema"),
            2,
            "error: --ema is for checkpoint files. Omit it with 'random'.",
        ),
        (
            ("--arch", "resnet20", "--weights", "https://example.org/net.pth"),
            2,
            "error: weights from an address need the SHA-256 of the file. Give it with "
            "--weights-sha256; the publisher of the file should state it.",
        ),
        (
            ("--arch", "resnet20", "--weights", "absent.pth"),
            5,
            "error: absent.pth: no such checkpoint. Give --weights imagenet, digits, "
            "fashion-mnist, random, a file, a folder or an address.",
        ),
        (
            ("--arch", "resnet20", "--labels", "cifar100"),
            2,
            "error: 100 labels for a network of 10 classes. Give a --labels file with one name "
            "per class.",
        ),
        (
            ("--arch", "resnet20", "--preprocessing", "absent.json"),
            5,
            "error: absent.json: cannot be read (No such file or directory)",
        ),
    ],
)
def test_a_refusal_is_one_line_in_these_words(
    call: Call, arguments: tuple[str, ...], code: int, line: str
) -> None:
    found, _, err = call(*arguments)
    assert (found, [text for text in err.splitlines() if text.startswith("error:")]) == (
        code,
        [line],
    )
    assert not Path("model_repository").exists()


def test_the_plan_of_a_download_needs_no_network(call: Call) -> None:
    code, out, _ = call(
        *("--arch", "auto", "--weights", "https://example.org/net.pth"),
        *("--weights-sha256", "0" * 64, "--dry-run", "--json"),
    )
    assert code == 0
    steps = {step["stage"]: step for step in json.loads(out)["steps"]}
    assert steps["weights"]["status"] == "download"
    assert steps["deploy"]["does"] == "it as the next version"
