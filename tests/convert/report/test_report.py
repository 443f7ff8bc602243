"""The report of a real conversion: complete, alone, readable, and honest about what went wrong."""

from __future__ import annotations

import html
import pickle
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from quick import FIGURES
from rich.console import Console

from resnet_convert.cli import screen
from resnet_convert.conversion import Conversion
from resnet_convert.parity import latencies
from resnet_convert.parity.peaks import CONVOLUTIONS, Peak
from resnet_convert.pipeline import convert
from resnet_convert.report import plots, report
from resnet_convert.roofline import LayerSpeed, Roofline
from resnet_serve import console
from resnet_serve.parity import accuracy, numerics
from resnet_serve.parity.numerics import EXACT_DB
from resnet_serve.precisions import PRECISIONS

pytest.importorskip("onnxruntime")
pytest.importorskip("sklearn")

BUDGET = PRECISIONS["int8"].budget
CREATED = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
VOID = {"meta", "br", "link", "img", "input", "hr", "wbr"}


@pytest.fixture(scope="module", autouse=True)
def drawn() -> Iterator[dict[bytes, str]]:
    """The figures by what they show, each drawn once: pages of other words have the same."""
    known: dict[bytes, str] = {}

    def once(draw: Callable[..., str]) -> Callable[..., str]:
        def found(*shown: Any) -> str:
            key = pickle.dumps((draw.__name__, shown))
            if key not in known:
                known[key] = draw(*shown)
            return known[key]

        return found

    with pytest.MonkeyPatch.context() as patch:
        for name in FIGURES:
            patch.setattr(plots, name, once(getattr(plots, name)))
        yield known


@pytest.fixture(scope="module")
def conversion(tmp_path_factory: pytest.TempPathFactory) -> Conversion:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latencies, "LATENCY_SECONDS", 0.3)
        return convert(
            arch="resnet20",
            weights="digits",
            precision="int8",
            calibration="digits",
            validation="digits",
            calibration_images=32,
            validation_images=32,
            repository=tmp_path_factory.mktemp("repository"),
        )


@pytest.fixture(scope="module")
def page(conversion: Conversion) -> str:
    return report.render(conversion, created=CREATED)


