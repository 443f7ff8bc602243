"""Load the weights that a request names, for a conversion and to time a deployed version again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from resnet_convert.request.request import Request
from resnet_serve import weights
from resnet_serve.datasets import check_label_count
from resnet_serve.weights import Weights, class_names, custom_modules


def load_weights(
    request: Request, progress: Callable[[int, int], None], *, header: bool = False
) -> Weights:
    """The weights, strictly; of a network without classes, without those.

    With `header` a file of a hub is not downloaded, and its tensors have no values.
    Raises what the loaders raise.
    """
    reading = replace(request.reading, header=header)
    labels = None if request.labels is None else class_names.resolve(request.labels)
    if request.module is not None:
        loaded = custom_modules.load(
            request.module,
            request.weights,
            labels=labels,
            reading=reading,
            progress=progress,
        )
    else:
        loaded = weights.load(
            request.weights_spec,
            request.architecture,
            labels=labels,
            reading=reading,
            progress=progress,
        )
        check_label_count(loaded.labels, loaded.architecture.classes)
    if not request.classifies:
        return loaded.without_classes()
    return replace(loaded, notices=(*loaded.notices, *class_names.repeated(loaded.labels)))
