"""Which models a server was not given: those that take encoded images, whatever they are called.

That configurations are compared is held by `test_served.py`, on a real server.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import versioned

from resnet_serve.errors import HostError
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.repository import CONFIG_FILE, Repository
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import configuration


class Server:
    """A server that has these models, and has unloaded some."""

    def __init__(self, *models: str, unloaded: tuple[str, ...] = ()) -> None:
        self._models = models
        self._unloaded = unloaded

    def configuration(self, model: str) -> object:
        if model in self._unloaded:
            raise HostError(f"Request for unknown model: '{model}' has no available versions")
        if model not in self._models:
            raise HostError(f"model {model!r} is not found")
        return object()


@pytest.fixture
def owner(tmp_path: Path) -> Deployed:
    """`net`; beside it `cat_image`, which takes tensors."""
    made = Repository(tmp_path / "models")
    versioned.deploy(made)
    shutil.copytree(made.path / "net", made.path / "cat_image")
    (found,) = [each for each in made.deployed() if each.name == "net"]
    return found


def absent(server: Any, owner: Deployed, *models: str) -> tuple[str, ...]:
    return tuple(configuration.absent(server, [(each, owner) for each in models]))


def test_a_server_without_image_models_lacks_both(owner: Deployed) -> None:
    assert absent(Server("net"), owner, *versioned.NAMES) == ("net_preprocess", "net_image")
    assert absent(Server(*versioned.NAMES), owner, *versioned.NAMES) == ()
    assert absent(Server("net", "net_preprocess"), owner, *versioned.NAMES) == ("net_image",)


def test_what_a_server_has_unloaded_is_absent_too(owner: Deployed) -> None:
    server: Any = Server("net", unloaded=("net_image",))
    found = configuration.absent(server, [(each, owner) for each in versioned.NAMES])
    assert found == {"net_preprocess": False, "net_image": True}


def test_another_error_is_none_of_absence(owner: Deployed) -> None:
    """It is raised by the comparison, which asks again."""

    class Ending(Server):
        def configuration(self, model: str) -> object:
            raise HostError("Server exiting")

    assert absent(Ending(), owner, *versioned.NAMES) == ()


def test_a_tensor_model_is_none_of_them_by_its_name(owner: Deployed) -> None:
    models = ("cat_image", "net_preprocess", "net_image")
    assert absent(Server("cat_image"), owner, *models) == ("net_preprocess", "net_image")
    assert absent(Server("net_preprocess", "net_image"), owner, *models) == ()


def test_where_the_repository_has_none_the_name_decides(owner: Deployed) -> None:
    shutil.rmtree(image_repository.of(owner.repository))
    assert absent(Server("net"), owner, *versioned.NAMES) == ("net_preprocess", "net_image")


@pytest.mark.parametrize(
    ("versions", "wrong"),
    [([1], ""), ([], ""), ([2], "version 2, not 1"), ([1, 0], ""), ([2, 1], "version 2, not 1")],
)
def test_the_newest_version_of_the_policy_is_the_served_one(
    owner: Deployed, versions: list[int], wrong: str
) -> None:
    """A rollout leaves the number of the version before it in the policy."""

    class Serving:
        def configuration(self, model: str) -> Any:
            made = config.parse((owner.path / CONFIG_FILE).read_text(encoding="utf-8"))
            made.version_policy.Clear()
            made.version_policy.specific.versions.extend(versions)
            return made

    server: Any = Serving()
    assert configuration.differing(server, "net", owner) == wrong
