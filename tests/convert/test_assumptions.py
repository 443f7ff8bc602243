"""What no file says is said: in the stage, below it, in the passport, the report and the list."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from recorder import Recorder
from rich.console import Console

from resnet_convert.cli import screen
from resnet_convert.conversion import Conversion
from resnet_convert.pipeline import run
from resnet_convert.report import report
from resnet_convert.request import Request
from resnet_serve import listing, passport, weights
from resnet_serve.architectures import find
from resnet_serve.passport import ConvertedPassport
from resnet_serve.triton.repository import Repository

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain file of a network of 1,000 classes that are not ImageNet's."""
    made = weights.load("random:3", find("resnet20-b").with_classes(1000))
    path = tmp_path_factory.mktemp("thousand") / "w.pth"
    torch.save(dict(made.state), path)
    return path


@pytest.fixture(scope="module")
def converted(
    thousand: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Conversion, Recorder]:
    recorder = Recorder()
    request = Request(
        arch="auto",
        weights=str(thousand),
        target="onnxruntime",
        name="net",
        repository=tmp_path_factory.mktemp("repository"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resnet_convert.parity.latencies.LATENCY_SECONDS", 0.1)
        return run(request, recorder), recorder


ASSUMED = ["arithmetic", "preprocessing", "labels", "activation", "reference"]


def test_the_stage_line_names_them_and_a_line_each_explains_them(
    converted: tuple[Conversion, Recorder],
) -> None:
    found, recorder = converted
    assert recorder.summaries[0].endswith(f"; assumed: {', '.join(ASSUMED)}")
    assert recorder.notes == [str(each) for each in found.weights.assumptions]
    assert [note.partition(" ")[0] for note in recorder.notes] == ASSUMED


def test_the_passport_keeps_them_typed(converted: tuple[Conversion, Recorder]) -> None:
    found, _ = converted
    assert found.path is not None
    read = passport.read(found.path / passport.FILE_NAME)
    assert isinstance(read, ConvertedPassport)
    assert read.weights.assumptions == found.weights.assumptions


def test_the_report_has_a_table_of_them(converted: tuple[Conversion, Recorder]) -> None:
    found, _ = converted
    page = report.render(found)
    for each in found.weights.assumptions:
        assert each.remedy in page
    assert "because there are 1,000 classes" in page


def test_the_last_sentence_and_the_list_name_them(converted: tuple[Conversion, Recorder]) -> None:
    found, _ = converted
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(screen.sentence(found))
    assert f"because no file says it: {', '.join(ASSUMED)}." in console.export_text()
    (row,) = listing.rows(Repository(Path(found.request.repository)).deployed())
    assert row["assumed"] == ASSUMED
