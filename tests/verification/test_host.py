"""`resnet-serve verify --host`: files damaged, hosts that differ, and what cannot be known."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_process import Done
from passports import converted, engine, plan
from rich.console import Console
from serve_command import serve

from resnet_serve import durable, host, passport
from resnet_serve.cuda import nvidia_smi
from resnet_serve.cuda.device import Gpu
from resnet_serve.errors import HostError, InputFileError, UsageError
from resnet_serve.passport import EngineState, MalformedFactsError, Passport
from resnet_serve.triton.repository import ModelFiles, Repository, whole
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import host as verify
from resnet_serve.verification.host import HostVerdict, Machine
from resnet_serve.verification.report import table

PLAN, MODEL = b"stands for a plan", b"stands for a graph"
H100 = Gpu("NVIDIA H100 80GB HBM3", "9.0", "615.61", 79.6)
H200 = Gpu("NVIDIA H200", "9.0", "615.61", 139.8)
T4 = Gpu("Tesla T4", "7.5", "615.61", 14.6)
WITH_VNNI = replace(host.describe(), instruction_sets=("AVX2", "AVX512-VNNI"))
WITHOUT = replace(host.describe(), instruction_sets=("AVX2",))
SERVER = Machine(WITH_VNNI, (H100,), tensorrt={"TRT_VERSION": "11.3.0.99"})
NO_PLAN = {"target": "tensorrt", "engine": engine()}


def built(**changes: Any) -> dict[str, Any]:
    """What the passport says of a plan that this server's H100 built."""
    made = plan(**{"plan_sha256": durable.sha256(PLAN), "gpu": H100, **changes})
    return {"target": "tensorrt", "engine": made}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def deployed(repository: Path) -> Callable[..., Deployed]:
    """Deploy one model with the passport's facts changed, and find it again."""

    def deploy(name: str = "net", *, plan: bytes = PLAN, **changes: Any) -> Deployed:
        model = replace(converted().model, sha256=durable.sha256(MODEL))
        files = ModelFiles(name, f'name: "{name}"', {}, {"model.onnx": MODEL})
        facts = {"model": model, "precision": "fp32", "files": whole.hashes([files]), **changes}
        stamped = {"model.plan": plan, passport.FILE_NAME: converted(**facts).to_bytes()}
        version_files = {**files.version_files, **stamped}
        Repository(repository).deploy([replace(files, version_files=version_files)])
        return Repository(repository).deployed()[-1]

    return deploy


def verdicts(found: Deployed, machine: Machine) -> dict[str, HostVerdict]:
    return {check.subject: check.verdict for check in verify.verify([found], machine).checks}


def test_the_machine_that_built_it_fits(deployed: Callable[..., Deployed]) -> None:
    report = verify.verify([deployed(**built())], SERVER)
    assert {check.subject for check in report.checks} == {
        *("model", "files", "served copy", "plan", "TensorRT", "GPU", "driver")
    }
    assert all(check.verdict == "ok" and not check.remedy for check in report.checks)
    report.require()


@pytest.mark.parametrize(
    ("changes", "machine", "subject", "verdict"),
    [
        # TensorRT, to the build number
        ({}, {"tensorrt": {"TRT_VERSION": "11.3.0.100"}}, "TensorRT", "differs"),
        ({}, {"tensorrt": {}}, "TensorRT", "unknown"),
        ({}, {"tensorrt": {"TRT_VERSION": "a nightly"}}, "TensorRT", "unknown"),
        ({"tensorrt": "a nightly"}, {}, "TensorRT", "unknown"),
        # the container has one, its Python another: the backend takes only one of them
        (
            {},
            {"tensorrt": {"the package tensorrt": "11.3.0.99", "TRT_VERSION": "11.1.0.106"}},
            *("TensorRT", "differs"),
        ),
        ({"version_compatible": True, "tensorrt": "11.1.0.106"}, {}, "TensorRT", "ok"),
        ({"version_compatible": True, "tensorrt": "11.4.0.106"}, {}, "TensorRT", "differs"),
        ({"version_compatible": True, "tensorrt": "10.16.1.11"}, {}, "TensorRT", "differs"),
        # the GPU
        ({}, {"gpus": (H200,)}, "GPU", "differs"),
        ({}, {"gpus": ()}, "GPU", "differs"),
        ({}, {"gpus": None, "gpu_problem": "nvidia-smi failed"}, "GPU", "unknown"),
        ({"gpu": replace(H100, compute_capability="?")}, {}, "GPU", "unknown"),
        ({"hardware_compatibility": "same"}, {"gpus": (H200,)}, "GPU", "ok"),
        ({"hardware_compatibility": "same"}, {"gpus": (T4,)}, "GPU", "differs"),
        ({"hardware_compatibility": "ampere+"}, {"gpus": (H200,)}, "GPU", "ok"),
        ({"hardware_compatibility": "ampere+"}, {"gpus": (T4,)}, "GPU", "differs"),
        ({}, {"gpus": (H100, T4)}, "GPU", "differs"),
        # the driver
        ({}, {"gpus": (replace(H100, driver="615.9"),)}, "driver", "differs"),
        ({}, {"gpus": (replace(H100, driver="615.61.03"),)}, "driver", "ok"),
        ({}, {"gpus": (replace(H100, driver="620.1"),)}, "driver", "ok"),
        ({"gpu": replace(H100, driver="CUDA 13.4")}, {}, "driver", "unknown"),
    ],
)
def test_a_plan_on_another_host(
    deployed: Callable[..., Deployed],
    changes: dict[str, Any],
    machine: dict[str, Any],
    subject: str,
    verdict: HostVerdict,
) -> None:
    report = verify.verify([deployed(**built(**changes))], replace(SERVER, **machine))
    found = [check for check in report.checks if check.subject == subject]
    assert found[-1].verdict == verdict, found
    others = [check for check in report.checks if check.subject != subject]
    assert all(check.verdict == "ok" for check in others), others
    if verdict == "ok":
        report.require()
        return
    assert found[-1].remedy
    if verdict == "differs":
        with pytest.raises(HostError, match="net version 1"):
            report.require()
    else:
        report.require()


