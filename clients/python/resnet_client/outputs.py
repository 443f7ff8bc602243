"""The predictions for a batch, from as few outputs of the network as they need.

    softmax, or a sigmoid without `top`    all logits as numbers, 4 bytes each
    the others                             the largest `top`, by the classification extension

The extension alone has labels. Those of all classes are asked for once per contract, with an
inference of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from resnet_client.contract import OUTPUT, Contract
from resnet_client.errors import ServerError
from resnet_client.prediction import (
    DEFAULT_TOP,
    Prediction,
    from_logits,
    from_strings,
    labels_in,
    needs_all,
)
from resnet_client.sharing import SharedInputs
from resnet_client.transport.connection import Connection
from resnet_client.transport.deadlines import Deadline


class VersionChangedError(Exception):
    """Another version than the images were prepared for computed the request."""


class Outputs:
    """The outputs of one model in `version`, "" the latest, read as predictions.

    Without `probabilities`, a softmax is read as raw scores. Threads may share it.
    """

    def __init__(
        self, connection: Connection | SharedInputs, version: str, *, probabilities: bool
    ) -> None:
        self._connection = connection
        self._version = version
        self._probabilities = probabilities
        self._known: tuple[Contract, tuple[str, ...]] | None = None

    def predictions(
        self, contract: Contract, batch: NDArray[Any], top: int | None, deadline: Deadline
    ) -> Iterator[tuple[Prediction, ...]]:
        """The predictions for each element of a batch [n,…].

        Raises `VersionChangedError`, and what a request raises.
        """
        activation = contract.activation
        if needs_all(top, activation) and (self._probabilities or not activation.decides_classes):
            labels = self._labels(contract, batch[:1], deadline)
            for logits in self._outputs(contract, batch, 0, deadline):
                yield from_logits(logits, labels, top, activation)
        else:
            wanted = min(top or DEFAULT_TOP, contract.classes)
            for strings in self._outputs(contract, batch, wanted, deadline):
                yield from_strings(strings, contract.classes, top, activation)

    def _labels(
        self, contract: Contract, batch: NDArray[Any], deadline: Deadline
    ) -> tuple[str, ...]:
        known = self._known
        if known is not None and known[0] is contract:
            return known[1]
        (strings,) = self._outputs(contract, batch, contract.classes, deadline)
        labels = labels_in(strings)
        self._known = contract, labels
        return labels

    def _outputs(
        self, contract: Contract, batch: NDArray[Any], classes: int, deadline: Deadline
    ) -> NDArray[Any]:
        """The logits [n,classes], or the strings of the best `classes` of each [n,classes]."""
        version, outputs = self._connection.infer(
            contract.model,
            self._version,
            input_name=contract.input,
            batch=batch,
            outputs=[OUTPUT],
            classes=classes,
            deadline=deadline,
        )
        if version != contract.version:
            raise VersionChangedError
        found, shape = outputs.get(OUTPUT), (len(batch), classes or contract.classes)
        if found is None or found.shape != shape:
            given = "nothing" if found is None else list(found.shape)
            raise ServerError(
                f"{OUTPUT!r} is {given}, not {list(shape)}", where=f"model {contract.model!r}"
            )
        return found
