"""What a canary has seen: counted, told in a line, and kept in a file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from resnet_serve.triton.canary import seen
from resnet_serve.triton.canary.seen import Seen
from resnet_serve.triton.canary.split import Split

SPLIT = Split(3, 4, Fraction(1, 10))


def test_counts_and_their_line() -> None:
    found = Seen(requests=40, chosen=4)
    found = found.and_compared(2, 2, 0.25, 0.010, 0.008).and_compared(1, 0, 0.5, 0.020, 0.012)
    found = found.failed("no answer\nwithin 1.0 s")
    assert (found.answered, found.compared, found.agreed, found.distance) == (2, 3, 2, 0.5)
    assert found.told(SPLIT) == (
        "version 4 got 4 of 40 requests; 66.67 % of 3 images decided as by version 3; outputs at "
        "most 0.5 apart; 15.0 ms, version 3 10.0 ms; 1 errors (the last: no answer within 1.0 s)"
    )


def test_features_have_no_decisions() -> None:
    told = Seen(1, 1).and_compared(1, None, 0.5, 0.01, 0.01).told(SPLIT)
    assert "decided" not in told
    assert "outputs at most 0.5 apart" in told


def test_before_the_first_request() -> None:
    assert Seen().told(SPLIT) == "version 4 got 0 of 0 requests; 0 errors"


def test_a_file_is_of_one_split(tmp_path: Path) -> None:
    file = seen.path(tmp_path, "net")
    assert seen.read(file, SPLIT) is None
    seen.write(file, SPLIT, Seen(requests=7))
    assert seen.read(file, SPLIT) == Seen(requests=7)
    assert seen.read(file, Split(3, 4, Fraction(1, 5))) is None
    file.write_text("[")
    assert seen.read(file, SPLIT) is None
    seen.write(tmp_path / "none" / "none" / "net.json", SPLIT, Seen())  # nowhere to write
