"""`resnet-convert` as a user meets it: results, refusals in one line, and nothing half-done."""

from __future__ import annotations

import html
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from patience import PATIENCE_S
from PIL import Image

from resnet_convert.pipeline import convert
from resnet_serve import passport, weights
from resnet_serve.architectures import build, find
from resnet_serve.datasets.digits import Digits

pytestmark = pytest.mark.usefixtures("quick")
Answer = tuple[int, str, str]
Call = Callable[..., Answer]


def refused(answer: Answer, code: int, *fragments: str) -> None:
    """One line on stderr that says all the fragments, the code, and no repository."""
    found, out, err = answer
    problems = [line for line in err.splitlines() if line.startswith("error:")]
    assert found == code, (out, err)
    assert len(problems) == 1, err
    for fragment in fragments:
        assert fragment in problems[0], problems[0]
    assert "Traceback" not in out + err
    assert not Path("model_repository").exists()


DIGITS = ("--arch", "resnet20", "--weights", "digits")


def test_json_is_one_result_on_stdout_and_progress_on_stderr(call: Call) -> None:
    code, out, err = call(
        *DIGITS, "--validation", "digits", "--validation-images", 32, "--name", "d", "--json"
    )
    assert code == 0
    result = json.loads(out)
    assert result["gate"]["passed"] is True
    assert result["version"] == 1
    assert Path(result["path"], "model.onnx").is_file()
    assert re.search(r"^trace +\d", err, re.MULTILINE)
    assert result["command"] == (
        "resnet-convert --arch resnet20 --weights digits --validation digits "
        "--validation-images 32 --name d"
    )


def test_the_screen_ends_with_what_comes_next(call: Call, tmp_path: Path) -> None:
    code, out, _ = call(
        *DIGITS, "--validation", "digits", "--validation-images", 32, "--report", "r.html"
    )
    assert code == 0
    assert "resnet-serve up --repository model_repository" in out
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_a_checkpoint_alone_is_inferred_and_that_is_said(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(weights.load("digits", find("resnet20")).state, path)
    code, out, err = call("--weights", path, "--dry-run")
    assert code == 0
    assert "--arch auto" in out
    said = f"no network is named: it is inferred from {path} (--arch auto)"
    assert f"note: {said}" in err
    code, out, err = call("--weights", path, "--json", "--report", "r.html")
    assert code == 0
    found = json.loads(out)
    assert found["command"].startswith("resnet-convert --arch resnet20 --weights ")
    assert f"note: {said}" in err
    assert said in found["notes"]
    assert not any(said in each for each in found["warnings"])
    assert passport.read(Path(found["path"]) / passport.FILE_NAME).notes == tuple(found["notes"])
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    warned, noted = page.index('<h2 id="warnings">'), page.index('<h2 id="notes">')
    assert warned < noted < page.index(html.escape(said, quote=True), noted)
    assert html.escape(said, quote=True) not in page[warned:noted]


def test_dry_run_touches_nothing(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("--arch", "resnet50", "--precision", "fp16", "--dry-run", "--json")
    assert code == 0
    stages = [step["stage"] for step in json.loads(out)["steps"]]
    assert stages == [
        "weights", "trace", "fold", "pixels", "range", "half", "parity", "latency", "deploy"
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_an_untrained_network_is_called_that(call: Call) -> None:
    code, _, err = call("--arch", "resnet20", "--weights", "random:3", "--name", "r")
    assert code == 0
    assert "UNTRAINED" in err
    passport = json.loads(Path("model_repository/r/1/passport.json").read_text())
    assert passport["weights"]["trained"] is False


def test_unknown_architecture_suggests_the_nearest(call: Call) -> None:
    refused(call("--arch", "resnet51"), 2, "resnet51", "Did you mean resnet50, ")


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--precision", "int4"), "fp32, fp16, bf16, int8, fp8"),
        (("--precision", "fp8"), "--target tensorrt"),
        (("--batch", "1:2:4"), "--batch is for TensorRT engines"),
        (("--triton", "26.09"), "--triton is for TensorRT engines"),
        (("--prepare-only",), "--target tensorrt"),
        (("--accelerator", "rocm"), "Use tensorrt"),
        (("--target", "tensorrt", "--accelerator", "tensorrt"), "takes no accelerator"),
        (("--target", "tensorrt", "--batch", "2:4:8"), "no profile covers a batch of 1"),
        (("--target", "tensorrt", "--batch", "1:x:8"), "MIN:OPT:MAX"),
        (("--target", "tensorrt", "--batch", "1:2:4", "--max-batch-size", "4"), "Leave out one"),
        (("--target", "tensorrt", "--triton", "19.01"), "unknown Triton container"),
        (("--target", "tensorrt", "--hardware-compat", "volta+"), "ampere+ or same"),
        (("--target", "tpu"), "onnxruntime"),
        (("--input", "jpeg"), "uint8 or float32"),
        (("--name", "../up"), "model name"),
        (("--instances", "4096"), "cores"),
        (("--precision", "int8"), "calibration"),
    ],
)
def test_options_that_make_no_sense(call: Call, words: tuple[str, ...], fragment: str) -> None:
    refused(call(*DIGITS, *words), 2, fragment)


def test_checkpoint_of_another_architecture(call: Call, tmp_path: Path) -> None:
    torch.save(build(find("resnet32")).state_dict(), tmp_path / "w.pth")
    answer = call("--arch", "resnet20", "--weights", "w.pth")
    refused(answer, 5, "w.pth", "this is a resnet32 with 10 classes")


def test_truncated_checkpoint(call: Call, tmp_path: Path) -> None:
    torch.save(build(find("resnet20")).state_dict(), tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:5000])
    refused(call("--arch", "resnet20", "--weights", "w.pth"), 5, "w.pth")


