"""The class names of a network: from where, in which order, and when they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.checkpoints.statements import Count, Names, Statements
from resnet_serve.datasets.class_labels.wordnet import synsets
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.weights import class_names
from resnet_serve.weights.classes import decide

FILE = Path("net.pth")
TWO = Statements(names=(Names("class_to_idx", ("cat", "dog")),))


def test_the_names_of_the_file_are_used_and_that_is_said() -> None:
    found = decide(2, None, FILE, statements=TWO)
    assert found.labels == ("cat", "dog")
    assert found.notices == ("the class names are those of class_to_idx in net.pth",)


def test_given_names_in_another_order_are_refused_and_other_names_are_taken() -> None:
    with pytest.raises(InputFileError, match=r"different orders: class 0 is 'dog'.*Omit --labels"):
        decide(2, ("dog", "Cat"), FILE, statements=TWO)
    assert decide(2, ("chat", "chien"), FILE, statements=TWO).labels == ("chat", "chien")
    assert decide(2, ("cat", "dog"), FILE, statements=TWO).labels == ("cat", "dog")


def test_two_fields_that_contradict_each_other_are_refused_and_the_remedy_works() -> None:
    both = Statements(names=(*TWO.names, Names("classes", ("dog", "cat"))))
    with pytest.raises(InputFileError, match="Give --labels FILE in the order of class_to_idx"):
        decide(2, None, FILE, statements=both)
    assert decide(2, ("cat", "dog"), FILE, statements=both).labels == ("cat", "dog")


def test_too_few_or_too_many_names_are_left_out_and_that_is_said() -> None:
    found = decide(3, None, FILE, statements=TWO, beside=("a",) * 1000)
    assert found.labels == ("class 0", "class 1", "class 2")
    assert found.notices == (
        "class_to_idx has 2 names for 3 classes: it is not used",
        "config.json has 1000 names for 3 classes: it is not used",
    )
    with pytest.raises(UsageError, match="2 labels for a network of 3 classes"):
        decide(3, ("a", "b"), FILE)


def test_placeholders_of_transformers_name_nothing() -> None:
    assert decide(2, None, FILE, beside=("LABEL_0", "LABEL_1")).labels == ("class 0", "class 1")


def test_wordnet_ids_are_imagenet_s_names_and_have_its_order() -> None:
    ids = class_names.wordnet_ids()
    said = Statements(names=(Names("class_to_idx", ids),))
    found = decide(1000, None, FILE, statements=said)
    assert found.labels == class_names.built_in("imagenet1k")
    assert found.assumptions == ()
    backwards = tuple(reversed(class_names.built_in("imagenet1k")))
    with pytest.raises(InputFileError, match="different orders"):
        decide(1000, backwards, FILE, statements=said)


def test_long_names_of_imagenet_are_the_short_ones_in_their_order() -> None:
    said = Statements(names=(Names("classes", synsets()),))
    short = class_names.built_in("imagenet1k")
    assert decide(1000, short, FILE, statements=said).labels == short
    assert decide(1000, None, FILE, statements=said).labels == synsets()
    with pytest.raises(InputFileError, match="different orders"):
        decide(1000, tuple(reversed(short)), FILE, statements=said)


def test_the_shipped_wordnet_ids_are_a_thousand_in_order() -> None:
    ids = class_names.wordnet_ids()
    assert len(set(ids)) == 1000
    assert list(ids) == sorted(ids)
    named = dict(zip(ids, class_names.built_in("imagenet1k"), strict=True))
    known = {"n01440764": "tench", "n02123045": "tabby", "n02099601": "golden retriever"}
    assert {key: named[key] for key in known} == known


def test_a_checkpoint_with_class_to_idx_is_served_with_its_names(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    numbers = {f"digit {9 - index}": index for index in range(10)}
    torch.save({"state_dict": state, "class_to_idx": numbers}, tmp_path / "net.pth")
    found = weights.load(str(tmp_path / "net.pth"), find("resnet20"))
    assert found.labels[0] == "digit 9"


def test_another_number_of_classes_is_refused_and_the_remedy_works(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = tmp_path / "net.pth"
    torch.save({"state_dict": state, "hyper_parameters": {"num_classes": 1000}}, path)
    wrong = r"num_classes is 1,000, and its classifier has 10 outputs"
    with pytest.raises(InputFileError, match=wrong) as caught:
        weights.load(str(path), find("resnet20"))
    assert "--labels FILE with 10 names" in str(caught.value.remedy)
    names = tuple(f"digit {index}" for index in range(10))
    found = weights.load(str(path), find("resnet20"), labels=names)
    assert any("1,000, and --labels has 10: these are used" in each for each in found.notices)
    features = weights.load(str(path), find("resnet20"), reading=Reading(classifier=False))
    assert features.architecture.classes == 10


def test_one_output_decides_between_two_classes() -> None:
    two = Statements(counts=(Count("args.num_classes", 2),))
    assert decide(1, None, FILE, statements=two).labels == ("class 0",)
    with pytest.raises(InputFileError, match=r"is 2, and its classifier has 3 outputs"):
        decide(3, None, FILE, statements=two)
