"""Rules and panels in a real Prometheus, which scrapes a real server and a real verify --watch."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import prometheus_server
import pytest
import tritonclient.grpc as triton
import versioned
import yaml
from patience import until
from ports import three_ports
from serve_command import environment
from tritonclient.utils import InferenceServerException

from resnet_serve.triton.repository import Repository
from resnet_serve.triton.server import Server

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/resnet-serve.json").read_text())
RATE = "15s"


def promtool(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(prometheus_server.program("promtool")), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_configuration_and_the_rules_are_right() -> None:
    done = promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_for_what_it_is_for() -> None:
    done = promtool("test", "rules", DEPLOY / "prometheus" / "rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    tested = (DEPLOY / "prometheus" / "rules_test.yml").read_text()
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]:
        assert "record" in rule or f"alertname: {rule['alert']}\n" in tested, rule


def queries() -> list[tuple[str, str]]:
    """Every query of every panel, as Grafana sends it for all models."""
    return [
        (panel["title"], _sent(target["expr"]))
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]


def _sent(query: str) -> str:
    return query.replace("$model", ".*").replace("$__rate_interval", RATE)


class Requests:
    """Images and tensors, and one image in ten that is none, until it is ended."""

    def __init__(self, url: str) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(url,))
        self._thread.start()

    def _run(self, url: str) -> None:
        count = 0
        with triton.InferenceServerClient(url) as client:
            while not self._ended.wait(0.05):
                count += 1
                data = b"no image" if count % 10 == 0 else versioned.image(versioned.COLOURS[0])
                given = triton.InferInput("image", [1, 1], "BYTES")
                given.set_data_from_numpy(np.array([[data]], np.object_))
                try:
                    client.infer("net_image", [given], client_timeout=30)
                except InferenceServerException:
                    continue

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """It scrapes a server that answers requests, its supervisor, and `verify --watch`."""
    prometheus_server.program("prometheus")
    folder = tmp_path_factory.mktemp("observed")
    repository = Repository(folder / "models")
    versioned.deploy(repository)
    status, watch = three_ports(), three_ports()
    with Server(repository.path, port=0, drain_s=0, status_port=status) as server:
        words = ["verify", "net", "--watch", "--every", "2s", "--metrics-port", str(watch)]
        words += ["--url", server.grpc, "--repository", str(repository.path)]
        command = [sys.executable, "-m", "resnet_serve.cli", *words]
        verifying = subprocess.Popen(
            command, env=environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        requests = Requests(server.grpc)
        try:
            at = {
                "triton": server.metrics,
                "supervisor": f"127.0.0.1:{status}",
                "verify": f"127.0.0.1:{watch}",
            }
            with prometheus_server.running(_config(folder, at), folder / "data") as address:
                yield address
        finally:
            requests.end()
            verifying.terminate()
            verifying.wait(30)


def _config(folder: Path, at: dict[str, str]) -> Path:
    """The configuration of deploy/, with these addresses and a short interval."""
    made = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    made["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    made["rule_files"] = [str(RULES)]
    assert {each["job_name"] for each in made["scrape_configs"]} == set(at)
    for each in made["scrape_configs"]:
        each["static_configs"] = [{"targets": [at[each["job_name"]]]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(made))
    return path


def has_data(address: str, query: str) -> bool:
    found: list[dict[str, Any]] = prometheus_server.ask(address, "query", query=query)["result"]
    return any(not math.isnan(float(each["value"][1])) for each in found)


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.parametrize(("panel", "query"), queries())
def test_every_panel_shows_data(prometheus: str, panel: str, query: str) -> None:
    assert until(lambda: has_data(prometheus, query)), f"{panel}: {query}"


@pytest.mark.triton
@pytest.mark.slow
def test_what_was_scraped_is_recorded_and_judged(prometheus: str) -> None:
    assert until(lambda: has_data(prometheus, 'model:errors:ratio_rate5m{model="net_image"} > 0'))
    rules = prometheus_server.ask(prometheus, "rules")["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} == {"ok"}
    names = {rule["name"] for rule in rules}
    assert {"ErrorBudgetBurnsFast", "QueueGrows", "ServerRestarts", "AgreementDropped"} <= names


@pytest.mark.triton
@pytest.mark.slow
def test_the_variable_of_the_dashboard_lists_the_models(prometheus: str) -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
    match = {"match[]": metric}
    found = prometheus_server.ask(prometheus, f"label/{label}/values", **match)
    assert {"net", "net_image", "net_preprocess"} <= set(found)
