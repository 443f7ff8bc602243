"""The gate's checks of decisions about labels, in the place of those for one class (`gate.py`).

1. by margin      what the changed labels of the images lose by the reference's margins
2. agreement      of all decisions; it binds where the user gives a budget of it
3. worst label    clear changes on its rarer side, refused where more than the limit is shown
4. accuracy       with known labels: of images with every label right, paired

As there, a check refuses what the images show to be outside, and says where they do not show it.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnet_serve.parity.bounds import largest_share
from resnet_serve.parity.gate import (
    MARGINS_DECIDE,
    ROUNDING,
    Budget,
    by_margin,
    not_binding,
    not_shown,
)
from resnet_serve.parity.labels import LabelDecisions, shown_changes
from resnet_serve.parity.verdict import Check


def checks(budget: Budget, found: LabelDecisions, *, trained: bool) -> tuple[Check, ...]:
    """The gate's checks of decisions about labels; those of an untrained network do not bind."""
    made = tuple(_checks(budget, found))
    return made if trained else not_binding(made)


def _checks(budget: Budget, found: LabelDecisions) -> Iterator[Check]:
    lost = None
    if found.accuracy is not None:
        gained_least, gained_most = found.accuracy.interval_points
        lost = 0.0 - gained_most, 0.0 - gained_least
    limit, given = budget.top1_points + ROUNDING, "top1_points" in budget.given
    decided = given and lost is not None and lost[1] <= limit
    yield by_margin(
        budget, found.margin_points, found.margin_interval, found.images, decided=decided
    )
    bound = "agreement" in budget.given
    yield Check(
        name="decisions that agree",
        found=f"{100 * found.agreement:.2f} %",
        allowed=f"≥ {100 * budget.agreement:.1f} %",
        passed=found.agreement >= budget.agreement - ROUNDING,
        binding=bound,
        note="" if bound else MARGINS_DECIDE,
    )
    yield _worst(budget, found)
    if found.accuracy is None or lost is None:
        return
    points = 0.0 - found.accuracy.difference_points
    passed = (points if given else lost[0]) <= limit
    yield Check(
        name="accuracy lost" if len(found.labels) == 1 else "images with every label right, lost",
        found=f"{points:+.2f} points [{lost[0]:+.2f}, {lost[1]:+.2f}]",
        allowed=f"≤ {budget.top1_points:g} points",
        passed=passed,
        note="" if lost[1] <= limit or not passed else not_shown(found.images),
    )


def _worst(budget: Budget, found: LabelDecisions) -> Check:
    """Refused where more clear changes of a label are shown than the agreement allows."""
    worst, allowed = found.worst, 1 - budget.agreement + ROUNDING
    passed = shown_changes(worst, len(found.labels)) <= allowed
    open_question = worst.clear and largest_share(worst.clear, worst.rarer) > allowed
    return Check(
        name="worst label",
        found=f"{worst.name}: {100 * (1 - worst.share):.2f} % of {worst.rarer} without a clear "
        "change",
        allowed=f"≥ {100 * budget.agreement:.1f} %",
        passed=passed,
        note=not_shown(worst.rarer) if passed and open_question else "",
    )
