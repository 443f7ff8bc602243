"""A deployed version is timed again: new times in its passport and report, the rest as proved."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from resnet_convert.cli import remeasure as command
from resnet_convert.parity import remeasure
from resnet_convert.report import plots
from resnet_serve import passport
from resnet_serve.errors import HostError
from resnet_serve.parity.latency import Latency, Ratio
from resnet_serve.passport import ConvertedPassport
from resnet_serve.triton.repository import Repository, staging

pytestmark = pytest.mark.usefixtures("quick")
Call = Callable[..., tuple[int, str, str]]
MADE = (
    "--arch", "resnet20", "--weights", "digits", "--validation", "digits",
    "--validation-images", 16, "--name", "d",
)  # fmt: skip
VERSION = Path("model_repository/d/1")
DRAWN = "<svg>new rounds</svg>"


@pytest.fixture
def deployed(call: Call, monkeypatch: pytest.MonkeyPatch) -> ConvertedPassport:
    """A version whose speed-up was not stated."""
    code, _, err = call(*MADE)
    assert code == 0, err
    path = VERSION / passport.FILE_NAME
    data = json.loads(path.read_text(encoding="utf-8"))
    busy = Ratio(4273.1, 2.0, 9000.0, 0.9)
    data["latency"]["speedup"] = busy.to_json()
    data["warnings"] = ["another one", busy.caution("fp32", "d")]
    path.write_text(json.dumps(data), encoding="utf-8")
    monkeypatch.setattr(remeasure, "LATENCY_SECONDS", 0.1)
    monkeypatch.setattr(plots, "latency_distributions", drawn)
    return stamped()


def drawn(latencies: Mapping[str, Latency]) -> str:
    assert set(latencies) <= {"PyTorch", "ONNX Runtime"}
    return DRAWN if all(each.samples_ms for each in latencies.values()) else ""


def stamped() -> ConvertedPassport:
    found = passport.read(VERSION / passport.FILE_NAME)
    assert isinstance(found, ConvertedPassport)
    return found


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_new_times_and_nothing_else(call: Call, deployed: ConvertedPassport) -> None:
    code, out, err = call("remeasure", "d")
    assert code == 0, err
    found = stamped()
    assert found.latency.remeasured is not None
    assert found.latency.remeasured.without_reference is None
    assert set(found.latency.times) == {"pytorch", "onnxruntime"}
    ratio = found.latency.speedup
    assert ratio is not None
    assert ratio.high < 9000
    assert "another one" in found.warnings
    assert not any("9000" in warning for warning in found.warnings)
    old, new = deployed.facts(), found.facts()
    assert {key for key in old if old[key] != new[key]} <= {"latency", "warnings"}
    assert "speed-up: " in out
    raw = (VERSION / "report.html").read_text(encoding="utf-8")
    assert DRAWN in raw, "the plot is of the new rounds"
    page = words(raw)
    assert "measured again on" in page
    assert f"{found.latency.times['onnxruntime'].median_ms:.2f} ms" in page


def test_the_last_word_is_json(call: Call, deployed: ConvertedPassport) -> None:
    code, out, _ = call("remeasure", "d", "--json")
    assert code == 0
    assert set(json.loads(out)) >= {"pytorch", "onnxruntime", "speedup", "remeasured"}


@pytest.mark.parametrize("how", ["missing", "others", "unreadable"])
def test_without_the_weights_no_ratio_is_stated(
    call: Call, deployed: ConvertedPassport, how: str
) -> None:
    path = VERSION / passport.FILE_NAME
    data = json.loads(path.read_text(encoding="utf-8"))
    if how == "missing":
        data["command"] = data["command"].replace("digits", "gone.safetensors", 1)
    elif how == "unreadable":
        data["command"] = "resnet-convert --no-such-option"
    else:
        data["weights"]["sha256"] = "0" * 64
    path.write_text(json.dumps(data), encoding="utf-8")
    code, out, err = call("remeasure", "d")
    assert code == 0, err
    said = {"others": "are others", "missing": "are not there", "unreadable": "cannot be read"}
    assert f"{said[how]}" in " ".join(out.split())
    found = stamped().latency
    assert found.speedup is None
    assert set(found.times) == {"onnxruntime"}
    page = words((VERSION / "report.html").read_text(encoding="utf-8"))
    assert "speed-up not stated: the PyTorch weights" in page or how == "unreadable"


def test_a_damaged_file_is_not_timed(call: Call, deployed: ConvertedPassport) -> None:
    with (VERSION / "model.onnx").open("ab") as file:
        file.write(b"x")
    before = (VERSION / passport.FILE_NAME).read_bytes()
    code, _, err = call("remeasure", "d")
    assert code == 5
    assert "is not the file that its passport describes" in " ".join(err.split())
    assert (VERSION / passport.FILE_NAME).read_bytes() == before


def test_a_repository_that_cannot_be_written_is_refused_before_anything_is_timed(
    call: Call, deployed: ConvertedPassport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Repository) -> None:
        raise HostError("cannot write: read-only file system")

    monkeypatch.setattr(Repository, "check_writable", refuse)
    monkeypatch.setattr(command, "timed_again", lambda *_: pytest.fail("it was timed"))
    code, _, err = call("remeasure", "d")
    assert code == 4
    assert "read-only file system" in err


def test_what_has_an_engine_or_no_name(call: Call, deployed: ConvertedPassport) -> None:
    code, _, err = call("remeasure", "other")
    assert code == 2
    assert "There is d." in " ".join(err.split())
    shutil.rmtree("model_repository/d")
    code, _, err = call(*MADE, "--target", "tensorrt", "--prepare-only")
    assert code == 0, err
    code, _, err = call("remeasure", "d")
    assert code == 2
    assert "build-plan times an engine" in " ".join(err.split())


def test_the_caution_names_the_command() -> None:
    caution = Ratio(2.0, 1.0, 3.0).caution("int8", "m")
    assert caution is not None
    assert caution.endswith("resnet-convert remeasure m")
    assert Ratio(2.0, 1.9, 2.1).caution("int8", "m") is None
    assert Latency(1, (1.0,)).pressed is None


def test_passport_and_report_are_replaced_in_one_step(
    call: Call, deployed: ConvertedPassport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted before that, both are the old ones."""
    before = {path.name: path.read_bytes() for path in VERSION.iterdir()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(staging, "_swap", interrupted)
        call("remeasure", "d")
    assert {path.name: path.read_bytes() for path in VERSION.iterdir()} == before


def test_the_command_that_it_advises_names_the_repository(
    call: Call, deployed: ConvertedPassport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the warnings of a conversion do."""
    advised = "on an idle host: resnet-convert remeasure d"
    monkeypatch.setattr(Ratio, "caution", lambda *_: advised)
    shutil.move("model_repository", "elsewhere")
    expected = f"{advised.removesuffix(' d')} --repository elsewhere d"
    code, _, err = call("remeasure", "d", "--repository", "elsewhere")
    assert (code, expected in " ".join(err.split())) == (0, True), err
    code, _, err = call(*MADE, "--repository", "elsewhere")
    assert (code, expected in " ".join(err.split())) == (0, True), err
