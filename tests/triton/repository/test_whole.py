"""A whole version: what it keeps, and the configuration that Triton reads of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from deployments import deployment

from resnet_serve import durable
from resnet_serve.errors import InputFileError
from resnet_serve.triton import config
from resnet_serve.triton.repository import Repository, whole

OWN = """
name: "net_image" platform: "ensemble" version_policy { latest { num_versions: 1 } }
ensemble_scheduling {
  step { model_name: "net" model_version: -1 }
  step { model_name: "other" model_version: -1 }
  step { model_name: "member" model_version: 3 }
}
"""


def test_the_served_configuration_names_its_version_and_those_of_its_steps() -> None:
    made = config.parse(whole.served_config(OWN, 7, ["net", "net_image"]))
    assert list(made.version_policy.specific.versions) == [7]
    versions = [step.model_version for step in made.ensemble_scheduling.step]
    assert versions == [7, config.NEWEST, 3]
    assert whole.served_config(OWN, 7, ["net"]) == whole.served_config(OWN, 7, ["net"])


def test_a_damaged_configuration_is_named() -> None:
    with pytest.raises(InputFileError, match="no model configuration") as refused:
        whole.served_config("name: {", 1, [], "net/1/config.pbtxt")
    assert refused.value.where == "net/1/config.pbtxt"


@pytest.mark.parametrize(
    ("text", "present", "served"),
    [
        ("version_policy { specific { versions: [2] } }", [1, 2, 3], 2),
        ("version_policy { specific { versions: [2, 1] } }", [1, 2, 3], 2),
        ("version_policy { specific { versions: [4] } }", [1, 2, 3], None),
        ("version_policy { latest { num_versions: 1 } }", [1, 2, 3], 3),
        ("version_policy { all { } }", [1, 2, 3], 3),
        ("", [1, 12, 3], 12),
        ("", [], None),
        ("not a configuration {", [1, 2], 2),
        (None, [1, 2], 2),
    ],
)
def test_which_version_is_served(
    text: str | None, present: list[int], served: int | None, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "config.pbtxt").write_text(text)
    assert whole.served_version(tmp_path, present) == served


def test_hashes_are_of_the_files_that_the_version_keeps(repository: Repository) -> None:
    models = deployment("one")
    version = repository.deploy(models)
    for name, files in whole.hashes(models).items():
        folder = repository.directory(name) / str(version)
        assert {each.name for each in folder.iterdir()} == set(files)
        assert {file: durable.sha256(folder / file) for file in files} == files
