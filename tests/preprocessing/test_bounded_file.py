"""Reading is stopped when the time is spent, in whatever decoder it happens."""

from __future__ import annotations

import time

import pytest
from hostile_images import encoded, photo, scans, slow_bmp, slow_ppm

from resnet_serve.preprocessing import ImageError, Limits, decode
from resnet_serve.preprocessing.bounded_file import BoundedFile

BARELY = Limits(max_seconds=1e-9)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(photo(200, 300), "PNG"), id="PNG"),
        pytest.param(encoded(photo(200, 300), "JPEG"), id="JPEG"),
        pytest.param(scans(90), id="many scans"),
        pytest.param(encoded(photo(200, 300), "GIF"), id="GIF"),
        pytest.param(encoded(photo(200, 300), "TIFF"), id="TIFF"),
        pytest.param(slow_bmp(100), id="run-length BMP"),
        pytest.param(slow_ppm(100), id="PPM in text"),
    ],
)
def test_every_decoder_that_reads_by_pieces_is_stopped(data: bytes) -> None:
    assert decode(data).width > 0
    with pytest.raises(ImageError, match="took more than 1e-09 s of CPU time") as caught:
        decode(data, BARELY)
    assert caught.value.remedy


def test_it_is_stopped_before_the_end() -> None:
    data = slow_bmp(300)
    started = time.thread_time()
    with pytest.raises(ImageError, match=r"more than 0\.01 s"):
        decode(data, Limits(max_seconds=0.01))
    stopped_s = time.thread_time() - started
    started = time.thread_time()
    decode(data)
    assert stopped_s < (time.thread_time() - started) / 2


def test_only_the_time_of_its_own_thread_counts() -> None:
    file = BoundedFile(b"1234", Limits(max_seconds=0.05))
    time.sleep(0.1)
    file.check_time()
    assert file.read() == b"1234"


def test_the_next_read_raises_too() -> None:
    file = BoundedFile(bytes(10_000), BARELY)
    for _ in range(3):
        with pytest.raises(ImageError, match="CPU time"):
            file.read(5000)
        file.seek(0)


def test_the_same_bytes_can_be_read_a_few_times_only() -> None:
    file = BoundedFile(bytes(1 << 20), Limits())
    for _ in range(9):
        file.seek(0)
        file.read()
    file.seek(0)
    with pytest.raises(ImageError, match="repeat the same bytes"):
        file.read()
