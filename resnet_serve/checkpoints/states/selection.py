"""Selection: one of the networks in a file, by `--ema` and `--weights-key`; nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from resnet_serve.checkpoints.states.containers import shortened
from resnet_serve.errors import InputFileError, Note

SAVE_STATE = "Save the network's state_dict() and give that file."
ROOT = "."  # as a key: the names without a prefix
# Where Lightning's WeightAveraging saves the average, and what it replaced there (2.5.2 and later).
_AVERAGE, _TRAINED = "state_dict", "current_model_state"


class Placed(Protocol):
    """What `one_of` chooses from: a network in its place."""

    @property
    def place(self) -> str:
        """The keys and prefixes that lead to it, joined by dots."""

    @property
    def averaged(self) -> bool:
        """Whether it is an averaged copy."""


PlacedT = TypeVar("PlacedT", bound=Placed)


def one_of(
    networks: Sequence[PlacedT], path: Path, *, ema: bool, key: str | None
) -> tuple[PlacedT, tuple[str, ...]]:
    """The network that the options choose, and notices for the user.

    Raises `InputFileError` where they choose none, or more than one.
    """
    swapped = {_root(each) for each in networks} >= {_AVERAGE, _TRAINED}

    def is_average(network: PlacedT) -> bool:
        return network.averaged or (swapped and _root(network) == _AVERAGE)

    averaged = [each for each in networks if is_average(each)]
    plain = [each for each in networks if not is_average(each)]
    if ema and not averaged:
        raise InputFileError(
            "contains no averaged copy (EMA) of the network", where=path, remedy="Omit --ema."
        )
    if key is not None:
        chosen = _keyed(averaged if ema else networks, path, key)
        return chosen, (_used(chosen),) * chosen.averaged
    if not ema and not plain:
        raise InputFileError(
            f"contains only an averaged copy (EMA) of the network, in {listed(averaged)}",
            where=path,
            remedy="Give --ema to use it.",
        )
    if swapped and not ema:
        raise InputFileError(
            f"contains the average of the weights, in {_AVERAGE}, and those of the last step, in "
            f"{_TRAINED} (Lightning's WeightAveraging)",
            where=path,
            remedy=f"Give --ema for the average, or --weights-key {_TRAINED}.",
        )
    candidates = averaged if ema else plain
    if len(candidates) > 1:
        raise InputFileError(
            f"contains more than one network: {listed(candidates)}",
            where=path,
            remedy=choosing(candidates),
        )
    network = candidates[0]
    if ema:
        return network, (_used(network),)
    if averaged:
        where = listed(averaged)
        return network, (f"{path} also contains an averaged copy (EMA), in {where}; --ema uses it",)
    return network, ()


def _root(network: Placed) -> str:
    """The first of the keys that lead to it."""
    return network.place.partition(".")[0]


def _used(network: Placed) -> Note:
    """What is said where an option asked for the averaged copy."""
    return Note(f"the averaged copy (EMA) in {network.place} is used")


def _keyed(networks: Sequence[PlacedT], path: Path, key: str) -> PlacedT:
    wanted = "" if key == ROOT else key
    exact = [each for each in networks if each.place == wanted]
    ends = [each for each in networks if wanted and each.place.endswith(f".{wanted}")]
    chosen = exact or ends
    if len(chosen) != 1:
        fault = f"more than one network under the key {key!r}" if chosen else f"no network {key!r}"
        within = [each for each in networks if each.place.startswith(f"{wanted}.")]
        raise InputFileError(
            f"contains {fault}; it contains {listed(chosen or networks)}",
            where=path,
            remedy=choosing(chosen or within or networks),
        )
    return chosen[0]


def none_in(path: Path, loaded: object = None) -> InputFileError:
    """The error for a file without tensors by name; `loaded` is what it holds."""
    held = [str(key) for key in loaded] if isinstance(loaded, Mapping) else []
    return InputFileError(
        "contains no state dict (a mapping of parameter names to tensors)"
        + (f", but {shortened(held)}" if held else ""),
        where=path,
        remedy=SAVE_STATE,
    )


def listed(networks: Sequence[PlacedT]) -> str:
    """The places of at most ten networks."""
    return shortened([each.place or f"the names without a prefix ({ROOT})" for each in networks])


def choosing(networks: Sequence[PlacedT]) -> str:
    """The remedy that chooses one of several networks."""
    place = next((each.place for each in networks if each.place), ROOT)
    return f"Choose one, such as --weights-key {place}"