class Outline(HTMLParser):
    """Reads a page strictly: every tag closed in order, no id twice; keeps what tests ask for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.headings: list[str] = []
        self.tables = self.captions = 0
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self._note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.tables += tag == "table"
        self.captions += tag == "caption"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if "style" not in self.open:
            self.text += data


def words(page: str) -> str:
    """What a reader reads, with single ordinary spaces."""
    return " ".join(Outline(page).text.split())


def forced(conversion: Conversion) -> Conversion:
    """The same conversion with logits so noisy that the gate does not hold."""
    logits = conversion.measurements.logits
    assert logits is not None
    noise = np.random.default_rng(0).normal(0, 3, logits.converted.shape)
    found = with_logits(conversion, (logits.converted + noise).astype(np.float32))
    verdict = found.measurements.verdict(BUDGET, trained=True)
    assert not verdict.passed
    return proved(found, verdict=verdict)


def proved(conversion: Conversion, **changes: Any) -> Conversion:
    """The same conversion with another proof."""
    return replace(conversion, proof=replace(conversion.proof, **changes))


def with_logits(conversion: Conversion, converted: NDArray[np.float32]) -> Conversion:
    """The same conversion with other logits at batch 8."""
    found = conversion.measurements
    assert found.logits is not None
    logits = replace(found.logits, converted=converted)
    measurements = replace(
        found,
        logits=logits,
        numerics={8: numerics.compare(logits.reference, converted)},
        decisions=accuracy.decide(logits.reference, converted, logits.labels),
    )
    return proved(conversion, measurements=measurements)


def test_is_balanced_html_without_repeated_ids(page: str) -> None:
    outline = Outline(page)
    assert page.startswith("<!doctype html>")
    assert len(outline.ids) == len(set(outline.ids))


def test_has_every_section_in_order(page: str) -> None:
    assert Outline(page).headings == [
        "Key facts",
        "Assumptions",
        "Warnings",
        "Stages",
        "Parity",
        "Logits",
        "Layers",
        "Latency",
        "Sizes",
        "Compiled operators",
        "Images",
        "Classes",
        "Changed decisions",
    ]


def test_needs_nothing_else(page: str) -> None:
    for name, value in Outline(page).attributes:
        if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            inside = value.startswith(("#", "data:image/jpeg;base64,"))
            assert inside, f"{name}={value}"
    assert "<script" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_every_table_has_a_caption_and_every_figure_a_title(page: str) -> None:
    outline = Outline(page)
    assert outline.tables == outline.captions >= 6
    assert page.count("<svg") == page.count('role="img"') == 5


def test_figures_are_xml_with_all_their_references(page: str) -> None:
    for text in re.findall(r"<svg.*?</svg>", page, flags=re.S):
        figure = ElementTree.fromstring(text)
        title = figure.find("{http://www.w3.org/2000/svg}title")
        assert title is not None
        assert len(title.text or "") > 20
        ids = {element.get("id") for element in figure.iter()}
        assert set(re.findall(r'(?:href="|url\()#([\w-]+)', text)) <= ids


def test_is_small_and_the_same_twice(
    conversion: Conversion, page: str, drawn: dict[bytes, str]
) -> None:
    assert len(page.encode()) < 1_500_000
    drawn.clear()
    assert report.render(conversion, created=CREATED) == page


def test_states_the_facts(conversion: Conversion, page: str) -> None:
    text = words(page)
    for fact in (
        "resnet20 INT8 passed parity",
        "269,722",
        conversion.weights.sha256,
        conversion.precise.sha256,
        conversion.host.processor,
        "2026-01-02 03:04 UTC",
        "32 images: digits (held out), evenly chosen",
        "only 32 calibration images",
        "McNemar",
        "QLinearConv",
        "19 of 19 convolutions INT8.",
        "1.08 MB",
    ):
        assert fact in text, fact
    for layer in conversion.proof.layers:
        assert layer.name in text
    for stage in conversion.stages:
        assert stage.summary in text
    binding = [check for check in conversion.verdict.checks if check.binding]
    assert text.count("✓ passed") == len(binding)
    assert "✓ passed; 32 images cannot show it" in text
    assert "– not binding (weighted by margin above)" in text
    assert "Gate overridden" not in text
    assert "Untrained" not in text


def test_equal_outputs_are_not_green_on_the_page_nor_on_the_screen(
    conversion: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = conversion.measurements.logits
    assert logits is not None
    same = np.repeat(logits.reference[:1], len(logits.reference), axis=0)
    equal = replace(conversion.measurements, logits=replace(logits, reference=same))
    found = with_logits(proved(conversion, measurements=equal), same)
    found = proved(found, verdict=found.measurements.verdict(BUDGET, trained=True))
    assert found.verdict.passed
    page = report.render(found, created=CREATED)
    text = words(page)
    assert "Parity shows nothing: the logits of every image are the same" in text
    assert "passed parity, which shows nothing because" in text
    assert '<header class="neutral">' in page
    assert "✓ passed" not in text
    assert "– shows nothing: the logits of every image are the same" in text
    terminal = Console(record=True, width=200, force_terminal=True)
    monkeypatch.setattr(console, "out", terminal)
    terminal.print(screen.result_table(found))
    screen.conclude(found)
    shown = terminal.export_text(styles=True)
    assert "\x1b[32m" not in shown, "no green"
    assert "shows nothing: the logits of every image are the same" in shown


def test_the_command_can_be_copied(conversion: Conversion) -> None:
    spaced = replace(
        conversion, request=replace(conversion.request, calibration="my 'own' <images>")
    )
    code = re.search(r"<pre><code>(.*?)</code></pre>", report.render(spaced), flags=re.S)
    assert code is not None
    copied = html.unescape(re.sub(r"<[^>]*>", "", code.group(1)))
    assert shlex.split(copied) == shlex.split(spaced.request.command())


def test_an_overridden_gate_is_red_and_says_why(conversion: Conversion) -> None:
    found = forced(conversion)
    page = report.render(replace(found, request=replace(found.request, force=True)))
    assert '<header class="bad">' in page
    text = words(page)
    assert "did not pass parity and was forced" in text
    assert "Gate overridden" in text
    assert "✗ not met" in text
    assert "(allowed ≥ 0.98 for 95 % of images)" in text


def test_a_refusal_is_red_and_says_what_to_try_next(conversion: Conversion) -> None:
    page = report.render(forced(conversion), next_command="resnet-convert --arch 'a <b>'")
    assert '<header class="bad">' in page
    text = words(page)
    assert "did not pass parity and was refused" in text
    assert "Refused: nothing was deployed" in text
    assert "Try next: resnet-convert --arch 'a <b>'" in text
    assert "was deployed with" not in text


def test_the_images_are_shown_with_both_decisions(conversion: Conversion) -> None:
    page = report.render(forced(conversion))
    assert page.count("data:image/jpeg;base64,") > 6
    assert "Decided otherwise" in words(page)
    assert "Farthest from PyTorch" in words(page)
    assert len(page) < 600_000


def test_changed_decisions_are_listed_and_their_labels_escaped(conversion: Conversion) -> None:
    changed = forced(conversion)
    labels = tuple(f"<script>alert({digit})</script>" for digit in range(10))
    hostile = replace(changed, weights=replace(changed.weights, labels=labels))
    page = report.render(hostile)
    index = changed.measurements.decisions.changed[0]
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page
    row = f'<th scope="row" class="number">{index}</th>'
    assert row + f"<td>{conversion.validation_set.name_of(index)}</td>" in page
    shown = re.findall(r'<th scope="row" class="number">\d+</th>', page)
    assert len(shown) == min(20, len(changed.measurements.decisions.changed))


def test_an_untrained_network_is_announced_and_not_praised(conversion: Conversion) -> None:
    found = conversion.measurements
    weights = replace(conversion.weights, trained=False, source="random:0 (untrained)")
    verdict = found.verdict(BUDGET, trained=False)
    text = words(report.render(proved(replace(conversion, weights=weights), verdict=verdict)))
    assert "Untrained: for speed only. The weights are random:0;" in text
    assert text.startswith("resnet20") and "decisions agree" not in text.partition("Untrained")[0]
    assert "not binding (untrained)" in text


def test_logits_that_are_no_numbers_are_counted(conversion: Conversion) -> None:
    logits = conversion.measurements.logits
    assert logits is not None
    broken = logits.converted.copy()
    broken[0, :2] = np.nan, np.inf
    text = words(report.render(with_logits(conversion, broken)))
    assert "2 converted logits NaN or infinite" in text
    assert "−∞ dB" in text


def test_without_labels_there_is_no_accuracy(conversion: Conversion) -> None:
    found = conversion.measurements
    assert found.logits is not None
    logits = replace(found.logits, labels=None)
    decisions = accuracy.decide(logits.reference, logits.converted)
    measurements = replace(found, logits=logits, decisions=decisions)
    text = words(report.render(proved(conversion, measurements=measurements)))
    assert "McNemar" not in text
    assert "Smallest cosine" in text


def test_exact_layers_are_not_called_worst(conversion: Conversion) -> None:
    exact = tuple(replace(layer, sqnr_db=EXACT_DB) for layer in conversion.proof.layers)
    page = report.render(proved(conversion, layers=exact))
    assert "Every layer computes exactly" in words(page)
    assert "the worst are" not in page
    request = replace(conversion.request, precision="bf16")
    rounded = words(report.render(replace(proved(conversion, layers=exact), request=request)))
    assert "Every layer computes exactly" not in rounded
    assert "rounds to BF16 when it runs it" in rounded


def test_layers_have_their_speed_where_it_was_measured(conversion: Conversion) -> None:
    first, second, *_ = (layer.name for layer in conversion.proof.layers)
    speeds = {first: LayerSpeed("int8", 3.0, 61.4, 0.614), second: LayerSpeed("fp32", 1, 20, None)}
    roofline = Roofline(speeds, 2.0, Peak(100.0, CONVOLUTIONS[0], 2))
    found = proved(conversion, roofline=roofline)
    page = report.render(found)
    text = words(page)
    assert f"take the most time are {first} (50 %, at 61 % of the peak), {second} (17 %);" in text
    assert "no convolution or linear layer takes 33 %" in text
    assert "100 GOP/s in INT8 on 2 threads" in text
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', page)
    cells = {name: re.findall(r"<td[^>]*>(.*?)</td>", row)[2:] for name, row in rows}
    assert cells[first] == ["3.000 ms", "61", "61 %"]
    assert cells[second] == ["1.000 ms", "20", "fp32"]
    layer, other = conversion.proof.layers[0], conversion.proof.layers[2]
    assert found.proof.described(layer)["of_peak"] == 0.614
    assert found.proof.described(other) == other.to_json()
    assert "GOP/s" not in words(report.render(conversion))


def test_the_deployed_version_carries_its_report(conversion: Conversion) -> None:
    assert isinstance(conversion.path, Path)
    deployed = (conversion.path / "report.html").read_text(encoding="utf-8")
    assert "resnet20 INT8 passed parity" in words(deployed)
