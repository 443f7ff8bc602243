"""Results of load tests and of tuning, read as candidates; and files that are none."""

from __future__ import annotations

from pathlib import Path

import planned
import pytest
import tunable

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.loadtest.executions import BatchTimes, Executed
from resnet_serve.planning import measured
from resnet_serve.tuning.trials import State


def test_a_load_test(tmp_path: Path) -> None:
    path = planned.write(tmp_path / "x.json", planned.load_test())
    (found,) = measured.read(path, "net")
    assert found.title == "version 3, 1 instance × 1 thread, batches up to 4"
    assert found.host == "Some CPU, 2 cores"
    assert found.outside_ms == 1.0
    assert [each.name for each in found.stations] == ["net"]
    assert found.stations[0].queue == 40
    assert found.assumptions == (
        "client and network take 1 ms of a request, as where it was measured; another network has "
        "another time",
    )


def test_what_a_load_test_does_not_say_is_assumed(tmp_path: Path) -> None:
    how = planned.served(max_batch_size=16, queue_requests=0, queue_timeout_ms=0.0, delay_ms=2.0)
    document = planned.load_test(served=[how], same_host=False)
    (found,) = measured.read(planned.write(tmp_path / "x.json", document), "net")
    said = " ".join(found.assumptions)
    assert "batches of at most 4, the largest that was measured, where 16 are allowed" in said
    assert "the queue of net has no bound" in said
    assert "the server's is not known" in found.host
    assert "2 ms queue delay" in found.title
    assert found.stations[0].delay_s == 0.002


def test_what_a_busy_host_did_to_the_times_is_said(tmp_path: Path) -> None:
    slow = BatchTimes(batch_size=1, executions=200, mean_ms=1.5, deviation_ms=3.0)
    ran = [{"client_network_ms": 1.0, "executed": [Executed(model="net", batches=(slow,))]}]
    busy = "host busy (tasks waited for a CPU 98 % of the time before)"
    document = planned.load_test(levels=ran, not_stated=busy)
    (found,) = measured.read(planned.write(tmp_path / "x.json", document), "net")
    said = " ".join(found.assumptions)
    assert f"those of a quiet machine, but when they were measured: {busy}" in said
    assert "net takes 1.5 ms for one image with a deviation of 3 ms, more than the mean" in said
    (tuned,) = measured.read(
        planned.write(tmp_path / "y.json", planned.tuning(not_stated=busy)), "net"
    )
    assert f"but when they were measured: {busy}" in " ".join(tuned.assumptions)


def test_images_pass_two_models(tmp_path: Path) -> None:
    decoder = planned.served(model="net_preprocess", instances=2, preferred_batch_sizes=[1])
    both = [planned.executed({1: 2.0}, model="net_preprocess"), planned.executed()]
    document = planned.load_test(
        model="net_image",
        served=[decoder, planned.served()],
        levels=[{"client_network_ms": 1.0, "executed": both}],
    )
    (found,) = measured.read(planned.write(tmp_path / "x.json", document), "net_image")
    assert [(each.name, each.max_batch) for each in found.stations] == [
        *[("net_preprocess", 1), ("net", 4)]
    ]


def test_every_trial_of_a_tuning_run(tmp_path: Path) -> None:
    measured_one = tunable.point(p99_ms=16, executed=planned.executed())
    document = planned.tuning(
        tunable.trial(measured_one, number=1),
        tunable.trial(measured_one, number=2, instances=2, delay_ms=1.0),
        tunable.trial(tunable.point(), number=3),  # of an earlier version
        {**tunable.trial(measured_one, number=4).to_json(), "state": State.EQUAL, "equal_to": 1},
    )
    first, second = measured.read(planned.write(tmp_path / "x.json", document), "net")
    assert first.stations[0].instances == 1
    assert first.stations[0].queue > 0, "bounded as --apply does"
    assert "as after resnet-serve tune --apply" in " ".join(first.assumptions)
    assert first.outside_ms == pytest.approx(8 - 5), "p50 of one in flight without its batch"
    assert second.stations[0].instances == 2
    assert second.stations[0].delay_s == 0.001


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "is not a result of resnet-serve loadtest or tune"),
        ({"levels": []}, "a result of None, not of 'net'"),
        (planned.load_test(model="other"), "a result of 'other', not of 'net'"),
        (planned.load_test(batch_size=4), "requests of 4 images"),
        (planned.load_test(served=[]), "several networks answer at once"),
        (planned.load_test(levels=[{"client_network_ms": 1.0}]), "no times of batches"),
        (planned.load_test(levels=[{"executed": [planned.executed()]}]), "client_network_ms"),
        (planned.load_test(served=[{"model": "net"}]), r"served\[0\].instances is missing"),
        (planned.load_test(served=[planned.served(model="b")]), "b: no batches were measured"),
        (planned.load_test(served=3), "served is 3, not a list"),
        (planned.tuning(tunable.trial(tunable.point())), "no times of batches"),
        (planned.tuning(trials=[{}]), r"trials\[0\]"),
    ],
)
def test_what_is_no_measurement(tmp_path: Path, document: dict[str, object], said: str) -> None:
    with pytest.raises(InputFileError, match=said):
        measured.read(planned.write(tmp_path / "x.json", document), "net")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be read"):
        measured.read(tmp_path / "none.json", "net")
    (tmp_path / "text.json").write_text("not JSON")
    with pytest.raises(InputFileError, match="is not JSON"):
        measured.read(tmp_path / "text.json", "net")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputFileError, match="is not JSON"):
        measured.read(tmp_path / "bytes.json", "net")


def test_where_results_are_found(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"net:2 names a version, .* Give net\."):
        measured.found("net:2", tmp_path)
    with pytest.raises(UsageError, match="resnet-serve loadtest net --concurrency"):
        measured.found("net", tmp_path)
    load = planned.write(tmp_path / "loadtest" / "loadtest-net.json", planned.load_test())
    assert measured.found("net", tmp_path) == (load,)
    tuned = planned.write(tmp_path / "tuning" / "tune-net.json", planned.tuning())
    assert measured.found("net", tmp_path) == (tuned, load)
