"""One execute, few runs: requests whose shapes agree share one, and a fault stays with its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]


def answers(
    feeds: Mapping[int, Arrays], run: Run, *, batched: bool
) -> dict[int, Arrays | Exception]:
    """What `run` makes of each feed, under the feed's own key; the batch is the first dimension."""
    if not batched:
        return {key: _run([feed], run)[0] for key, feed in feeds.items()}
    groups: dict[Any, list[int]] = defaultdict(list)
    for key, feed in feeds.items():
        groups[tuple((name, feed[name].shape[1:]) for name in sorted(feed))].append(key)
    return {
        key: answer
        for keys in groups.values()
        for key, answer in zip(keys, _run([feeds[key] for key in keys], run), strict=True)
    }


def _run(feeds: Sequence[Arrays], run: Run) -> Sequence[Arrays | Exception]:
    """One run for all; if it fails, one each, so that a fault stays with its request."""
    try:
        if len(feeds) == 1:
            return [run(feeds[0])]
        merged = run({name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]})
    except Exception as error:  # noqa: BLE001 - becomes the answer to the request
        if len(feeds) == 1:
            return [error]
        return [answer for feed in feeds for answer in _run([feed], run)]
    ends = np.cumsum([len(next(iter(feed.values()))) for feed in feeds])[:-1]
    parts = {name: np.split(array, ends) for name, array in merged.items()}
    return [{name: parts[name][index] for name in parts} for index in range(len(feeds))]
