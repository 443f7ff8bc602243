"""`--dry-run` ends as the conversion would: the same code, the same message, nothing written."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from deployments import deployment
from hub_site import NEW, OLD, Site, served
from PIL import Image
from safetensors.torch import save

from resnet_serve import checkpoints
from resnet_serve.architectures import build, find
from resnet_serve.triton.repository import Repository

Call = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("quick")
SHIPPED = Path(checkpoints.__path__[0]) / "digits-resnet20.safetensors"
DIGITS = ("--arch", "resnet20", "--weights", "digits", "--target", "onnxruntime")


def write_files(place: Path) -> None:
    """What the wrong options below name."""
    (place / "text.pth").write_text("not a checkpoint")
    (place / "labels.txt").write_text("one\ntwo\n")
    (place / "bad.json").write_text('{"unknown_field": 1}')
    (place / "file").write_text("")
    (place / "empty").mkdir()
    for name in ("0", "cat"):
        (place / "images" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(place / "images" / name / "a.png")
    (place / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(place / "flat" / "a.png")
    (place / "taken").mkdir()
    (place / "taken" / "resnet20").write_text("a file")
    (place / "damaged").mkdir()
    for name in ("a.png", "b.png"):
        (place / "damaged" / name).write_text("<html>")
    torch.save({"fc.weight": torch.zeros(2, 2)}, place / "strange.pth")


WRONG = {
    "unknown network": ("--arch", "resnet21"),
    "no checkpoint": ("--arch", "resnet20", "--weights", "nowhere.pth"),
    "a text": ("--arch", "resnet20", "--weights", "text.pth"),
    "other tensors": ("--arch", "resnet20", "--weights", "strange.pth"),
    "too few labels": (*DIGITS, "--labels", "labels.txt"),
    "no labels file": (*DIGITS, "--labels", "nowhere.txt"),
    "preprocessing": (*DIGITS, "--preprocessing", "bad.json"),
    "no folder": (*DIGITS, "--validation", "nowhere"),
    "empty folder": (*DIGITS, "--validation", "empty"),
    "another class": (*DIGITS, "--validation", "images"),
    "no calibration": (*DIGITS, "--precision", "int8"),
    "empty calibration": (*DIGITS, "--precision", "int8", "--calibration", "empty"),
    "damaged images": (*DIGITS, "--validation", "damaged"),
    "damaged calibration": (*DIGITS, "--precision", "int8", "--calibration", "damaged"),
    "repository": (*DIGITS, "--repository", "file"),
    "name": (*DIGITS, "--name", "../up"),
    "expectation without images": (*DIGITS, "--expect-top1", 90),
    "expectation without labels": (*DIGITS, "--validation", "flat", "--expect-top1", 90),
    "a file in the way": (*DIGITS, "--repository", "taken"),
}


def flat(err: str) -> str:
    """What was written on several lines, as one."""
    return " ".join(err.split())


def errors(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("error:")]


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG)
def test_it_ends_as_the_conversion_would(
    call: Call, tmp_path: Path, words: tuple[object, ...]
) -> None:
    write_files(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    code, _, err = call(*words, "--dry-run")
    assert sorted(tmp_path.rglob("*")) == before
    assert code in (2, 4, 5)
    real_code, _, real_err = call(*words)
    assert (code, errors(err)) == (real_code, errors(real_err))


def test_what_is_found_is_shown(call: Call, tmp_path: Path) -> None:
    words = ("--validation", "digits", "--validation-images", 30, "--expect-top1", 97)
    code, out, _ = call(*DIGITS, *words, "--dry-run", "--json")
    assert code == 0
    steps = {step["stage"]: step for step in json.loads(out)["steps"]}
    assert steps["weights"]["does"].startswith("resnet20, 269,722 parameters, 10 classes")
    assert steps["parity"]["does"] == "30 images, with labels"
    assert "reference" in steps
    assert "--validation digits --expect-top1 97.0" in json.loads(out)["command"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_conversion_would_say_of_the_images_is_said(call: Call, tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / "images" / "cat").rename(tmp_path / "images" / "1")
    (tmp_path / "images" / "0" / "notes.txt").touch()
    _, _, err = call(*DIGITS, "--validation", "images", "--dry-run")
    said = " ".join(err.split())
    assert "2 of 2 images in images counted, 8 of 10 classes have none: '2', '3'" in said
    assert "skipped in images: 1 without the suffix of an image" in said


def test_the_step_that_fails_is_marked(call: Call, tmp_path: Path) -> None:
    write_files(tmp_path)
    _, out, err = call(*DIGITS, "--validation", "empty", "--dry-run", "--json")
    assert unmet(out) == {"parity": "refused"}
    assert [f"error: {each}" for each in json.loads(out)["problems"]] == errors(err)


def test_what_is_there_but_refused_is_not_called_missing(call: Call, tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / "net.pth").write_bytes(b"")
    _, out, _ = call("--weights", "net.pth", "--validation", "images", "--dry-run", "--json")
    assert unmet(out) == {"weights": "refused"}
    _, out, _ = call("--weights", "empty", "--validation", "images", "--dry-run", "--json")
    assert unmet(out) == {"weights": "refused"}
    int8 = ("--precision", "int8", "--validation", "flat")
    for folder, status in (("nowhere", "missing"), ("empty", "refused")):
        _, out, _ = call(*DIGITS, *int8, "--calibration", folder, "--dry-run", "--json")
        assert unmet(out) == {"calibrate": status}


def test_a_folder_with_a_checkpoint_is_here(call: Call, tmp_path: Path) -> None:
    (tmp_path / "hub folder").mkdir()
    shutil.copy(SHIPPED, tmp_path / "hub folder" / "model.safetensors")
    code, out, _ = call("--weights", "hub folder", "--dry-run", "--json")
    assert (code, unmet(out)) == (0, {})


def test_the_fault_of_one_set_does_not_hide_that_of_the_other(call: Call, tmp_path: Path) -> None:
    write_files(tmp_path)
    given = ("--precision", "int8", "--calibration", "empty", "--validation", "damaged")
    _, _, err = call(*DIGITS, *given, "--dry-run")
    assert [line.split(":")[1].strip() for line in errors(err)] == ["empty"]
    assert "another stage would fail: 2 images cannot be used: damaged/a.png" in flat(err)


@pytest.mark.parametrize(
    ("calibration", "validation", "faults"),
    [
        ("images", "images-none", {"parity": "missing"}),  # another folder, named alike
        ("images", "images/none", {"parity": "missing"}),  # a folder in that of the other set
        ("flat", "flat/a.png", {"parity": "missing"}),
        ("nowhere", "empty", {"calibrate": "missing", "parity": "refused"}),
        ("empty", "damaged", {"calibrate": "refused", "parity": "refused"}),
        ("damaged", "flat", {"calibrate": "refused"}),
        ("flat", "damaged", {"parity": "refused"}),
        ("damaged", "damaged", {"calibrate": "refused", "parity": "refused"}),
    ],
)
def test_each_set_of_images_has_its_own_check(
    call: Call, tmp_path: Path, calibration: str, validation: str, faults: dict[str, str]
) -> None:
    write_files(tmp_path)
    given = ("--precision", "int8", "--calibration", calibration, "--validation", validation)
    _, out, _ = call(*DIGITS, *given, "--dry-run", "--json")
    assert unmet(out) == faults


def unmet(out: str) -> dict[str, str]:
    """The stages of a dry run that are not here, with their status."""
    return {s["stage"]: s["status"] for s in json.loads(out)["steps"] if s["status"] != "here"}


def test_no_pickled_code_is_run(call: Call, tmp_path: Path) -> None:
    class Ran:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    torch.save({"model": Ran()}, tmp_path / "code.pth")
    words = ("--arch", "resnet20", "--weights", "code.pth", "--trust-pickle", "--dry-run")
    code, _, err = call(*words)
    assert code == 0
    assert "not checked: code.pth is a pickle whose code a dry run does not run" in flat(err)
    assert not (tmp_path / "ran").exists()


def test_a_trusted_pickle_is_checked_where_its_tensors_are_seen(call: Call, tmp_path: Path) -> None:
    network = build(find("resnet20"))
    for change, expected in ((False, 0), (True, 5)):
        if change:
            network.fc = torch.nn.Linear(7, 10)
        torch.save({"model": network, "args": argparse.Namespace(lr=1)}, tmp_path / "net.pth")
        words = ("--arch", "resnet20", "--weights", "net.pth", "--trust-pickle")
        code, _, err = call(*words, "--dry-run")
        assert code == expected, err


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("huggingface_hub")
    state = {k: v.contiguous() for k, v in build(find("resnet20")).state_dict().items()}
    old = {"model.safetensors": save({**state, "fc.weight": torch.ones(10, 3)}), "w.pth": b"x"}
    found = Site({OLD: old, NEW: {**old, "model.safetensors": save(state)}})
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("no_proxy", "*")
    with served(found) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield found


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ("hf://me/net", 0, f"'main' of me/net is now the commit {NEW}"),
        ("hf://me/net@v1", 5, "fc.weight"),
        ("hf://me/net@v9", 5, "has no such revision"),
        ("hf://me/net:absent.safetensors", 5, "has no such file"),
        ("hf://me/net:absent.pth", 5, "has no such file"),
        ("hf://me/net:w.pth", 0, f"not checked: hf://me/net@{NEW}:w.pth has to be downloaded"),
    ],
)
def test_a_file_of_a_hub_is_held_to_its_header(
    call: Call, site: Site, spec: str, code: int, said: str
) -> None:
    words = ("--arch", "resnet20", "--weights", spec)
    found, _, err = call(*words, "--dry-run")
    assert found == code
    assert said in flat(err)
    if code:
        assert call(*words)[0] == code


def test_the_dry_run_downloads_no_tensors(call: Call, site: Site, tmp_path: Path) -> None:
    assert call("--arch", "resnet20", "--weights", "hf://me/net", "--dry-run")[0] == 0
    assert not list(Path(os.environ["HF_HUB_CACHE"]).rglob("*.safetensors"))
    with served(Site({})) as address:
        os.environ["HF_ENDPOINT"] = address
        assert call("--arch", "resnet20", "--weights", "hf://me/net", "--dry-run")[0] == 5


def test_a_part_of_another_model_is_not_replaced(call: Call, tmp_path: Path) -> None:
    Repository(tmp_path / "models").deploy(deployment("one"))
    words = ("--arch", "resnet20", "--weights", "random", "--repository", "models")
    for more in ("--dry-run",), ("--force",):
        code, _, err = call(*words, "--name", "net_image", *more)
        assert code == 2
        assert "net_image would replace net_image, which belongs to net version 1" in err
    assert call(*words, "--name", "other", "--dry-run")[0] == 0