def test_the_remedy_names_the_version_and_the_image(deployed: Callable[..., Deployed]) -> None:
    found = deployed(**built())
    machine = replace(SERVER, tensorrt={"TRT_VERSION": "11.1.0.106"})
    with pytest.raises(HostError) as refusal:
        verify.verify([found], machine).require()
    assert f"resnet-convert build-plan {found.path}" in str(refusal.value)
    assert "nvcr.io/nvidia/tritonserver:26.09-py3" in str(refusal.value)


def test_a_plan_that_is_not_built(deployed: Callable[..., Deployed]) -> None:
    found = deployed(**NO_PLAN)
    with pytest.raises(HostError, match="not built yet") as refusal:
        verify.verify([found], SERVER).require()
    assert f"resnet-convert build-plan {found.path}" in str(refusal.value)


@pytest.mark.parametrize(("gpus", "verdict"), [((T4,), "ok"), ((), "differs")])
def test_an_engine_that_the_server_builds_needs_a_gpu(
    deployed: Callable[..., Deployed], gpus: tuple[Gpu, ...], verdict: HostVerdict
) -> None:
    found = deployed(precision="int8", engine=engine(state=EngineState.BY_SERVER))
    machine = replace(SERVER, host=WITHOUT, gpus=gpus)
    assert verdicts(found, machine) == {
        "model": "ok",
        "files": "ok",
        "served copy": "ok",
        "GPU": verdict,
    }


@pytest.mark.parametrize("name", ["model.plan", "model.onnx"])
@pytest.mark.parametrize("harm", ["another", "gone"])
def test_a_damaged_file_outweighs_a_host_that_differs(
    deployed: Callable[..., Deployed], name: str, harm: str
) -> None:
    found = deployed(**built())
    path = found.path / name
    path.unlink()
    if harm == "another":
        path.write_bytes(b"one bit more")
    report = verify.verify([found], replace(SERVER, gpus=()))
    with pytest.raises(InputFileError, match=str(path)):
        report.require()


def test_a_file_that_cannot_be_read_is_not_called_damaged(
    deployed: Callable[..., Deployed],
) -> None:
    found = deployed()
    (found.path / "model.onnx").unlink()
    (found.path / "model.onnx").mkdir()
    assert verdicts(found, SERVER)["model"] == "unknown"


@pytest.mark.parametrize(
    ("precision", "proved_on", "here", "verdict"),
    [
        ("int8", ["AVX512-VNNI"], WITH_VNNI, "ok"),
        ("int8", ["AMX-INT8"], WITH_VNNI, "ok"),
        ("int8", ["AVX512-VNNI"], WITHOUT, "differs"),
        ("int8", ["AVX2"], WITHOUT, "ok"),
        ("int8", ["AVX2"], WITH_VNNI, "ok"),
        ("fp32", ["AVX512-VNNI"], WITHOUT, None),
    ],
)
def test_int8_on_another_processor(
    deployed: Callable[..., Deployed],
    precision: str,
    proved_on: list[str],
    here: host.Host,
    verdict: HostVerdict | None,
) -> None:
    found = deployed(precision=precision, host=replace(WITHOUT, instruction_sets=tuple(proved_on)))
    assert verdicts(found, Machine(here)).get("processor") == verdict


def test_every_version_is_checked_and_a_name_chooses(deployed: Callable[..., Deployed]) -> None:
    for name in ("one", "two", "two"):
        deployed(name)
    path = deployed("two").path.parents[1]
    found = Repository(path).deployed()
    names = [(row.name, row.version) for row in verify.chosen(found, None)]
    assert names == [("one", 1), ("two", 1), ("two", 2), ("two", 3)]
    assert {row.name for row in verify.chosen(found, "two")} == {"two"}
    with pytest.raises(
        UsageError, match=r"no deployed model is called 'three'\. There is one, two\."
    ):
        verify.chosen(found, "three")
    with pytest.raises(UsageError, match=r"two:2 names a version, .* Give two\. .* promote two:2$"):
        verify.chosen(found, "two:2")
    with pytest.raises(UsageError, match="nothing is deployed"):
        verify.chosen([], None)


