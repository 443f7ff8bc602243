"""What checkpoint files say beside their tensors, as training scripts and libraries write it."""

from __future__ import annotations

from argparse import Namespace

import pytest

from resnet_serve.checkpoints import statements
from resnet_serve.checkpoints.statements import Count, Names, Said


@pytest.mark.parametrize(
    ("loaded", "said"),
    [
        ({"arch": "resnet50", "state_dict": {}}, Said("arch", "resnet50")),
        (
            {"hyper_parameters": {"model_name": "resnet18", "lr": 0.1}},
            Said("hyper_parameters.model_name", "resnet18"),
        ),
        ({"args": Namespace(arch="resnet34", epochs=3)}, Said("args.arch", "resnet34")),
        ({"model": {"arch": "plain20", "state_dict": {}}}, Said("model.arch", "plain20")),
    ],
)
def test_the_network_is_found_where_training_scripts_put_it(loaded: object, said: Said) -> None:
    assert statements.of(loaded, {}).networks == (said,)


@pytest.mark.parametrize(
    ("loaded", "field", "names"),
    [
        ({"class_to_idx": {"dog": 1, "cat": 0}}, "class_to_idx", ("cat", "dog")),
        ({"idx_to_class": {1: "dog", 0: "cat"}}, "idx_to_class", ("cat", "dog")),
        ({"classes": ["cat", "dog"]}, "classes", ("cat", "dog")),
        ({"class_names": [b"cat", b"dog"]}, "class_names", ("cat", "dog")),
        ({"idx_to_class": [(1, "dog"), (0, "cat")]}, "idx_to_class", ("cat", "dog")),
        (
            {"meta": {"dataset_meta": {"classes": ("cat", "dog")}}},
            "meta.dataset_meta.classes",
            ("cat", "dog"),
        ),
        ({"meta": {"CLASSES": ["cat", "dog"]}}, "meta.CLASSES", ("cat", "dog")),
        ({"hparams": {"class_names": ["a b", "c"]}}, "hparams.class_names", ("a b", "c")),
        ({"class_to_idx": {"cat": 0, "dog": 2}}, "class_to_idx", ()),
    ],
)
def test_class_names_are_in_the_order_of_their_numbers(
    loaded: object, field: str, names: tuple[str, ...]
) -> None:
    assert statements.of(loaded, {}).names == (Names(field, names),)


def test_numbered_names_are_believed_before_lists() -> None:
    loaded = {"classes": ["cat", "dog"], "class_to_idx": {"dog": 0, "cat": 1}}
    assert [each.field for each in statements.of(loaded, {}).names] == ["class_to_idx", "classes"]


@pytest.mark.parametrize("loaded", [None, [1], {"classes": "10"}, {"labels": [0, 1]}, {"arch": ""}])
def test_what_names_nothing_is_not_recorded(loaded: object) -> None:
    assert statements.of(loaded, {}) == statements.Statements()


def test_the_metadata_of_a_safetensors_file_counts() -> None:
    found = statements.of({}, {"arch": "resnet50", "class_to_idx": '{"dog": 0}', "format": "pt"})
    assert found.networks == (Said("metadata.arch", "resnet50"),)
    assert found.names == (Names("metadata.class_to_idx", ("dog",)),)


@pytest.mark.parametrize(
    ("loaded", "count"),
    [
        ({"num_classes": 7}, Count("num_classes", 7)),
        ({"args": Namespace(nb_classes=7)}, Count("args.nb_classes", 7)),
        ({"hyper_parameters": {"n_classes": 7}}, Count("hyper_parameters.n_classes", 7)),
        (
            {"config": {"model": {"num_labels": 7, "name": "x"}}},
            Count("config.model.num_labels", 7),
        ),
        ({"classes": 7}, Count("classes", 7)),
    ],
)
def test_numbers_of_classes_are_found_in_settings(loaded: object, count: Count) -> None:
    assert statements.of(loaded, {}).counts == (count,)


def test_the_configuration_of_openmmlab_names_the_network_and_counts_its_classes() -> None:
    text = "model = dict(backbone=dict(type='ResNet', depth=50), head=dict(num_classes=7))"
    found = statements.of({"meta": {"cfg": text}, "state_dict": {}}, {})
    assert found.networks == (Said("meta.cfg", "resnet50"),)
    assert found.counts == (Count("meta.cfg", 7),)


def test_numbers_that_count_no_classes() -> None:
    assert statements.of({"num_classes": None, "args": {"num_classes": True}}, {}).counts == ()
    deeper = {"args": {"pretrained_cfg": {"num_classes": 1000}}}
    assert statements.of(deeper, {}).counts == ()
    assert statements.of({"pretrained_cfg": {"num_classes": 1000}}, {}).counts == ()


def test_fields_for_names_that_hold_something_else_are_named() -> None:
    loaded = {"class_names": {"array": [1, 2]}, "args": {"class_to_idx": "file.json"}, "names": 3}
    assert statements.of(loaded, {}).unread == ("class_names", "args.class_to_idx")
