"""The soak benchmark: its slopes, what it measures, and a short run against the real server."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soak


def test_the_slope_is_of_the_line_and_its_error_of_the_noise() -> None:
    done = np.arange(50.0)
    per, error = soak.slope(done, 100 + 0.25 * done)
    assert per == pytest.approx(0.25)
    assert error < 1e-6
    noise = np.random.default_rng(0).normal(0, 3, (200, 50))
    found = [soak.slope(done, 100 + each) for each in noise]
    covered = sum(abs(per) <= error for per, error in found)
    assert 180 <= covered < 200, "of intervals of two standard errors"
    with pytest.raises(ValueError, match="3 samples"):
        soak.slope([1, 2, 3], [1, 2, 3])


def test_the_memory_of_a_process_is_what_it_has_written_to() -> None:
    before = soak.pss_mib(os.getpid())
    held = np.ones(64 * 2**20, np.uint8)
    assert soak.pss_mib(os.getpid()) - before == pytest.approx(64, abs=8)
    assert held[-1] == 1
    assert soak.pss_mib(2**22 + 1) == 0


def test_slopes_leave_out_the_samples_of_the_beginning() -> None:
    rows = [
        {"phase": soak.REQUESTS, "done": 10 * n, "server_mib": 50 if n > 1 else 0, "stubs_mib": n}
        for n in range(8)
    ]
    found = soak.slopes(rows)[soak.REQUESTS]
    assert found["done"] == 70
    assert found["server_mib"]["per_1000"] == 0
    assert found["stubs_mib"]["per_1000"] == 100
    assert soak.slopes(rows)[soak.CHANGES] == {"done": 0}


@pytest.mark.triton
@pytest.mark.slow
def test_every_kind_of_request_is_sent_and_the_version_changes(tmp_path: Path) -> None:
    rows, outcomes = soak.soak(tmp_path, wanted=60, every=20, rounds=1, seed=0)
    assert [(each["phase"], each["done"]) for each in rows] == [
        (soak.REQUESTS, 20),
        (soak.REQUESTS, 40),
        (soak.REQUESTS, 60),
        (soak.CHANGES, 1),
    ]
    assert set(outcomes) == {"answered", "BadImageError"}
    assert sum(outcomes.values()) == 61
    assert all(each["server_mib"] > 10 and each["stubs_mib"] > 10 for each in rows)
    assert {each["stubs"] for each in rows} == {2}
