"""Regions: which place a batch gets, when it is free again, and what is left of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE_S, until
from scripted_triton import Reluctant, start

from resnet_client.errors import DeadlineError, UsageError
from resnet_client.transport.connection import Connection
from resnet_client.transport.deadlines import Deadline
from resnet_client.transport.shared_memory import FOLDER, Region

BYTES = 12


@pytest.fixture
def region() -> Iterator[Region]:
    made = Region(4, BYTES)
    yield made
    made.remove()
    assert not (FOLDER / made.name).exists()


def batch(images: int, value: int = 7) -> np.ndarray:
    return np.full((images, BYTES), value, np.uint8)


def soon() -> Deadline:
    return Deadline.after(0.02)


def test_a_batch_is_written_where_its_place_says(region: Region) -> None:
    first, second = region.write(batch(1, 1), soon()), region.write(batch(2, 2), soon())
    assert [(each.offset, each.size) for each in (first, second)] == [(0, 12), (12, 24)]
    content = np.frombuffer((FOLDER / region.name).read_bytes(), np.uint8)
    assert content[:48].reshape(4, BYTES)[:, 0].tolist() == [1, 2, 2, 0]


def test_a_full_region_is_waited_for(region: Region) -> None:
    first = region.write(batch(3), soon())
    with pytest.raises(DeadlineError, match=r"no room .* within 0.02 s.*Share memory for more"):
        region.write(batch(2), soon())
    threading.Timer(0.02, first.release).start()
    assert region.write(batch(4), Deadline.after(PATIENCE_S)).offset == 0


def test_a_place_is_free_when_nothing_needs_it(region: Region) -> None:
    place = region.write(batch(4), soon())
    place.hold()
    place.release()
    with pytest.raises(DeadlineError):
        region.write(batch(1), soon())
    assert not region.drain(0.01)
    place.release()
    assert region.drain(PATIENCE_S)


def test_what_fits(region: Region) -> None:
    assert region.fits(batch(4))
    assert region.fits(np.zeros((1, 3), np.float32))
    assert not region.fits(batch(5))
    assert not region.fits(np.zeros((1, 13), np.uint8))
    assert not region.fits(np.array([[b"file"]], dtype=np.object_))


def test_a_drained_region_takes_no_more(region: Region) -> None:
    assert region.drain(0)
    with pytest.raises(UsageError, match="after the end of its `with` block"):
        region.write(batch(1), soon())


def test_many_threads_never_share_a_place(region: Region) -> None:
    def use(number: int) -> bool:
        mine = batch(1 + number % 4, number)
        place = region.write(mine, Deadline.after(PATIENCE_S))
        content = (FOLDER / region.name).read_bytes()[place.offset :][: place.size]
        place.release()
        return content == mine.tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(200)))


def test_no_room_is_an_error_before_anything_is_written() -> None:
    with pytest.raises(OSError, match="has no room for"):
        Region(1 << 40, BYTES)


def test_a_request_without_response_keeps_its_place(region: Region) -> None:
    reluctant = Reluctant()
    reluctant.pause_s = PATIENCE_S
    server = start(reluctant)
    connection = Connection(server.url, timeout_s=0.2)
    place = region.write(batch(4), soon())
    with pytest.raises(DeadlineError):
        connection.infer("m", "", input_name="image", batch=batch(4), place=place)
    place.release()
    with pytest.raises(DeadlineError, match="no room"):
        region.write(batch(1), soon())
    reluctant.released.set()
    assert region.write(batch(1), Deadline.after(PATIENCE_S)).offset == 0
    connection.close()
    server.stop()
    assert reluctant.outcomes == ["answered"]


def test_a_killed_process_leaves_no_region() -> None:
    code = """if True:
        import os, signal
        from resnet_client.transport.shared_memory import Region
        print(Region(4, 12).name, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    path: Path = FOLDER / done.stdout.strip()
    assert path.name.startswith("resnet-client-"), done.stderr
    assert until(lambda: not path.exists())
