"""A plan behind a real Triton on a GPU: the container's, or the wheel's with our backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resnet_client import Classifier
from resnet_convert import Conversion
from resnet_serve import Server
from resnet_serve.datasets.digits import Digits
from resnet_serve.loadtest import perf_program
from resnet_serve.loadtest.offered import Offered
from resnet_serve.loadtest.perf_analyzer import measure

pytestmark = [pytest.mark.gpu, pytest.mark.triton]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_digits_are_classified_through_the_server(
    engines: Callable[[str, str], Conversion], precision: str
) -> None:
    conversion = engines("resnet20", precision)
    digits = Digits(held_out=True)
    with (
        Server(conversion.request.repository, port=0, timeout_s=300) as server,
        Classifier(server.grpc, conversion.name) as classifier,
    ):
        answers = list(classifier.classify_many(map(digits.image, range(64)), top=1))
    right = sum(
        answer.predictions[0].index == label
        for answer, label in zip(answers, digits.labels, strict=False)
    )
    assert right >= 62


@pytest.mark.timeout(900)
@pytest.mark.perf_analyzer
def test_perf_analyzer_measures_it(engines: Callable[[str, str], Conversion]) -> None:
    conversion = engines("resnet50", "int8")
    with Server(conversion.request.repository, port=0, timeout_s=300) as server:
        found = measure(
            conversion.name,
            server.grpc,
            [Offered(1), Offered(4)],
            program=perf_program.find_or_provision,
        )
    assert [level.concurrency for level in found.levels] == [1, 4]
    assert all(level.throughput_per_s > 0 for level in found.levels)