class Planted:
    """A pickle that would leave a file behind if it were ever run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("planted"),)  # type: ignore[return-value]


def test_pickled_code_is_never_run(call: Call, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Planted()))
    refused(call("--arch", "resnet20", "--weights", "w.pth"), 5, "w.pth")
    assert not (tmp_path / "planted").exists()


def test_missing_checkpoint(call: Call) -> None:
    refused(call("--arch", "resnet20", "--weights", "none.pth"), 5, "none.pth", "no such")


def test_offline_download(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    refused(call("--arch", "resnet18"), 4, "resnet18-f37072fd.pth", "cannot be downloaded", "put")


def test_a_cached_download_that_is_damaged(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    damaged = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"not it")
    refused(call("--arch", "resnet18"), 5, "SHA-256", "f37072fd")


def test_labels_that_do_not_fit(call: Call, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a\nb\n")
    torch.save(build(find("resnet20")).state_dict(), tmp_path / "w.pth")
    answer = call("--arch", "resnet20", "--weights", "w.pth", "--labels", "l.txt")
    refused(answer, 2, "10 classes", "--labels")


INT8 = (*DIGITS, "--precision", "int8")


def test_empty_calibration_folder(call: Call, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(call(*INT8, "--calibration", "empty"), 5, "empty", "no images")


def test_no_calibration_folder(call: Call) -> None:
    refused(call(*INT8, "--calibration", "nowhere"), 5, "nowhere", "no such folder")


def test_unreadable_calibration_image_is_named(call: Call, tmp_path: Path) -> None:
    Digits(held_out=False).export(tmp_path / "c", 12)
    bad = tmp_path / "c" / "0" / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    refused(call(*INT8, "--calibration", "c"), 5, "bad.png")


def test_images_of_both_sets_that_cannot_be_read_are_one_refusal(
    call: Call, tmp_path: Path
) -> None:
    for name, held_out in (("c", False), ("v", True)):
        Digits(held_out=held_out).export(tmp_path / name, 12)
        (tmp_path / name / "3").mkdir(exist_ok=True)
        (tmp_path / name / "3" / f"{name}.png").write_bytes(b"<html>")
    options = (*INT8, "--calibration", "c", "--validation", "v")
    refused(call(*options), 5, "2 images cannot be used", "c/3/c.png", "v/3/v.png")


def test_other_files_are_skipped_and_few_images_warned_of(call: Call, tmp_path: Path) -> None:
    Digits(held_out=False).export(tmp_path / "c", 12)
    (tmp_path / "c" / "0").mkdir(exist_ok=True)
    (tmp_path / "c" / "0" / "notes.txt").write_text("not an image")
    code, _, err = call(*INT8, "--calibration", "c", "--force")
    assert code == 0
    assert "only 12 calibration images" in err
    err = " ".join(err.split())
    assert "skipped in c: 1 without the suffix of an image that is decoded (0/notes.txt)" in err


def test_a_folder_that_is_no_class(call: Call, tmp_path: Path) -> None:
    (tmp_path / "v" / "eleven").mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "v" / "eleven" / "i.png")
    refused(call(*DIGITS, "--validation", "v"), 5, "eleven", "labels")


def test_a_repository_that_is_a_file(call: Call, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    refused(call(*DIGITS, "--repository", "f/models"), 4, "f")


def test_a_gate_that_does_not_hold_deploys_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibrated on black images, every range is wrong: the gate must see it."""
    (tmp_path / "black").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "black" / "b.png")
    options = (
        *INT8,
        "--calibration",
        "black",
        "--validation",
        "digits",
        "--validation-images",
        100,
    )
    refused(call(*options), 3, "nothing was deployed", "worst image digit", "worst layer ")
    code, out, _ = call(*options, "--force")
    assert code == 0
    assert "Gate overridden" in out
    passport = json.loads(Path("model_repository/resnet20/1/passport.json").read_text())
    assert passport["gate"]["overridden"] is True
    assert passport["gate"]["passed"] is False


def test_ctrl_c_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for(process, "trace")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_kill_leaves_the_repository_as_it_was(tmp_path: Path) -> None:
    convert(
        arch="resnet20",
        weights="digits",
        validation="digits",
        validation_images=16,
        repository=tmp_path / "model_repository",
    )
    before = snapshot(tmp_path)
    process = start(tmp_path)
    wait_for(process, "parity")
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    assert snapshot(tmp_path) == before


def start(folder: Path) -> subprocess.Popen[str]:
    words = [*DIGITS, "--validation", "digits", "--validation-images", "32"]
    return subprocess.Popen(
        [sys.executable, "-m", "resnet_convert.cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: subprocess.Popen[str], stage: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(stage):
            return
    raise AssertionError(f"it never came to {stage}")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_reference_of_the_checkpoint_is_what_was_trained() -> None:
    loaded = weights.load("digits", find("resnet20"))
    assert loaded.training["held_out_accuracy"] >= 0.98
    assert loaded.training["held_out"] == 500
