"""`resnet-serve list`, and what `up` says of a version that is not complete."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from passports import engine
from serve_command import serve

from resnet_serve.triton.repository import Repository, changes
from resnet_serve.verification.reference import computed, recorded


def waiting_for_its_plan(repository: Path, name: str = "gpu") -> None:
    """A version as `resnet-convert --prepare-only` leaves it, as far as the commands look at it."""
    source = next(repository.glob("digits/1/passport.json"))
    data = json.loads(source.read_text(encoding="utf-8"))
    version = repository / name / "1"
    version.mkdir(parents=True)
    data |= {"engine": engine().to_json(), "target": "tensorrt"}
    data["latency"]["speedup"] = None
    (version / "passport.json").write_text(json.dumps(data), encoding="utf-8")


def _timed(row: dict[str, Any]) -> bool:
    """Whether a speed-up was measured, and is stated or, on a busy host, is not."""
    return row["speedup"] is not None or row["speedup_not_stated"] is not None


def test_a_plan_that_is_not_built_is_said_before_the_server_starts(
    tmp_path: Path, repository: Path
) -> None:
    copy = tmp_path / "models"
    shutil.copytree(repository, copy)
    waiting_for_its_plan(copy)
    done = serve(tmp_path, "up", "--port", 0, "--repository", copy)
    assert done.returncode == 4, done.stderr
    assert "the plan of gpu version 1 is not built" in done.stderr
    assert f"resnet-convert build-plan {copy / 'gpu' / '1'}" in done.stderr
    listed = serve(tmp_path, "list", "--repository", copy)
    assert listed.returncode == 0
    assert "plan not built" in listed.stdout
    rows = json.loads(serve(tmp_path, "list", "--json", "--repository", copy).stdout)["models"]
    assert {row["model"]: (row["engine"], _timed(row)) for row in rows} == {
        "digits": (None, True),
        "gpu": ("plan not built", False),
    }
    verified = serve(tmp_path, "verify", "gpu", "--host", "--repository", copy)
    assert verified.returncode in (4, 5)
    assert "build-plan" in verified.stdout


def test_other_images_go_through_pytorch(repository: Path) -> None:
    """What `verify --images` compares with: the network, built again from its weights."""
    deployed = changes.find(Repository(repository).deployed(), "digits")
    kept, made = recorded(deployed), computed(deployed, "digits")
    assert len(made) > len(kept)
    assert made.labels is not None
    assert set(made.expected) == set(kept.expected) == {"logits"}
