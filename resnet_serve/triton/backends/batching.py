"""Batching within one execute: requests of equal shapes share a run, errors stay separate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from resnet_serve.triton.backends.stub import Arrays

Run = Callable[[Arrays], Arrays]


def groups(feeds: Mapping[int, Arrays], *, batched: bool) -> list[list[int]]:
    """The keys of the feeds that can share a run: same inputs, same shapes but for the batch."""
    if len(feeds) == 1 or not batched:
        return [[key] for key in feeds]
    found: dict[Any, list[int]] = defaultdict(list)
    for key, feed in feeds.items():
        found[tuple((name, feed[name].shape[1:]) for name in sorted(feed))].append(key)
    return list(found.values())


def run_group(feeds: Sequence[Arrays], run: Run) -> list[Arrays | Exception]:
    """One run for all feeds, in order; if it fails, one each, so that the others still succeed."""
    try:
        return [run(feeds[0])] if len(feeds) == 1 else [*_concatenated(feeds, run)]
    except Exception as error:  # noqa: BLE001 - becomes the response to the request
        if len(feeds) == 1:
            return [error]
    return [outputs for feed in feeds for outputs in run_group([feed], run)]


def _concatenated(feeds: Sequence[Arrays], run: Run) -> Iterator[Arrays]:
    outputs = run({name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
    start = 0
    for feed in feeds:
        end = start + len(next(iter(feed.values())))
        yield {name: array[start:end] for name, array in outputs.items()}
        start = end
