"""A TensorRT build's phases as one number that only grows, and the way to stop it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resnet_convert.tensorrt.progress import TOTAL, BuildProgress


def test_nested_phases_are_shares_of_their_parents_step() -> None:
    shown: list[int] = []
    progress = BuildProgress(lambda done, total: shown.append(done * 1000 // total))
    progress.start("build", None, 2)
    progress.start("tactics", "build", 4)
    for _ in range(4):
        assert progress.step("tactics")
    progress.finish("tactics")
    progress.step("build")
    progress.start("serialize", "build", 1)
    progress.step("serialize")
    progress.finish("serialize")
    progress.step("build")
    progress.finish("build")
    assert shown == [125, 250, 375, 500, 1000]


def test_cancelling_stops_at_the_next_step() -> None:
    progress = BuildProgress()
    progress.start("build", None, 3)
    assert progress.step("build")
    progress.cancel()
    assert not progress.step("build")


def test_a_step_of_an_unknown_phase_is_no_error() -> None:
    progress = BuildProgress(lambda done, total: None)
    assert progress.step("never started")
    progress.finish("never started")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["start", "step", "finish"]))))
def test_whatever_tensorrt_reports_it_never_goes_back(events: list[tuple[str, str]]) -> None:
    shown: list[int] = []
    progress = BuildProgress(lambda done, total: shown.append(done))
    parents = {"a": None, "b": "a", "c": "b"}
    for name, event in events:
        if event == "start":
            progress.start(name, parents[name], 3)
        elif event == "step":
            progress.step(name)
        else:
            progress.finish(name)
    assert shown == sorted(set(shown))
    assert all(0 < done <= TOTAL for done in shown)
