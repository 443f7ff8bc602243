"""Mixed precision: keep the fewest layers in higher precision with which INT8 holds its budget.

Along the ranking of `sensitivity.rank` the most costly layers are kept, none, one, two …, and every
network so made is judged as a whole, as it would be deployed. The first that holds the budget is
thinned out: a layer without which it still holds is quantized again. Every attempt is a row of the
trade: layers kept, decisions regained, latency paid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING

from resnet_convert.quantization.budgets import Budgets, Evaluation
from resnet_convert.quantization.sensitivity import Cost
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir

    from resnet_convert.quantization.sensitivity import Quantize
else:
    ir = optional("onnx_ir", extra="convert")

LIMIT = 8
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Trade:
    """One attempt: the layers kept, the most costly first, and all that stay floating with them."""

    kept: tuple[str, ...]
    floating: tuple[str, ...]
    judged: Evaluation
    within: bool

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    @property
    def price(self) -> float:
        """What it costs to run: the latency ratio or, where nobody timed it, floating layers."""
        ratio = self.judged.latency_ratio
        return float(len(self.floating)) if ratio is None else ratio


@dataclass(frozen=True)
class MixedPrecisionSearch:
    """All attempts in the order made; `chosen` is None where no number of layers sufficed."""

    budgets: Budgets
    rows: tuple[Trade, ...]
    chosen: Trade | None

    @property
    def tried(self) -> bool:
        """Whether there was anything to mend: more than the one look at none kept."""
        return len(self.rows) > 1

    @property
    def frontier(self) -> tuple[Trade, ...]:
        """The attempts than which none is both cheaper and closer to the reference (Pareto)."""
        best: list[Trade] = []
        for row in sorted(self.rows, key=lambda row: (row.price, *_distance(row))):
            if not best or _distance(row) < _distance(best[-1]):
                best.append(row)
        return tuple(best)

    @property
    def summary(self) -> str:
        """What happened, in one sentence."""
        if self.chosen is None:
            closest = min(self.rows, key=_distance)
            found = [f"agreement {100 * closest.judged.agreement:.2f} %"]
            if closest.judged.top1_points_lost is not None:
                found.append(f"top-1 lost {closest.judged.top1_points_lost:+.2f} points")
            most = max(len(row.kept) for row in self.rows)
            return (
                f"no number of kept layers up to {most} holds the budget ({self.budgets}); "
                f"the closest, with {len(closest.kept)}, has {' and '.join(found)}"
            )
        kept = self.chosen.kept
        if not kept:
            return f"every layer quantized, the budget ({self.budgets}) holds"
        layers = f"{len(kept)} layer{'s' if len(kept) > 1 else ''}"
        beside = [name for name in self.chosen.floating if name not in kept]
        along = f", and {', '.join(beside)} beside" if beside else ""
        return f"{layers} kept in higher precision ({', '.join(kept)}{along}): the budget holds"

    def to_json(self) -> dict[str, object]:
        return {
            "budgets": asdict(self.budgets),
            "rows": [row.to_json() for row in self.rows],
            "chosen": None if self.chosen is None else self.chosen.to_json(),
        }


def search(
    folded: ir.Model,
    quantize: Quantize,
    costs: Iterable[Cost],
    judge: Callable[[ir.Model], Evaluation],
    budgets: Budgets,
    *,
    limit: int = LIMIT,
    progress: Callable[[Trade], None] | None = None,
) -> MixedPrecisionSearch:
    """Find the fewest of the `limit` most costly layers to keep; `folded` stays as it is.

    `quantize(model, keep)` converts a copy of it in place, as for `sensitivity.rank`; `judge` runs
    the result over the validation images. A network that holds the budget as it is, is not touched,
    and `costs` are not looked at: they may be computed as they are read.
    """
    rows: list[Trade] = []

    def attempt(kept: tuple[str, ...]) -> Trade:
        model = folded.clone()
        floating = quantize(model, frozenset(kept)).floating
        judged = judge(model)
        rows.append(Trade(kept, floating, judged, budgets.hold(judged)))
        if progress is not None:
            progress(rows[-1])
        return rows[-1]

    chosen = attempt(())
    waiting = iter(()) if chosen.within else islice(costs, limit)
    for cost in waiting:
        chosen = attempt((*chosen.kept, cost.layer))
        if chosen.within:
            break
    if not chosen.within:
        return MixedPrecisionSearch(budgets, tuple(rows), None)
    # The last one is needed: without it, the attempt before failed.
    for layer in reversed(chosen.kept[:-1]):
        without = attempt(tuple(name for name in chosen.kept if name != layer))
        if without.within:
            chosen = without
    return MixedPrecisionSearch(budgets, tuple(rows), chosen)


def _distance(row: Trade) -> tuple[float, float]:
    """How far from the reference: decisions first, logits where these are as good."""
    return -row.judged.agreement, -row.judged.sqnr_db
