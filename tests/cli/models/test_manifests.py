"""`resnet-serve manifests`: what it writes and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import charts
import pytest
import yaml
from deployments import deployment
from serve_command import serve

from resnet_serve import __version__
from resnet_serve.triton import releases
from resnet_serve.triton.repository import Repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Repository(tmp_path / "model_repository").deploy(deployment("one"))
    return tmp_path


def test_they_are_yaml_on_the_output_or_in_a_file(folder: Path) -> None:
    done = serve(folder, "manifests", "net", "--for", "kubernetes")
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = yaml.safe_load_all(done.stdout)
    assert [first["kind"], *(each["kind"] for each in rest)] == [
        *("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget")
    ]
    pod = first["spec"]["template"]["spec"]
    tag = releases.CURRENT.tag
    assert pod["containers"][0]["image"] == f"resnet-serve:{__version__}-triton{tag}"
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "net-models"
    written = serve(
        *(folder, "manifests", "net", "--for", "kubernetes", "--output", folder / "net.yaml"),
        *("--image", "mine:1", "--claim", "disk", "--replicas", 3, "--max-replicas", 3),
    )
    assert "net.yaml: 4 objects" in written.stdout
    first, _, scaler, _ = yaml.safe_load_all((folder / "net.yaml").read_text())
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (3, 3)
    assert "replicas" not in first["spec"], "it would undo what the autoscaler did"
    assert first["spec"]["template"]["spec"]["containers"][0]["image"] == "mine:1"


def test_a_chart_has_the_same_objects_and_the_options_as_its_values(folder: Path) -> None:
    words = ("manifests", "net", "--for", "helm")
    options = ("--image", "mine:1", "--claim", "disk", "--replicas", 3)
    done = serve(folder, *words, *options)
    assert (done.returncode, done.stderr) == (0, "")
    first, install = done.stdout.splitlines()
    assert first == "net-chart: 8 files"
    assert install.split() == ["helm", "install", "net", "net-chart"]
    root = folder / "net-chart"
    files = {str(each.relative_to(root)): each.read_text() for each in root.rglob("*.*")}
    assert len(files) == 8
    objects = serve(folder, "manifests", "net", "--for", "kubernetes", *options)
    values = yaml.safe_load(files["values.yaml"])
    expected = {each["kind"]: each for each in yaml.safe_load_all(objects.stdout)}
    assert {each["kind"]: each for each in charts.rendered(files, values)} == expected
    again = serve(folder, *words)
    assert again.returncode == 2
    assert "Name a new folder: --output" in again.stderr
    assert serve(folder, *words, "--output", "charts/net").returncode == 0
    assert (folder / "charts" / "net" / "Chart.yaml").is_file()


def test_other_models_of_the_repository_are_named(folder: Path) -> None:
    """A server loads them too, and the memory is for one."""
    shutil.copytree(folder / "model_repository/net", folder / "model_repository/other")
    for platform in ("kubernetes", "helm", "compose"):
        done = serve(folder, "manifests", "net", "--for", platform)
        assert done.returncode == 0
        assert done.stderr.startswith("warning: the repository has other too")
    done = serve(folder, "manifests", "net", "--for", "kserve", "--storage", "s3://models/net")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_canary_of_kserve(folder: Path) -> None:
    words = ("manifests", "net", "--for", "kserve", "--canary-percent", 10)
    done = serve(folder, *words, "--storage", "s3://models/net")
    assert done.returncode == 0, done.stderr
    _, service = yaml.safe_load_all(done.stdout)
    assert service["spec"]["predictor"]["canaryTrafficPercent"] == 10
    assert service["spec"]["predictor"]["model"]["storageUri"] == "s3://models/net"


def test_compose_sees_the_repository_from_its_own_folder(folder: Path) -> None:
    done = serve(folder, "manifests", "net", "--for", "compose", "--image", "mine:1")
    assert (done.returncode, done.stderr) == (0, "")
    service = yaml.safe_load(done.stdout)["services"]["triton"]
    assert service["image"] == "mine:1"
    assert service["volumes"][0] == "./model_repository:/models:ro"
    words = ("manifests", "net", "--for", "compose", "--output", "deploy/compose.yaml")
    written = serve(folder, *words)
    assert "deploy/compose.yaml: 1 object" in written.stdout
    text = (folder / "deploy" / "compose.yaml").read_text()
    volumes = yaml.safe_load(text)["services"]["triton"]["volumes"]
    assert volumes[0] == "../model_repository:/models:ro"
    for volume in volumes:
        source = folder / "deploy" / volume.partition(":")[0]
        assert source.resolve().is_dir(), "both repositories are there"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nett", "--for", "kubernetes"), "There is net"),
        (("net", "--for", "docker"), "'docker'"),
        (("net", "--for", "kubernetes", "--storage", "s3://x"), "--storage is not for kubernetes"),
        (("net", "--for", "helm", "--storage", "s3://x"), "--storage is not for helm"),
        (("net", "--for", "helm", "--claim", "My_Claim"), "'My_Claim' cannot name a Persistent"),
        (("net", "--for", "kserve", "--storage", "models"), "'models' is not an address"),
        (("net", "--for", "kserve", "--image", "x"), "--image is not for kserve"),
        (("net", "--for", "kserve", "--replicas", 9, "--max-replicas", 6), "6 is less than"),
        (("net", "--for", "compose", "--replicas", 2), "--replicas is not for compose"),
        (("net", "--for", "compose", "--claim", "x"), "--claim is not for compose"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, words: tuple[object, ...], said: str) -> None:
    done = serve(folder, "manifests", *words)
    assert done.returncode == 2
    assert said in done.stderr
