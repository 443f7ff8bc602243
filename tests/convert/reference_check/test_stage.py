"""The reference check on trained networks: mistakes are refused, and the remedies followed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cifar10
import faults
import pytest
from label_heads import LABELS, head
from recorder import Recorder

from resnet_convert.parity.reference import KnownOutputs, Reference
from resnet_convert.reference_check.findings import ReferenceCheck
from resnet_convert.reference_check.label_findings import LabelReferenceCheck
from resnet_convert.reference_check.stage import (
    ReferenceRefusedError,
    check_reference,
    unchecked,
)
from resnet_convert.stage_log import StageLog
from resnet_serve import weights
from resnet_serve.activation import Activation, Kind
from resnet_serve.architectures import find
from resnet_serve.datasets import open_images
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.image_labels import LabelledImages
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.errors import UsageError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes.pytorch import PyTorchModel
from resnet_serve.weights import Weights, class_names
from resnet_serve.weights.assumptions import Subject


@pytest.fixture(scope="module", autouse=True)
def run_once() -> Iterator[None]:
    """A network sees an image under a preprocessing once: the searches of all tests end at the same
    one, and try the same others beside it.
    """
    networks: dict[tuple[int, str], tuple[Any, KnownOutputs]] = {}
    load = Reference.load

    def loaded(self: Reference) -> PyTorchModel:
        model, state = load(self), self.weights.state
        # With the state beside them, so that no other has its number.
        _, known = networks.setdefault((id(state), self.head), (state, KnownOutputs()))
        run_all = model.run_all
        model.run_all = lambda batch: known.outputs(batch, run_all)  # type: ignore[method-assign]
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reference, "load", loaded)
        yield


@pytest.fixture(scope="module")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("digits")
    Digits(held_out=True).export(place, 100)
    return place


def with_labels_of(members: dict[str, tuple[int, ...]]) -> Weights:
    """The digits network that decides about these labels."""
    digits = weights.load("digits", find("resnet20"))
    activation = Activation(Kind.SIGMOID, (0.5,))
    return replace(
        head(digits, list(members.values())),
        labels=tuple(members),
        activation=activation,
    )


def labelled(members: dict[str, tuple[int, ...]], count: int = 60) -> LabelledImages:
    """Digits with these labels."""
    images = spread(Digits(held_out=True), count)
    assert images.labels is not None
    rows = tuple(
        tuple(int(digit in inside) for inside in members.values()) for digit in images.labels
    )
    return LabelledImages(images, rows)  # type: ignore[arg-type]


def check_labels(loaded: Weights, images: Any, **options: Any) -> Any:
    reference = Reference(loaded.network(), loaded, "uint8", 1)
    return check_reference(reference, images, StageLog(Recorder()), **options)


def checked(loaded: Weights, folder: Path, **options: Any) -> ReferenceCheck:
    """The check of weights on a folder of images."""
    images = open_images(str(folder), loaded.labels, split="validation")
    reference = Reference(loaded.network(), loaded, "uint8", 1)
    found = check_reference(reference, images, StageLog(Recorder()), **options)
    assert found is not None
    return found


def passes(loaded: Weights, folder: Path) -> ReferenceCheck:
    """The check of right weights, which is made once for equal ones."""
    key = id(loaded.state), loaded.preprocessing, loaded.labels, folder
    if key not in _PASSED:
        _PASSED[key] = checked(loaded, folder)
    found = _PASSED[key]
    assert found.problem is None
    return found


_PASSED: dict[tuple[object, ...], ReferenceCheck] = {}


def refusal(loaded: Weights, folder: Path, **options: Any) -> str:
    with pytest.raises(ReferenceRefusedError) as refused:
        checked(loaded, folder, **options)
    assert refused.value.exit_code == 3
    assert "\n" not in str(refused.value)
    return str(refused.value)


def followed(message: str, loaded: Weights, place: Path) -> Weights:
    """The weights loaded again with the files that a refusal says to give."""
    changed = loaded
    said = re.search(r"--preprocessing with a file that contains (\{.*?\})[ ;]", message)
    if said:
        changed = replace(changed, preprocessing=Preprocessing.from_json(said[1]))
    said = re.search(r"--labels with a file that contains (\[.*?\]);", message)
    if said:
        file = place / "labels.json"
        file.write_text(said[1], encoding="utf-8")
        changed = replace(changed, labels=class_names.resolve(file))
    assert changed is not loaded, message
    return changed


def with_preprocessing(**changes: Any) -> Callable[[Weights], Weights]:
    return lambda loaded: replace(loaded, preprocessing=replace(loaded.preprocessing, **changes))


def with_labels(change: Callable[[tuple[str, ...]], Any]) -> Callable[[Weights], Weights]:
    return lambda loaded: replace(loaded, labels=tuple(change(loaded.labels)))


MISTAKES: dict[str, faults.Mistake] = {
    "0 to 255": with_preprocessing(mean=(0.0,) * 3, std=(1 / 255,) * 3),
    "no normalisation": with_preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3),
    "labels reversed": with_labels(lambda names: names[::-1]),
    "labels shuffled": faults.shuffled,
}
# What photographs can show and grey digits cannot, and the labels, which need many classes right.
CIFAR_MISTAKES = {
    **faults.MISTAKES,
    "mean and std 0.5": with_preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3),
    "two labels swapped": with_labels(lambda names: (names[1], names[0], *names[2:])),
}


def test_a_right_reference_passes(digits: Weights, digits_folder: Path) -> None:
    found = passes(digits, digits_folder)
    assert found.images == 100
    assert found.top1 > 90
    assert found.chance == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_and_its_remedy_works(
    digits: Weights, digits_folder: Path, tmp_path: Path, name: str
) -> None:
    mistaken = MISTAKES[name](digits)
    message = refusal(mistaken, digits_folder)
    assert passes(followed(message, mistaken, tmp_path), digits_folder).top1 > 90


@pytest.mark.slow
def test_a_right_reference_of_photographs_passes(photographs: Path, photographed: Weights) -> None:
    assert passes(photographed, photographs).top1 > 75


@pytest.mark.slow
@pytest.mark.parametrize("name", CIFAR_MISTAKES)
def test_a_mistake_with_photographs_is_refused_and_its_remedy_works(
    photographs: Path, photographed: Weights, tmp_path: Path, name: str
) -> None:
    mistaken = CIFAR_MISTAKES[name](photographed)
    message = refusal(mistaken, photographs)
    assert passes(followed(message, mistaken, tmp_path), photographs).top1 > 75


@pytest.fixture(scope="module")
def photographed() -> Weights:
    names = class_names.built_in("cifar10")
    return weights.load(str(cifar10.checkpoint()), find("resnet20"), labels=names)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cifar10.extract("test", 250, tmp_path_factory.mktemp("cifar10"))


def test_force_warns_with_the_same_words(digits: Weights, digits_folder: Path) -> None:
    mistaken = MISTAKES["labels reversed"](digits)
    message = refusal(mistaken, digits_folder)
    log = StageLog(Recorder())
    images = open_images(str(digits_folder), mistaken.labels, split="validation")
    reference = Reference(mistaken.network(), mistaken, "uint8", 1)
    found = check_reference(reference, images, log, force=True)
    assert found is not None
    assert found.refused
    (warning,) = log.warnings
    assert found.problem is not None
    assert found.problem in message
    assert found.problem in warning


def test_what_nothing_explains_names_what_may_be_wrong(
    digits: Weights, digits_folder: Path
) -> None:
    state = {name: each.flip(0) for name, each in digits.state.items()}
    message = refusal(replace(digits, state=state), digits_folder)
    for word in ("no better than chance (10.", "--preprocessing", "channel order", "--labels"):
        assert word in message


def test_the_accuracy_is_held_to_what_is_expected(digits: Weights, digits_folder: Path) -> None:
    top1 = checked(digits, digits_folder).top1
    assert not checked(digits, digits_folder, expected=round(top1, 1)).refused
    message = refusal(digits, digits_folder, expected=76.1)
    assert "leaves out the 76.1 % that --expect-top1 names" in message


def test_without_labels_there_is_nothing_to_hold_to(digits: Weights) -> None:
    reference = Reference(digits.network(), digits, "uint8", 1)
    recorder = Recorder()
    images = SyntheticImages(count=2)
    assert check_reference(reference, images, StageLog(recorder)) is None
    assert recorder.summaries == ["accuracy not checked: the images have no labels"]
    with pytest.raises(UsageError, match="the images have no labels"):
        check_reference(reference, images, StageLog(Recorder()), expected=76.1)


def test_an_untrained_network_is_not_held_to_an_accuracy(digits_folder: Path) -> None:
    untrained = weights.load("random", find("resnet20"), labels=Digits.LABELS)
    reference = Reference(untrained.network(), untrained, "uint8", 1)
    images = open_images(str(digits_folder), untrained.labels, split="validation")
    recorder = Recorder()
    assert check_reference(reference, images, StageLog(recorder)) is None
    assert recorder.summaries == ["accuracy not checked: the network is untrained"]


def test_the_order_of_names_explains_nothing_of_images_without_names(digits: Weights) -> None:
    mistaken = MISTAKES["labels reversed"](digits)
    reference = Reference(mistaken.network(), mistaken, "uint8", 1)
    found = check_reference(reference, Digits(held_out=True), StageLog(Recorder()))
    assert found is not None
    assert found.problem is None


def test_labels_that_are_decided_one_by_one_are_checked() -> None:
    found = check_labels(with_labels_of(LABELS), labelled(LABELS))
    assert isinstance(found, LabelReferenceCheck)
    assert not found.refused
    assert found.problem is None
    assert found.accuracy > found.chance
    assert found.rank > 0.9
    assert [each.name for each in found.ranks] == list(LABELS)


ONE = {"above four": LABELS["above four"]}


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        (ONE, {"above four": (0, 1, 2, 3, 4)}),
        (LABELS, dict(zip(LABELS, [*list(LABELS.values())[1:], LABELS["even"]], strict=True))),
    ],
)
def test_labels_in_another_order_are_refused(
    members: dict[str, tuple[int, ...]], shown: dict[str, tuple[int, ...]]
) -> None:
    """The two outcomes of one output exchanged; five labels moved on by one."""
    loaded, images = with_labels_of(members), labelled(shown)
    with pytest.raises(ReferenceRefusedError) as refused:
        check_labels(loaded, images)
    assert "chance" in str(refused.value)
    assert "--labels" in str(refused.value)
    assert check_labels(loaded, images, force=True) is not None
    right = {name: shown[name] for name in members}
    assert not check_labels(with_labels_of(right), images).refused


@pytest.mark.parametrize("members", [ONE, LABELS])
def test_labels_with_a_wrong_preprocessing_are_refused(
    members: dict[str, tuple[int, ...]],
) -> None:
    """The network sees one corner, enlarged until it is nearly one colour."""
    loaded = with_labels_of(members)
    wrong = replace(loaded.preprocessing, resize=2000, resize_mode="shorter")
    with pytest.raises(ReferenceRefusedError, match="--preprocessing"):
        check_labels(replace(loaded, preprocessing=wrong), labelled(members, 100))


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (SyntheticImages(4), "the images have no labels"),
        (labelled({"above four": ()}), "no label is on some of the images"),
    ],
)
def test_a_reference_that_nothing_checks_is_an_assumption(images: Any, why: str) -> None:
    loaded = with_labels_of(ONE)
    assert check_labels(loaded, images) is None
    (assumed,) = unchecked(loaded, "classifier", images)
    assert assumed.subject is Subject.REFERENCE
    assert why in assumed.what
    assert unchecked(replace(loaded, trained=False), "classifier", images) == ()
    assert unchecked(loaded, "classifier", labelled(ONE)) == ()
    with pytest.raises(UsageError, match="decided one by one"):
        check_labels(loaded, images, expected=90)
