"""One execute, few runs: requests whose shapes agree share one, and a fault stays with its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]


def answers(
    feeds: Mapping[int, Arrays], run: Run, *, batched: bool
) -> dict[int, Arrays | Exception]:
    """What `run` makes of each feed, under the feed's own key; the batch is the first dimension."""
    return {
        key: answer
        for keys in alike(feeds, batched=batched)
        for key, answer in zip(keys, together([feeds[key] for key in keys], run), strict=True)
    }


def alike(feeds: Mapping[int, Arrays], *, batched: bool) -> list[list[int]]:
    """The keys of the feeds that can share a run: same inputs, same shapes but for the batch."""
    if len(feeds) == 1 or not batched:
        return [[key] for key in feeds]
    groups: dict[Any, list[int]] = defaultdict(list)
    for key, feed in feeds.items():
        groups[tuple((name, feed[name].shape[1:]) for name in sorted(feed))].append(key)
    return list(groups.values())


def together(feeds: Sequence[Arrays], run: Run) -> list[Arrays | Exception]:
    """One run for all; if it fails, one each, so that a fault stays with its request."""
    try:
        return [run(feeds[0])] if len(feeds) == 1 else [*_merged(feeds, run)]
    except Exception as error:  # noqa: BLE001 - becomes the answer to the request
        if len(feeds) == 1:
            return [error]
    return [answer for feed in feeds for answer in together([feed], run)]


def _merged(feeds: Sequence[Arrays], run: Run) -> Iterator[Arrays]:
    outputs = run({name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
    start = 0
    for feed in feeds:
        end = start + len(next(iter(feed.values())))
        yield {name: array[start:end] for name, array in outputs.items()}
        start = end
