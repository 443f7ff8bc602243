"""Transforms that torchvision and albumentations really pickled, read without either.

`recorded/*.pth` are `torch.save({"state_dict": …, "val_transform": transform})` of torchvision
0.29.1 and albumentations 2.0.8, as `WRITTEN` shows them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from resnet_serve.checkpoints.pickles import archive
from resnet_serve.checkpoints.pickles.machine import Placeholder
from resnet_serve.checkpoints.preprocessing_files import override
from resnet_serve.checkpoints.transforms import recorded
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

FOLDER = Path(__file__).with_name("recorded")
# Compose([Resize((256, 256), BICUBIC), CenterCrop(224), …]) and so on: what each amounts to.
WRITTEN = {
    "v1": Preprocessing(),
    "v1_two_numbers": Preprocessing((256, 256), interpolation="bicubic"),
    "v1_grey": Preprocessing((28, 28), (28, 28), mean=(0.5,), std=(0.25,)),
    "v1_tensor": Preprocessing((32, 32), (32, 32), antialias=False),  # ToTensor comes first
    "v2": Preprocessing(232),
    "preset": Preprocessing(232),  # Weights.transforms()
    "sequential": Preprocessing(40, (32, 32)),
    "albumentations": Preprocessing((256, 256), antialias=False),
    "albumentations_longest": Preprocessing(64, (64, 64), resize_mode="longest", antialias=False),
}
REFUSED = {
    "v1_train": "RandomResizedCrop is a step of training",
    "v1_pad": "transforms.Pad has no equivalent here",
    "albumentations_train": "HorizontalFlip is applied at random (p = 0.5)",
}


def read(name: str) -> Preprocessing:
    path = FOLDER / f"{name}.pth"
    step = recorded.find(archive.read(path).loaded)
    assert step is not None
    return recorded.preprocessing(step, path)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_pickled_transform_is_its_preprocessing(name: str) -> None:
    assert read(name) == WRITTEN[name]


def test_pixels_that_are_not_scaled_are_normalised_on_their_own_scale() -> None:
    found = read("v2_unscaled")
    assert (found.resize, found.crop) == (None, (64, 48))
    assert found.mean == pytest.approx((0.485, 0.456, 0.406))
    assert found.std == pytest.approx((0.229, 0.224, 0.225))


@pytest.mark.parametrize("name", REFUSED)
def test_training_and_what_has_no_equivalent_is_refused_with_a_remedy_that_works(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(InputFileError, match="Give --preprocessing FILE") as caught:
        read(name)
    assert REFUSED[name] in str(caught.value)
    assert caught.value.where == str(FOLDER / f"{name}.pth")
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"resize": 256, "crop": 224}))
    assert override(own, Preprocessing()) == Preprocessing()


def test_every_recording_is_read() -> None:
    names = {path.stem for path in FOLDER.glob("*.pth")}
    assert names == {*WRITTEN, *REFUSED, "v2_unscaled"}


def test_nothing_is_imported() -> None:
    read("v2")
    read("albumentations")
    assert not {"torchvision", "albumentations", "cv2"} & set(sys.modules)


def test_the_transform_of_training_is_passed_over() -> None:
    def compose(size: int) -> Placeholder:
        crop = Placeholder("torchvision.transforms.transforms.CenterCrop", state={"size": size})
        tensor = Placeholder("torchvision.transforms.transforms.ToTensor", state={})
        name = "torchvision.transforms.transforms.Compose"
        return Placeholder(name, state={"transforms": [crop, tensor]})

    def size(loaded: object) -> int | None:
        step = recorded.find(loaded)
        return None if step is None else recorded.preprocessing(step, FOLDER).height

    assert size({"train_transform": compose(8)}) is None
    assert size({"transforms": {"train": compose(8), "val": compose(16)}}) == 16
    assert size({"transform": compose(8), "valid_transforms": compose(16)}) == 16
    assert size({"transform": compose(8)}) == 8
    assert size({"state_dict": {}, "epoch": 3}) is None
    assert size([compose(8)]) is None


def test_a_transform_that_holds_itself_ends() -> None:
    name = "torchvision.transforms.transforms.Compose"
    endless = Placeholder(name, state={"transforms": []})
    endless.state["transforms"].append(endless)  # type: ignore[index]
    step = recorded.find({"transform": endless})
    assert step is not None
    with pytest.raises(InputFileError, match="holds what is not a transform"):
        recorded.preprocessing(step, FOLDER)
