"""The classifier for asyncio: the same results, in any order of waiting, and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE_S, until
from scripted_triton import Reluctant, start
from served_digits import Pictures

from resnet_client import (
    AsyncClassifier,
    BadImageError,
    Classifier,
    DeadlineError,
    UnavailableError,
    UsageError,
)

IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.triton
def test_many_tasks_get_what_one_thread_gets(url: str, pictures: Pictures) -> None:
    paths = pictures.paths[:40]
    with Classifier(url, "resnet20") as plain:
        expected = [plain.classify(path) for path in paths]

    async def ask() -> list[Any]:
        async with AsyncClassifier(url, "resnet20", timeout_s=PATIENCE_S) as classifier:
            await classifier.wait_ready()
            return await asyncio.gather(*map(classifier.classify, paths))

    assert asyncio.run(ask()) == expected


@pytest.mark.triton
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_keeps_its_order_and_counts(
    url: str, pictures: Pictures, tmp_path: Path, asynchronous: bool
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    paths = [*pictures.paths[:9], tmp_path / "broken.png", *pictures.paths[9:29]]
    read = 0

    async def one_by_one() -> AsyncIterator[Path]:
        nonlocal read
        for path in paths:
            read += 1
            yield path
            await asyncio.sleep(0)

    async def ask() -> tuple[list[Any], list[int]]:
        counts: list[int] = []
        async with AsyncClassifier(url, "resnet20", concurrency=2) as classifier:
            given = one_by_one() if asynchronous else paths
            found = []
            async for result in classifier.classify_many(given, 1, 4, progress=counts.append):
                found.append(result)
                assert not asynchronous or read <= len(found) + 4 * 4
        return found, counts

    found, counts = asyncio.run(ask())
    assert [each.image for each in found] == paths
    assert counts == list(range(1, 31))
    assert isinstance(found[9].error, BadImageError)
    labels = [each.predictions[0].label for each in found if each.error is None]
    right = [a == b for a, b in zip(labels, pictures.labels, strict=False)]
    assert sum(right) >= 0.9 * len(right)


def test_a_cancelled_task_leaves_its_request_to_the_server() -> None:
    """A cancelled call near its response crashes the server."""
    reluctant = Reluctant()
    server = start(reluctant)
    reluctant.pause_s = PATIENCE_S

    async def ask() -> None:
        async with AsyncClassifier(server.url, "digits") as classifier:
            connection = classifier._classifier._connection
            request = {"input_name": "image", "batch": IMAGE[None], "outputs": ["logits"]}
            running = asyncio.ensure_future(
                classifier._run(lambda: connection.infer("digits", "", classes=1, **request))
            )
            assert await asyncio.to_thread(until, lambda: bool(reluctant.calls))
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            reluctant.released.set()

    asyncio.run(ask())
    server.stop()
    assert reluctant.outcomes == ["answered"]


def test_the_timeout_counts_while_all_threads_are_busy() -> None:
    reluctant = Reluctant()
    server = start(reluctant)
    reluctant.refusals = 100_000

    async def ask() -> list[Any]:
        url = server.url
        async with AsyncClassifier(url, "digits", concurrency=1, timeout_s=0.5) as classifier:
            asked = [classifier.classify(IMAGE) for _ in range(5)]
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 60)

    began = asyncio.run(ask())
    server.stop()
    assert {type(each) for each in began} <= {UnavailableError, DeadlineError}


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="concurrency must be at least 1"):
        AsyncClassifier("127.0.0.1:1", "digits", concurrency=0)
    with pytest.raises(UsageError, match="model is a text, not None"):
        AsyncClassifier("127.0.0.1:1", None)  # type: ignore[arg-type]

    async def ask() -> None:
        async with AsyncClassifier("127.0.0.1:1", "digits") as classifier:
            with pytest.raises(UsageError, match="top is a whole number"):
                await classifier.classify(IMAGE, "5")  # type: ignore[arg-type]
            with pytest.raises(UsageError, match="needs several images"):
                async for _ in classifier.classify_many("a.png"):
                    pass
            with pytest.raises(UnavailableError, match="no server answers"):
                await classifier.wait_ready(0.3)

    asyncio.run(ask())
