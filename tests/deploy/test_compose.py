"""deploy/compose.yaml: what it mounts is there, what it starts is pinned and on loopback."""

from __future__ import annotations

from pathlib import Path

import yaml

from resnet_serve import __version__

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def test_what_it_mounts_is_there() -> None:
    made = {"../model_repository", "../model_repository.images", "prometheus", "grafana"}
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in made or (DEPLOY / source).is_dir(), source


def test_images_are_pinned_and_ports_are_on_loopback() -> None:
    assert SERVICES["triton"]["image"] == f"resnet-serve:{__version__}"
    for service in SERVICES.values():
        _, _, tag = service["image"].partition(":")
        assert tag not in ("", "latest")
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_prometheus_scrapes_the_ports_of_the_server() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {each["job_name"]: each["static_configs"][0]["targets"] for each in jobs}
    status = SERVICES["triton"]["environment"]["RESNET_SERVE_STATUS_PORT"]
    assert targets["triton"] == ["triton:8002"]
    assert targets["supervisor"] == [f"triton:{status}"]
    source = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
