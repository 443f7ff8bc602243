"""Trials as the journal has them."""

from __future__ import annotations

import json

from tunable import point, trial

from resnet_serve.loadtest.offered import Offered
from resnet_serve.tuning.trials import Trial


def test_a_trial_is_read_as_it_was_written() -> None:
    made = trial(point(1, 2, 4), point(3, 4, None, rate_per_s=5.0), delay_ms=1.0)
    text = json.dumps(made.to_json(), allow_nan=False)
    assert Trial.from_json(json.loads(text)) == made


def test_what_its_points_say() -> None:
    made = trial(point(largest_batch=2), point(concurrency=8, largest_batch=4))
    assert made.largest_batch == 4
    assert trial().largest_batch == 0
    assert made.points[1].offered == Offered(8)
