"""`resnet-convert compare`: one run of the digits network for most of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import in_process
import pytest
from budgets import change_budgets
from quick import quicken

from resnet_convert.autoselect import entered, measured
from resnet_convert.parity import throughput
from resnet_serve import passport
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes import TARGETS

WORDS = (
    *("--arch", "resnet20", "--weights", "digits", "--validation", "digits"),
    *("--validation-images", "16", "--calibration", "digits", "--calibration-images", "16"),
)
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of a moment: what is compared matters here."""
    quicken(monkeypatch)
    monkeypatch.setattr(measured, "LATENCY_SECONDS", 0.02)
    monkeypatch.setattr(throughput, "SECONDS", 0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("moment")
def test_all_rows_one_page_and_the_best_deployed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []
    honest = entered.precision.bring

    def counted(folded: Any, request: Any, *rest: Any) -> Any:
        made.append(request.precision)
        return honest(folded, request, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entered.precision, "bring", counted)
        words = ["compare", *WORDS, "--report", "page.html", "--deploy", "best", "--json"]
        done = in_process.command("resnet-convert", words, capsys, tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    rows = {(row["target"], row["precision"]): row for row in found["rows"]}
    on_cpu = [name for name, row in TARGETS.items() if not row.gpu]
    assert set(rows) == {(target, kind) for target in on_cpu for kind in PRECISIONS}
    assert all(row["passed"] or row["reason"] for row in rows.values())
    for target in ("onnxruntime", "openvino"):
        for kind in ("fp32", "fp16", "int8"):
            row = rows[target, kind]
            assert row["passed"], row
            low, high = row["accuracy_interval"]
            assert low <= row["accuracy"] <= high
            assert row["flipped"] == round(16 * (1 - row["agreement"]))
            assert row["median_ms"] > 0
            assert row["images_per_s"] > 0
    assert rows["onnxruntime", "int8"]["size_bytes"] < rows["onnxruntime", "fp32"]["size_bytes"]
    assert "19 of 19" in rows["openvino", "int8"]["computed_in"]
    assert len(made) == len(set(made)), "a precision is made once for all runtimes"

    best = found["best"]
    deployed = passport.read(Path(tmp_path, found["deployed"]["path"], passport.FILE_NAME))
    assert (deployed.target, deployed.precision) == (best["target"], best["precision"])
    assert len(deployed.autoselect["results"]) == len(rows)

    text = Path(tmp_path, "page.html").read_text(encoding="utf-8")
    for row in rows.values():
        assert TARGETS[row["target"]].title in text
    assert any(line.startswith("TensorRT is not compared") for line in found["left_out"])
    for line in found["left_out"]:
        assert line in text
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)


@pytest.mark.usefixtures("moment")
def test_where_no_row_passes_the_table_is_shown_and_nothing_deployed(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_budgets(monkeypatch, PRECISIONS, sqnr_db=500.0)
    code, out, err = call("compare", *WORDS, "--deploy", "best", "--report", "page.html")
    assert code == 3
    assert "no parity: SQNR" in out
    assert "nothing was deployed" in err
    assert not (tmp_path / "model_repository").exists()
    assert "✗" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--deploy", "worst"), "--deploy best"),
        (("--repository", "elsewhere"), "--deploy best"),
        (("--optimize", "fun"), "latency or throughput"),
        (("--precision", "int8"), "No such option"),
        (("--instances", "1000"), "instances do not fit"),
    ],
)
def test_what_makes_no_sense(call: Call, words: tuple[str, ...], said: str) -> None:
    code, _, err = call("compare", *WORDS, *words)
    assert code == 2
    assert said in err


@pytest.mark.usefixtures("moment")
def test_a_dry_run_shows_the_plan_and_ends_as_the_comparison_would(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    stages = {}
    for words in ((), ("--deploy", "best")):
        code, out, err = call("compare", *WORDS, *words, "--dry-run", "--json")
        assert code == 0, err
        stages[words] = [step["stage"] for step in json.loads(out)["steps"]]
    assert stages[()] == stages["--deploy", "best"][:-1]
    assert stages["--deploy", "best"][-1] == "deploy"
    wrong = ("--deploy", "best", "--repository", "file")
    ends = [call("compare", *WORDS, *wrong, *more) for more in (("--dry-run",), ())]
    codes = [code for code, _, _ in ends]
    errors = [err.splitlines()[-1] for _, _, err in ends]
    assert codes[0] == codes[1] != 0
    assert errors[0] == errors[1]
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "file"]


@pytest.mark.usefixtures("moment")
def test_a_reference_that_is_refused_is_compared_with_force(call: Call, tmp_path: Path) -> None:
    wrong = {"resize": 32, "crop": [32, 32], "resize_mode": "exact"}
    wrong |= {"mean": [0.0] * 3, "std": [1 / 255] * 3}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    words = ("compare", "--arch", "resnet20", "--weights", "digits", "--validation", "digits")
    words += ("--validation-images", "100", "--preprocessing", "wrong.json")
    code, _, err = call(*words)
    assert code == 3
    assert "--force" in err
    code, out, err = call(*words, "--force", "--json")
    assert code == 0, err
    assert any(row["passed"] for row in json.loads(out)["rows"])
