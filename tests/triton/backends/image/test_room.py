"""Room for decoded images: when a decoder waits, for which networks, and for how long at most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny_repository import write

from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton import config
from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.image.room import (
    DECODED_WAIT,
    LONGEST_WAIT_S,
    LOOK_AGAIN_S,
    Room,
    decoded_wait,
    networks,
)
from resnet_serve.triton.backends.pending import Counts, Pending
from resnet_serve.triton.config import Serving, Step

DECODE_S = 0.004
SERVING = Serving(max_batch_size=4, instances=1, threads=1)


class Waiting(Pending):
    """Metrics that say these counts of the models, one after another, the last one for ever."""

    def __init__(self, counts: Iterable[Mapping[str, int]]) -> None:
        super().__init__("")
        self._left = list(counts)

    def counts(self, max_age_s: float = 0.0) -> Counts | None:
        counts = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        return {(model, "1"): count for model, count in counts.items()}


class Decoder:
    """An instance that always has another image; `waited` are its pauses."""

    def __init__(self, limit: int, *counts: Mapping[str, int], requests: int = 1) -> None:
        self.now, self.waited = 0.0, 0.0
        self._room = Room(
            limit,
            lambda: frozenset({"net", "slow"}),
            requests=requests,
            pending=Waiting(counts),
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waited += seconds

    def decodes(self, images: int, gap_s: float = 0.0) -> float:
        """How long it waits in all for these images."""
        before = self.waited
        for _ in range(images):
            self.now += gap_s
            self._room.wait()
            self.now += DECODE_S
            self._room.done()
        return self.waited - before


def test_it_decodes_while_there_is_room() -> None:
    assert Decoder(8, {"net": 0}).decodes(50) == 0
    assert Decoder(0, {"net": 99}).decodes(50) == 0, "no limit"
    assert Decoder(8, {"other": 99}).decodes(50) == 0, "of another network"


def test_it_waits_while_enough_wait_for_one_of_its_networks() -> None:
    decoder = Decoder(2, {"net": 0, "slow": 2}, {"net": 0, "slow": 2}, {"net": 1, "slow": 1})
    decoder.decodes(1)
    assert decoder.decodes(1) == pytest.approx(2 * LOOK_AGAIN_S)


def test_while_little_waits_it_asks_where_the_room_is_used_up_and_seldom_else() -> None:
    decoder = Decoder(20, {"net": 5}, {"net": 20}, {"net": 0})
    decoder.decodes(1)
    assert decoder.decodes(15) == 0, "15 places, no matter how long ago"
    assert decoder.decodes(1) > 0
    patient = Decoder(400, {"net": 5}, {"net": 400}, {"net": 0})
    patient.decodes(1)
    assert patient.decodes(50) == 0, "0.2 s"
    assert patient.decodes(1) > 0


def test_no_more_images_than_there_is_room_for() -> None:
    decoder = Decoder(3, {"net": 1}, {"net": 3}, {"net": 0})
    decoder.decodes(1)
    assert decoder.decodes(2) == 0
    assert decoder.decodes(1) > 0


def test_an_image_of_ten_crops_takes_ten_places() -> None:
    decoder = Decoder(20, {"net": 1}, {"net": 20}, {"net": 0}, requests=10)
    decoder.decodes(1)
    assert decoder.decodes(2) == 0
    assert decoder.decodes(1) > 0


def test_it_does_not_ask_where_no_image_had_waited() -> None:
    assert Decoder(1, {"net": 99}).decodes(5, gap_s=0.03) == 0


def test_it_does_not_wait_for_long() -> None:
    decoder = Decoder(1, {"net": 99})
    decoder.decodes(1)
    assert LONGEST_WAIT_S <= decoder.decodes(1) < LONGEST_WAIT_S + 0.05


def test_its_networks_are_those_of_every_ensemble_that_it_is_in(tmp_path: Path) -> None:
    kind: dict[str, Any] = {
        "input_kind": "uint8",
        "preprocessing": Preprocessing(),
        "serving": SERVING,
    }
    texts = {
        name: config.to_text(config.preprocess(name, cores=1, **kind))
        for name in ("a_preprocess", "b_preprocess", "c_preprocess")
    }
    steps = {
        "a_image": ("a_preprocess", "a"),
        "both_image": ("a_preprocess", "b_preprocess", "a", "b", "both_average"),
        "c_image": ("c_preprocess", "c"),
    }
    for name, models in steps.items():
        texts[name] = config.to_text(
            config.ensemble(name, [Step(each, -1, {}, {}) for each in models], SERVING)
        )
    write(tmp_path, {f"{name}/config.pbtxt": text for name, text in texts.items()})
    write(tmp_path, {"broken/config.pbtxt": b"\xff", "file": ""})
    assert networks(tmp_path, "a_preprocess") == {"a", "b", "both_average"}
    assert networks(tmp_path, "c_preprocess") == {"c"}
    assert networks(tmp_path, "d_preprocess") == set()


def test_the_parameter_of_a_configuration() -> None:
    made = config.preprocess(
        "m",
        input_kind="uint8",
        preprocessing=Preprocessing(),
        serving=SERVING,
        cores=1,
        decoded=7,
    )
    text = made.parameters[DECODED_WAIT].string_value
    assert decoded_wait({"parameters": {DECODED_WAIT: {"string_value": text}}}) == 7
    assert decoded_wait({}) == 0
    with pytest.raises(ContractError, match=f"model 'm': expected the parameter '{DECODED_WAIT}'"):
        decoded_wait({"name": "m", "parameters": {DECODED_WAIT: {"string_value": "-1"}}})