def test_the_table_shows_brackets_as_they_are(deployed: Callable[..., Deployed]) -> None:
    odd = replace(H100, name="GPU [bold]X[/]")
    report = verify.verify([deployed(**built())], replace(SERVER, gpus=(odd,)))
    console = Console(width=400)
    with console.capture() as shown:
        console.print(table(report))
    assert "GPU [bold]X[/]" in shown.get()
    assert "6 ok · 1 differs" in shown.get()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


ENGINE = built()["engine"].to_json()


@given(
    st.dictionaries(st.sampled_from(sorted(ENGINE)), JSON),
    st.sampled_from([None, *(field for field in converted().to_json())]),
    JSON,
)
def test_a_strange_passport_is_refused_or_checked_without_a_traceback(
    tmp_path: Path, strange: dict[str, Any], field: str | None, value: Any
) -> None:
    document = {**converted().to_json(), "engine": {**ENGINE, **strange}}
    if field is not None:
        document[field] = value
    try:
        found = Passport.from_json(document)
    except MalformedFactsError:
        return
    report = verify.verify([Deployed("net", 1, tmp_path, found)], SERVER)
    assert report.checks
    json.dumps(report.to_json())


@pytest.mark.parametrize("name", ["", "..", "no\0name", "x" * 300])
def test_a_file_name_that_is_none(deployed: Callable[..., Deployed], name: str) -> None:
    found = deployed()
    model = replace(found.passport.model, file=name)
    strange = replace(found, passport=replace(found.passport, model=model))
    assert verdicts(strange, SERVER)["model"] in ("unknown", "damaged")


# --- what is looked at -------------------------------------------------------------------------


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put an nvidia-smi on the PATH that does what the script says."""

    def install(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")

    return install


def test_what_nvidia_smi_says(smi: Callable[[str], None]) -> None:
    smi('echo "NVIDIA H100 80GB HBM3, 615.61, 9.0, 81559"; echo "Tesla T4, 615.61, 7.5, 15360"')
    found = nvidia_smi.gpus()
    assert found == (replace(H100, memory_gib=79.6), Gpu("Tesla T4", "7.5", "615.61", 15.0))


@pytest.mark.parametrize(
    "script",
    ["echo 'NVML: Driver/library version mismatch'; exit 18", "echo 'No devices were found'"],
)
def test_a_driver_that_fails_is_unknown_not_absent(smi: Callable[[str], None], script: str) -> None:
    smi(script)
    machine = verify.describe()
    assert machine.gpus is None
    assert "nvidia-smi failed" in machine.gpu_problem


def test_no_driver_means_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_smi.gpus() == ()


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt-cu13", "tensorrt-cu12-bindings"])
def test_the_installed_tensorrt_and_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    folder = tmp_path / f"{package.replace('-', '_')}-11.3.0.99.post1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 11.3.0.99.post1"
    )
    monkeypatch.syspath_prepend(tmp_path)
    machine = verify.describe("8.6.1.6+cuda12.0.1.011")
    assert machine.tensorrt == {f"the package {package}": "11.3.0.99", "TRT_VERSION": "8.6.1.6"}


# --- the command -------------------------------------------------------------------------------


def run(folder: Path, *words: str, **variables: str) -> Done:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return serve(folder, "verify", *words)


def test_the_command(
    repository: Path,
    deployed: Callable[..., Deployed],
    smi: Callable[[str], None],
    tmp_path: Path,
) -> None:
    smi('echo "NVIDIA H100 80GB HBM3, 615.61, 9.0, 81559"')
    where = ("--repository", str(repository), "--host")
    deployed("gpu", **built())
    fits = run(tmp_path, *where, TRT_VERSION="11.3.0.99")
    assert (fits.returncode, fits.stderr) == (0, "")
    assert "7 ok" in fits.stdout
    differs = run(tmp_path, *where, TRT_VERSION="11.1.0.106")
    assert differs.returncode == 4
    assert differs.stderr.count("\n") == 1
    (repository / "gpu" / "1" / "model.plan").write_bytes(b"cut")
    damaged = run(tmp_path, *where, "--json", TRT_VERSION="11.1.0.106")
    assert damaged.returncode == 5
    found = {row["subject"]: row["verdict"] for row in json.loads(damaged.stdout)["checks"]}
    assert found["plan"] == "damaged"
    assert found["TensorRT"] == "differs"
    assert run(tmp_path, "gpu", *where).returncode == 5
    assert run(tmp_path, "other", *where).returncode == 2


def test_the_command_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    for words, code, said in (
        ((), 2, "--host"),
        (("--host",), 5, "there is no model repository"),
    ):
        ended = run(tmp_path, *words)
        assert ended.returncode == code
        assert said in ended.stderr
        assert ended.stderr.count("\n") == 1
