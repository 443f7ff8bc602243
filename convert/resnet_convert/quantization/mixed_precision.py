"""Mixed precision: the fewest layers to keep in higher precision so that INT8 holds its budget.

1. In the order of `sensitivity.rank`, the most costly layers are kept: none, one, two, …; every
   network is evaluated as a whole, as it would be deployed, until one holds the budget.
2. Of the layers kept then, each that is not needed to hold the budget is quantized again.
3. Every attempt is a row of the result: layers kept, agreement, SQNR, latency.
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


@dataclass(frozen=True)
class Trade:
    """One attempt.

    `kept` are the layers kept by choice, the most costly first; `floating` all that are floating
    then, in the graph's order. `within` is whether the network, as `judged`, holds the budgets.
    """

    kept: tuple[str, ...]
    floating: tuple[str, ...]
    judged: Evaluation
    within: bool

    def to_json(self) -> dict[str, object]:
        """The fields, as the passport holds them."""
        return asdict(self)

    @property
    def price(self) -> float:
        """What it costs to run: the latency ratio or, where it was not timed, floating layers."""
        ratio = self.judged.latency_ratio
        return float(len(self.floating)) if ratio is None else ratio


@dataclass(frozen=True)
class MixedPrecisionSearch:
    """All attempts in the order made; `chosen` is None where no number of layers is enough."""

    budgets: Budgets
    rows: tuple[Trade, ...]
    chosen: Trade | None

    @property
    def tried(self) -> bool:
        """Whether INT8 alone missed the budget, so that layers were kept."""
        return len(self.rows) > 1

    @property
    def frontier(self) -> tuple[Trade, ...]:
        """The attempts that no other beats in price and closeness (Pareto), by price."""
        best: list[Trade] = []
        for row in sorted(self.rows, key=lambda row: (row.price, *_distance(row))):
            if not best or _distance(row) < _distance(best[-1]):
                best.append(row)
        return tuple(best)

    @property
    def summary(self) -> str:
        """The result in one sentence."""
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
        others = [name for name in self.chosen.floating if name not in kept]
        along = f", and with them {', '.join(others)}" if others else ""
        return f"{layers} kept in higher precision ({', '.join(kept)}{along}): the budget holds"

    def to_json(self) -> dict[str, object]:
        """As the passport holds it."""
        return {
            "budgets": asdict(self.budgets),
            "rows": [row.to_json() for row in self.rows],
            "chosen": None if self.chosen is None else self.chosen.to_json(),
        }


def search(
    folded: ir.Model,
    quantize: Quantize,
    costs: Iterable[Cost],
    evaluate: Callable[[ir.Model], Evaluation],
    budgets: Budgets,
    *,
    limit: int = LIMIT,
    progress: Callable[[Trade], None] | None = None,
) -> MixedPrecisionSearch:
    """Find the fewest of the `limit` most costly layers to keep; `folded` is not changed.

    `quantize(model, keep)` converts a copy of it in place, as for `sensitivity.rank`; `evaluate`
    runs the result over the validation images. `costs`, the most costly first, are not read where
    INT8 alone holds the budget: they may be computed as they are read. `progress` is called with
    every attempt. Raises `UsageError` for a top-1 budget without labels.
    """
    rows: list[Trade] = []

    def attempt(kept: tuple[str, ...]) -> Trade:
        model = folded.clone()
        floating = quantize(model, frozenset(kept)).floating
        judged = evaluate(model)
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
    # The layer kept last is needed: the attempt without it missed the budget.
    for layer in reversed(chosen.kept[:-1]):
        without = attempt(tuple(name for name in chosen.kept if name != layer))
        if without.within:
            chosen = without
    return MixedPrecisionSearch(budgets, tuple(rows), chosen)


def _distance(row: Trade) -> tuple[float, float]:
    """How far from the reference: by agreement, then by SQNR."""
    return -row.judged.agreement, -row.judged.sqnr_db
