"""A configuration as config.pbtxt: what changes, and what stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tunable
from repositories import at

from resnet_serve import passport
from resnet_serve.triton import config, queue_bound
from resnet_serve.triton.repository import CONFIG_FILE, Repository
from resnet_serve.tuning.configuration import Configuration, around, unbounded, written

CONVERTED = {"onnxruntime": "fp32", "openvino": "int8"}


@pytest.fixture(params=CONVERTED)
def version(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    repository = Repository(tmp_path / "repository")
    tunable.deploy(repository, target=request.param, precision=CONVERTED[request.param])
    return repository.path / "net" / "1"


def own(folder: Path) -> object:
    return config.parse((folder / CONFIG_FILE).read_text())


def test_what_is_deployed_is_read_and_written_again(version: Path) -> None:
    document = passport.read(version / passport.FILE_NAME)
    assert isinstance(document, passport.ConvertedPassport)
    default = Configuration.deployed(1, document.contract, own(version))
    assert default == tunable.configuration()
    assert written(own(version), document, default) == own(version)


def test_it_is_what_the_converter_writes_for_these_numbers(version: Path) -> None:
    document = passport.read(version / passport.FILE_NAME)
    assert isinstance(document, passport.ConvertedPassport)
    wanted = tunable.configuration(
        instances=2, threads=3, max_batch_size=16, delay_ms=1.5, one_per_core_below=8
    )
    made = written(own(version), document, wanted)
    expected = config.classifier(
        "net",
        target=passport_target(document),
        input_kind="uint8",
        preprocessing=document.contract.preprocessing,
        serving=config.Serving(max_batch_size=16, instances=2, threads=3, one_per_core_below=8),
        classes=document.classes or 0,
        precision=document.precision,
        queue=queue_bound.bound_of(own(version)),
    )
    expected.dynamic_batching.max_queue_delay_microseconds = 1500
    assert made == expected
    assert Configuration.deployed(1, contract_of(document, 2, 3), made) == wanted
    alone = written(made, document, tunable.configuration())
    assert alone == own(version), "nothing of it is left"


def contract_of(document: passport.ConvertedPassport, instances: int, threads: int) -> object:
    return replace(document.contract, instances=instances, threads=threads)


def passport_target(document: passport.ConvertedPassport) -> object:
    from resnet_serve.runtimes import TARGETS

    return TARGETS[document.target]


def test_without_batches_there_is_no_padding_and_no_delay(version: Path) -> None:
    document = passport.read(version / passport.FILE_NAME)
    assert isinstance(document, passport.ConvertedPassport)
    made = written(own(version), document, tunable.configuration(max_batch_size=1))
    assert made.max_batch_size == 1
    assert "ENABLE_BATCH_PADDING" not in made.parameters
    assert [each.batch_size for each in made.model_warmup] == [1]
    assert queue_bound.bound_of(made) == queue_bound.bound_of(own(version))
    assert not unbounded(made).HasField("dynamic_batching")


def test_the_models_around_it_take_the_same_batches(version: Path) -> None:
    image = own(at(version.parent.parent, "net_image/1"))
    made = around(image, tunable.configuration(max_batch_size=16))
    assert made.max_batch_size == 16
    assert made.ensemble_scheduling == image.ensemble_scheduling


def test_the_bound_is_taken_away_and_the_batching_stays(version: Path) -> None:
    made = unbounded(own(version))
    assert queue_bound.bound_of(made) == queue_bound.UNBOUNDED
    assert made.HasField("dynamic_batching")
    assert made.instance_group == own(version).instance_group


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "1 instance × 1 thread, batches up to 4"),
        (
            {"instances": 2, "threads": 4, "delay_ms": 1.0},
            "2 instances × 4 threads, batches up to 4, 1 ms queue delay",
        ),
        ({"max_batch_size": 1}, "1 instance × 1 thread, no batches"),
        (
            {"threads": 2, "one_per_core_below": 17},
            "1 instance × 2 threads, batches up to 4 divided among the threads",
        ),
        (
            {"threads": 2, "one_per_core_below": 3},
            "1 instance × 2 threads, batches up to 4 divided among the threads below 3",
        ),
    ],
)
def test_it_says_what_it_is(changes: dict[str, object], text: str) -> None:
    assert str(tunable.configuration(**changes)) == text
