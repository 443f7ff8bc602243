"""The gate: only what equals the reference within a stated budget is deployed.

A budget belongs to a precision (`precisions.py`). The verdict lists every check with the value
found and the value allowed. Each check means the same for 100 and for 100,000 images:

1. cosine     shown, with 95 % confidence, to be within the limit for 95 % of all images. Fewer
              than 59 images cannot show that: then none may be outside.
2. SQNR       over all images; and the scale of the outputs alone, which it includes.
3. decisions  changed decisions weighted by the reference's margin (`accuracy.py`): refused where
              more than the limit is shown. Changes go in both directions, and networks are too
              certain, so that the limit is twice that of the accuracy.
4. accuracy   with labels: refused where more loss than the budget is shown.
5. budgets    one that the user gives also binds the value measured, and widens the other limits
              where they would refuse what it allows. Where the labels show that no more top-1 is
              lost than the user allows, rules 1, 3 and the SQNR no longer bind.

What is neither shown to hold nor to be broken passes, and the check says that the images do not
show it. Rules 1 and 2 find small damage in few images, rule 4 needs thousands. Where the outputs
hardly depend on the image, a network that ignores it would pass too: then a check says that it
shows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.numerics import TAIL, Numerics
from resnet_serve.parity.verdict import ANY_PASSES, UNTRAINED, Check, Verdict

ROUNDING = 1e-9
LABELS_DECIDE = "the labels show the accuracy"
MARGINS_DECIDE = "weighted by margin above"


@dataclass(frozen=True)
class Budget:
    """What a precision may cost, in the limits of the checks.

    `cosine` is what 95 % of all images have, `agreement` a fraction in [0, 1], `top1_points` the
    loss of accuracy in percentage points, `margin_points` the same of changed decisions by the
    reference's margins. The cosine detects damaged images among good ones, the
    SQNR a change of scale, which the cosine does not detect. `given` names the fields that the user
    set (`allowing`).
    """

    cosine: float
    sqnr_db: float
    agreement: float
    top1_points: float
    margin_points: float
    given: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        """By how much the outputs may be larger or smaller, as a fraction: as much as the SQNR."""
        return float(10 ** (-self.sqnr_db / 20))

    def allowing(
        self, *, top1_points: float | None = None, agreement: float | None = None
    ) -> Budget:
        """The budget with what a user allows; limits that would refuse that before are wider.

        With noise of the energy E in the outputs, the accuracy lost, 1 − cosine and the inverse of
        the SQNR are in proportion to E, and the share of changed decisions to √E.
        """
        energy, changes = 1.0, self
        if top1_points is not None:
            energy = max(energy, top1_points / self.top1_points)
            changes = replace(changes, top1_points=top1_points)
        if agreement is not None:
            energy = max(energy, ((1 - agreement) / (1 - self.agreement)) ** 2)
            changes = replace(changes, agreement=agreement)
        given = {"top1_points": top1_points, "agreement": agreement}
        return replace(
            changes,
            cosine=max(-1.0, 1 - energy * (1 - self.cosine)),
            margin_points=energy * self.margin_points,
            sqnr_db=self.sqnr_db - 10 * math.log10(energy),
            given=(*self.given, *(name for name, value in given.items() if value is not None)),
        )


def loosest(rows: Sequence[Budget]) -> Budget:
    """What the average may cost: in each respect as much as the member that may cost most."""
    return Budget(
        cosine=min(row.cosine for row in rows),
        sqnr_db=min(row.sqnr_db for row in rows),
        agreement=min(row.agreement for row in rows),
        top1_points=max(row.top1_points for row in rows),
        margin_points=max(row.margin_points for row in rows),
    )


def judge(
    budget: Budget,
    numerics: Mapping[int, Numerics],
    decisions: Decisions | None,
    *,
    trained: bool,
    of: str = "logits",
) -> Verdict:
    """Check the measurements against the budget.

    `numerics` is by batch size. The decisions of an untrained network are random, so their checks
    are not binding; a network without a classifier has no decisions. `of` names the compared
    outputs.
    """
    decided = trained and decisions is not None and _shows_accuracy(budget, decisions)
    note = LABELS_DECIDE if decided else ""
    # Every image was compared at one batch size; at the others a few, to find a graph that is wrong
    # there, for nearly all images.
    main = max(numerics, key=lambda size: (numerics[size].images, size))
    checks = [
        check
        for size, found in numerics.items()
        for check in _numeric(budget, found, size, of, few=size != main, note=note)
    ]
    mean_db = numerics[main].mean_db or 0.0
    if trained and mean_db >= budget.sqnr_db:
        checks = [replace(each, note=each.note or ANY_PASSES) for each in checks]
    if decisions is not None:
        rest = [*_decisions(budget, decisions, decided=decided), *_accuracy(budget, decisions)]
        checks += rest if trained else not_binding(rest)
    return Verdict(tuple(checks)).of_outputs(numerics[main], of)


def not_binding(checks: Iterable[Check]) -> tuple[Check, ...]:
    """The checks of an untrained network's decisions, which are random."""
    return tuple(replace(check, binding=False, note=UNTRAINED) for check in checks)


