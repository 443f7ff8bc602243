"""The documentation site, built strictly: every page is in it and every link leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from source_tree import ROOT

from resnet_client.command import options

LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(https?:)?//|@import|url\(["']?http"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_and_the_outer_documents_are_in_it(site: Path) -> None:
    expected = {path.stem for path in (ROOT / "docs").glob("*.md")}
    expected |= {"commands", "benchmarks", "CHANGELOG", "CONTRIBUTING", "SECURITY"}
    assert expected <= {path.stem for path in site.glob("*.html")}


def test_a_page_loads_nothing_from_other_hosts(site: Path) -> None:
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not LOADED.search(text), page.name
        sheets = re.findall(r'<link[^>]*rel="?stylesheet"?[^>]*>', text)
        assert sheets and not [each for each in sheets if "//" in each], page.name


def test_the_commands_have_every_option(site: Path) -> None:
    text = (site / "commands.html").read_text(encoding="utf-8")
    for command in ("resnet-convert build-plan", "resnet-serve up", "resnet-classify"):
        assert f">{command}<" in text
    for each in options.parser()._actions:
        assert all(option in text for option in each.option_strings)
    assert "--calibration-method" in text


def test_the_benchmarks_have_their_results_and_plots(site: Path) -> None:
    text = (site / "benchmarks.html").read_text(encoding="utf-8")
    plots = re.findall(r'src="(benchmarks/results/[^"]+\.svg)"', text)
    assert plots
    assert all((site / plot).is_file() for plot in plots)
    assert "<h2" in text


def test_the_api_has_signatures_and_docstrings(site: Path) -> None:
    text = (site / "api.html").read_text(encoding="utf-8")
    for name in ("resnet_convert.pipeline.convert", "resnet_client.classifier.Classifier.classify"):
        assert f'id="{name}"' in text
