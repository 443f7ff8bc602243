"""Engines with several outputs, as `--head pyramid` makes: every map, at every batch size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from memory_device import MemoryDevice
from trt_loaded import CONTEXT, Loaded, images

from resnet_serve.errors import HostError

SIDES = {"c2": (2, 4, 4), "c3": (3, 2, 2), "features": (5,)}


def maps(batch: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers that tell the outputs, the images and the places of a map apart."""
    sums = batch.reshape(len(batch), -1).astype(np.float32).sum(axis=1)
    found = {}
    for number, (name, sides) in enumerate(SIDES.items(), 1):
        places = np.arange(np.prod(sides), dtype=np.float32).reshape(sides)
        found[name] = number * sums.reshape(-1, *[1] * len(sides)) + places
    return found


def check_maps(found: dict[str, np.ndarray], batch: np.ndarray) -> None:
    expected = maps(batch)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("graphs", [True, False])
def test_every_output_of_every_batch(graphs: bool, loaded: Loaded) -> None:
    model, device, trt = loaded(answer=maps, outputs=SIDES, graphs=graphs)
    for count in (1, 8, 3, 3, 3, 1):
        check_maps(model.run_all(images(count)), images(count))
    first = next(iter(SIDES))
    np.testing.assert_array_equal(model.run(images(2)), maps(images(2))[first])
    addresses = [call.args[0] for call in trt.named(f"{CONTEXT}.set_tensor_address")]
    assert addresses[:4] == ["image", *SIDES]
    assert device.log[-8:] == [
        "record", "copy in", "execute", *["copy out"] * 3, "record", "synchronise"
    ]  # fmt: skip
    assert bool(device.graphs) is graphs


def test_outputs_stay_when_the_next_batch_runs(loaded: Loaded) -> None:
    model, _, _ = loaded(answer=maps, outputs=SIDES)
    first = model.run_all(images(2))
    model.run_all(images(2) + 1)
    check_maps(first, images(2))


def test_a_time_covers_the_copy_of_every_output(loaded: Loaded) -> None:
    model, _, _ = loaded(answer=maps, outputs=SIDES)
    moments = 3.0 + len(SIDES)  # of the device: start, copy in, execute, and each copy out
    assert [model.timed(images(2)) for _ in range(3)] == [moments] * 3


@pytest.mark.parametrize("wrong", SIDES)
def test_an_output_of_another_shape_is_named(wrong: str, loaded: Loaded) -> None:
    def shape(context: object, name: str) -> tuple[int, ...]:
        return (2, *SIDES[name]) if name != wrong else (3, *SIDES[name])

    behaviours = {f"{CONTEXT}.get_tensor_shape": shape}
    model, device, _ = loaded(behaviours, answer=maps, outputs=SIDES)
    with pytest.raises(HostError, match=rf"gives '{wrong}' as \[3,"):
        model.run_all(images(2))
    assert "execute" not in device.log


def test_the_memory_of_an_output_that_does_not_fit_is_given_back(loaded: Loaded) -> None:
    device = MemoryDevice(limit_bytes=8 * (4 * 4 * 3 + 4 * 2 * 4 * 4) + 8)
    with pytest.raises(HostError, match="GPU memory ran out"):
        loaded(device=device, answer=maps, outputs=SIDES)
    assert not device.memory
    assert not device.streams


def test_closing_gives_the_memory_of_every_output_back(loaded: Loaded, tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"a plan")
    model, device, _ = loaded(plan=plan, answer=maps, outputs=SIDES)
    model.run_all(images(8))
    model.close()
    assert not device.memory