def _shows_accuracy(budget: Budget, decisions: Decisions) -> bool:
    """Whether it is shown that no more top-1 accuracy is lost than the user allows (rule 5)."""
    lost = decisions.lost_interval
    given = "top1_points" in budget.given
    return given and lost is not None and lost[1] <= budget.top1_points + ROUNDING


def _numeric(
    budget: Budget, found: Numerics, size: int, of: str, *, few: bool, note: str
) -> Iterator[Check]:
    low = found.cosine if found.cosine_low is None else found.cosine_low
    high = low if found.cosine_high is None else found.cosine_high
    share = found.shown_share
    limited = f"{_images(found.images)} show it of {100 * share:.0f} % of images"
    shown = "" if few or share >= 1 - TAIL else limited
    yield Check(
        name=f"cosine of the {of}, batch {size}",
        found=f"{high if few else low:.6f}",
        allowed=f"≥ {_number(budget.cosine)} for {100 * (1 - TAIL):.0f} % of images",
        passed=(high if few else low) >= budget.cosine,
        binding=not note,
        note=note or shown,
    )
    yield Check(
        name=f"SQNR of the {of}, batch {size}",
        found=f"{found.sqnr_db:.1f} dB" + ("" if found.output == of else f" ({found.output})"),
        allowed=f"≥ {_number(budget.sqnr_db)} dB",
        passed=found.sqnr_db >= budget.sqnr_db,
        binding=not note,
        note=note,
    )
    if found.scale is not None and not few:
        yield Check(
            name=f"scale of the {of}",
            found=f"{found.scale:.4f}×",
            allowed=f"1 ± {budget.scale:.2g}",
            passed=abs(found.scale - 1) <= budget.scale,
        )


def _decisions(budget: Budget, decisions: Decisions, *, decided: bool) -> Iterator[Check]:
    within, points = decisions.margin_interval, decisions.margin_points
    if within is not None and points is not None:
        yield by_margin(budget, points, within, decisions.images, decided=decided)
    given = "agreement" in budget.given
    yield Check(
        name="top-1 agreement",
        found=f"{100 * decisions.top1_agreement:.2f} %",
        allowed=f"≥ {100 * budget.agreement:.1f} %",
        passed=decisions.top1_agreement >= budget.agreement - ROUNDING,
        binding=given or points is None,
        note="" if given or points is None else MARGINS_DECIDE,
    )


def by_margin(
    budget: Budget, points: float, interval: tuple[float, float], images: int, *, decided: bool
) -> Check:
    """What changed decisions lose by the reference's margins, of one class or of labels.

    `points` lie within `interval`; `decided` says that the labels show the accuracy (rule 5).
    """
    low, high = interval
    shown = "" if high <= budget.margin_points else not_shown(images)
    return Check(
        name="decisions changed, by margin",
        found=f"{points:.2f} points [{low:.2f}, {high:.2f}]",
        allowed=f"≤ {_number(budget.margin_points)} points",
        passed=low <= budget.margin_points + ROUNDING,
        binding=not decided,
        note=LABELS_DECIDE if decided else shown,
    )


def _accuracy(budget: Budget, decisions: Decisions) -> Iterator[Check]:
    if decisions.difference_points is None:
        return
    lost, interval = 0.0 - decisions.difference_points, decisions.lost_interval
    least, most = (lost, lost) if interval is None else interval
    limit = budget.top1_points + ROUNDING
    passed = (lost if "top1_points" in budget.given else least) <= limit
    yield Check(
        name="top-1 lost",
        found=f"{lost:+.2f} points" + ("" if interval is None else f" [{least:+.2f}, {most:+.2f}]"),
        allowed=f"≤ {_number(budget.top1_points)} points",
        passed=passed,
        note="" if most <= limit or not passed else not_shown(decisions.images),
    )


def not_shown(images: int) -> str:
    """The note of a check that its interval does not decide."""
    return f"{_images(images)} cannot show it"


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _number(value: float) -> str:
    return f"{value:.6g}"
