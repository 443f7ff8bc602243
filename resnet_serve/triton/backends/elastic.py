"""Elastic: a lone image runs on all cores, several run in the way that is fastest on this CPU.

    one image                               on all cores
    several, fewer than `one_per_core_below`   one image per core; what is left over, on all cores
    as many or more                         as one batch on all cores

Which of them is the fastest differs by runtime, network and CPU. The conversion measures it and
writes the number into config.pbtxt; native backends ignore the parameter, and run batches.

The images are those that Triton hands over together, and `execute` returns when all of them have
their outputs. Since 24.06 a backend may return at once and respond later from its own threads
(python_backend #364). That is not used here: with the return Triton releases the requests
(python_backend, src/python_be.cc, `TRITONBACKEND_ModelInstanceExecute`). From then on a stopping
server does not wait for them, the statistics have counted no time of computing, and what waits
does so outside of the queue that has a bound and timeouts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np

from resnet_serve.triton.backends.batching import groups, run_group
from resnet_serve.triton.backends.contract import count_parameter
from resnet_serve.triton.backends.stub import Arrays

ONE_PER_CORE_BELOW = "one_per_core_below"
# The wanted outputs of one batch.
Engine: TypeAlias = Callable[[Sequence[str], Arrays], Arrays]
Outputs: TypeAlias = Arrays | Exception


def one_per_core_below(config: Mapping[str, Any]) -> int:
    """The parameter of a configuration; 0 where it has none, so that several images are a batch.

    Raises `ContractError` for what is no number.
    """
    return count_parameter(config, ONE_PER_CORE_BELOW)


def on_single_cores(images: int, *, cores: int, below: int) -> int:
    """How many of the images that wait together run one per core; the others run on all cores."""
    return images // cores * cores if 1 < cores <= images < below else 0


class SingleCores(Protocol):
    """What runs images one per core."""

    count: int

    def run_each(self, names: Sequence[str], images: Sequence[Arrays]) -> list[Outputs]:
        """The wanted outputs of each image, or the exception that it raised."""

    def close(self) -> None:
        """End its threads."""


class Elastic:
    """The engines of one model: `whole` uses all cores, `single` one core per image."""

    def __init__(self, whole: Engine, single: SingleCores | None = None, *, below: int = 0) -> None:
        self._whole, self._single, self._below = whole, single, below

    def run(
        self, feeds: Mapping[int, Arrays], names: Mapping[int, Sequence[str]], *, batched: bool
    ) -> dict[int, Outputs]:
        """The outputs of each feed under its key, or the exception that its own run raised.

        `names` are the outputs that each wants. The batch is the first dimension of every array;
        without `batched`, each feed runs alone.
        """
        found: dict[int, Outputs] = {}
        for keys in groups(feeds, batched=batched):
            wanted = list(dict.fromkeys(name for key in keys for name in names[key]))
            together = [feeds[key] for key in keys]
            count = self._on_single_cores(together) if batched else 0
            if self._single is not None and count:
                outputs = self._divided(self._single, wanted, together, count)
            else:
                outputs = run_group(together, partial(self._whole, wanted))
            found.update(zip(keys, outputs, strict=True))
        return found

    def close(self) -> None:
        """End the threads."""
        if self._single is not None:
            self._single.close()

    def _on_single_cores(self, feeds: Sequence[Arrays]) -> int:
        if self._single is None:
            return 0
        sizes = [{array.shape[:1] for array in feed.values()} for feed in feeds]
        if any(len(each) != 1 or each <= {(), (0,)} for each in sizes):  # inputs without a batch
            return 0
        images = sum(size for each in sizes for (size,) in each)
        return on_single_cores(images, cores=self._single.count, below=self._below)

    def _divided(
        self, single: SingleCores, names: Sequence[str], feeds: Sequence[Arrays], count: int
    ) -> list[Outputs]:
        """The first `count` images one per core, then the rest of every feed together."""
        images: list[tuple[int, Arrays]] = []
        rest: list[tuple[int, Arrays]] = []
        for place, feed in enumerate(feeds):
            size = len(next(iter(feed.values())))
            alone = min(size, count - len(images))
            images += [(place, _rows(feed, row, row + 1)) for row in range(alone)]
            if alone < size:
                rest.append((place, _rows(feed, alone, size)))
        outputs = single.run_each(names, [feed for _, feed in images])
        if rest:
            outputs += run_group([feed for _, feed in rest], partial(self._whole, names))
        parts: list[list[Outputs]] = [[] for _ in feeds]
        for (place, _), part in zip([*images, *rest], outputs, strict=True):
            parts[place].append(part)
        return [_joined(each) for each in parts]


def _rows(feed: Arrays, start: int, end: int) -> Arrays:
    """Some images of a feed, not copied."""
    return {name: array[start:end] for name, array in feed.items()}


def _joined(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of a feed from those of its parts, or the first exception among them."""
    if len(parts) == 1:
        return parts[0]
    failed = next((each for each in parts if isinstance(each, Exception)), None)
    if failed is not None:
        return failed
    outputs = list(_succeeded(parts))
    return {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}


def _succeeded(parts: Sequence[Outputs]) -> Iterator[Arrays]:
    return (each for each in parts if not isinstance(each, Exception))
