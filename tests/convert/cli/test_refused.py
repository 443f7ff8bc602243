"""A refused conversion still gives the tables, the report, the JSON and the command to try next."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from budgets import change_budgets

from resnet_serve.parity import gate
from resnet_serve.precisions import PRECISIONS

Call = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("quick")
QUICK = ("--validation", "digits", "--validation-images", 24)
INT8 = ("--precision", "int8", "--calibration", "digits", "--calibration-images", 16)
COMMAND = ("--arch", "resnet20", "--target", "onnxruntime", *QUICK)


def error_of(err: str) -> str:
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]
    return line


def test_everything_is_shown_and_the_next_command_works(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    change_budgets(monkeypatch, ["int8"], sqnr_db=400.0)
    budget = ("--calibration-method", "auto", "--budget-agreement", 50)
    code, out, err = call(*COMMAND, *INT8, *budget, "--report", "refused.html")
    assert code == 3
    for fragment in ("SQNR of the logits", "✗ not met", "top-1", "least exact layer", "size"):
        assert fragment in out
    assert not Path("model_repository").exists()
    page = (tmp_path / "refused.html").read_text(encoding="utf-8")
    for fragment in (
        "did not pass parity and was refused",
        "Refused: nothing was deployed",
        "✗ not met",
        "data:image/jpeg;base64,",
        "Accuracy by class",
        "Converted: decisions by class",
    ):
        assert fragment in page
    following = re.search(r"Try next: (.*) \(or --force it\)", error_of(err))
    assert following is not None
    assert following[1] in page.replace("&#39;", "'")
    code, out, _ = call(*shlex.split(following[1])[1:])
    assert code == 0
    assert Path("model_repository/resnet20/1/model.onnx").is_file()


def test_json_has_the_refusal_and_all_that_was_found(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_budgets(monkeypatch, ["fp32"], sqnr_db=400.0)
    code, out, err = call(*COMMAND, "--json")
    assert code == 3
    result = json.loads(out)
    assert result["gate"]["passed"] is False
    assert result["version"] is None
    assert result["refused"]["what"] in error_of(err)
    assert result["parity"]["decisions"]["labelled"] is True
    assert result["next"] is None or result["next"].startswith("resnet-convert --arch resnet20")
    assert result["reference"]["refused"] is False


def test_a_refused_reference_says_why_in_json(call: Call) -> None:
    code, out, err = call(*COMMAND, "--expect-top1", 40, "--json")
    assert code == 3
    found = json.loads(out)["reference"]
    assert found["expected"] == 40
    assert found["top1"] > 80
    assert "--expect-top1 names" in error_of(err)


def test_autoselect_shows_every_entrant(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    change_budgets(monkeypatch, PRECISIONS, sqnr_db=400.0)
    words = ("--arch", "resnet20", "--target", "auto", *QUICK)
    code, out, _ = call(*words)
    assert code == 3
    assert "onnxruntime fp32" in out
    assert "no parity" in out
    code, out, _ = call(*words, "--json")
    assert code == 3
    assert {each["problem"] for each in json.loads(out)["autoselect"]["results"]}


def test_other_commands_show_the_gate_of_what_they_refuse(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(*COMMAND, "--name", "a")[0] == 0
    assert call(*COMMAND, *INT8, "--name", "b")[0] == 0
    honest = gate.loosest
    with monkeypatch.context() as patch:
        strict = lambda rows: replace(honest(rows), sqnr_db=400.0)  # noqa: E731
        patch.setattr(gate, "loosest", strict)
        for words in (("ensemble", "both", "a", "b"), ("ten-crop", "a", "--scales", 36)):
            code, out, err = call(*words, *QUICK, "--report", "refused.html")
            assert code == 3
            assert "✗ not met" in out
            assert "--force it" in error_of(err)
            page = Path("refused.html").read_text(encoding="utf-8")
            for fragment in ("was refused", "✗ not met", "data:image/jpeg;base64,", "SQNR"):
                assert fragment in page
        code, out, err = call("ensemble", "both", "a", "b", *QUICK, "--json", "--report", "r.html")
        assert code == 3
        result = json.loads(out)
        assert result["gate"]["passed"] is False
        assert result["parity"]["decisions"]["labelled"] is True
        following = result["next"]
        assert f"Try next: {following} (or --force it)" in error_of(err)
        assert following in html.unescape(Path("r.html").read_text(encoding="utf-8"))
    first, second = following.split(" && ")
    assert "--name b" in first
    assert second.startswith("resnet-convert ensemble both a b")
    for command in (first, second):
        code, _, err = call(*shlex.split(command)[1:])
        assert code == 0, err
    code, out, _ = call(*shlex.split(second)[1:], "--report", "passed.html", "--json")
    assert code == 0
    assert json.loads(out)["command"] == second
    assert "passed parity" in Path("passed.html").read_text(encoding="utf-8")


def test_the_command_of_what_was_forced_runs_again(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(*COMMAND, "--name", "a")[0] == 0
    honest = gate.loosest
    monkeypatch.setattr(gate, "loosest", lambda rows: replace(honest(rows), sqnr_db=400.0))
    code, out, err = call("ten-crop", "a", "--scales", "36", *QUICK, "--force", "--json")
    assert code == 0, err
    command = json.loads(out)["command"]
    assert command.endswith("--force")
    assert "--scales 36" in command
    assert call(*shlex.split(command)[1:])[0] == 0
