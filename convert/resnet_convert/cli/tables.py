"""Terminal tables of the searches of a conversion: runtimes, calibration, mixed precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from resnet_convert.autoselect.comparison import Comparison, Row
from resnet_convert.autoselect.entrants import EntrantResult
from resnet_convert.conversion import Conversion
from resnet_convert.quantization.calibration_search import CalibrationSearch
from resnet_convert.quantization.mixed_precision import MixedPrecisionSearch
from resnet_serve import console
from resnet_serve.parity.latency import Ratio


def all_of(conversion: Conversion) -> Iterator[Table]:
    """The tables of the searches that a conversion made."""
    if conversion.autoselection is not None:
        yield autoselect_table(conversion.autoselection.aim, conversion.autoselection.results)
    if conversion.precise.calibration_search is not None:
        yield calibration_table(conversion.precise.calibration_search)
    if conversion.precise.mixed_precision is not None and conversion.precise.mixed_precision.tried:
        yield mixed_precision_table(conversion.precise.mixed_precision)


def autoselect_table(aim: str, results: Sequence[EntrantResult], selected: bool = True) -> Table:
    """Every entrant: its numbers, or why it was not timed; of `selected` ones the first is it."""
    table = console.table(f"The runtimes of this host, for {aim}")
    for column in ("entrant", "agree", "batch 1", "× PyTorch", "images/s", ""):
        table.add_column(column)
    for number, each in enumerate(results):
        agreement = "" if each.agreement is None else f"{100 * each.agreement:.2f} %"
        times = "" if each.times is None else f"{each.times.median_ms:.2f} ms"
        speed = "" if each.speedup is None else ratio_text(each.speedup)
        rate = "" if each.images_per_s is None else f"{each.images_per_s:,.0f}"
        mark = (
            Text("selected", "green")
            if selected and number == 0
            else Text(each.problem or "", "yellow")
        )
        table.add_row(str(each.entrant), agreement, times, speed, rate, mark)
    return table


def comparison_table(title: str, comparison: Comparison) -> Table:
    """Every runtime in every precision: its numbers, or the reason why it has none."""
    table = console.table(title)
    columns = ("runtime", "precision", "top-1", "agree", "flipped", "batch 1", "× PyTorch")
    for column in (*columns, "images/s", "size", ""):
        table.add_column(column)
    for row in comparison.rows:
        entrant, result = row.result.entrant, row.result
        table.add_row(
            entrant.target if entrant.accelerator is None else f"{entrant.target} on CUDA",
            entrant.precision,
            _accuracy(row),
            "" if result.agreement is None else f"{100 * result.agreement:.2f} %",
            "" if row.flipped is None else f"{row.flipped:,}",
            "" if result.times is None else f"{result.times.median_ms:.2f} ms",
            "" if result.speedup is None else ratio_text(result.speedup).partition(":")[0],
            "" if row.split is None else f"{row.split.images_per_s:,.0f}",
            "" if result.size_bytes is None else f"{result.size_bytes / 1e6:.2f} MB",
            _mark(comparison, row),
        )
    return table


def _accuracy(row: Row) -> str:
    accuracy = row.accuracy
    if accuracy is None:
        return ""
    text = f"{accuracy.percent:.2f} %"
    if accuracy.interval is None:
        return text
    return "{} [{:.1f}–{:.1f}]".format(text, *accuracy.interval)


def _mark(comparison: Comparison, row: Row) -> Text:
    if not row.passed:
        ran = row.result.found is not None
        return Text(f"{'✗ ' if ran else ''}{row.result.problem}", "bold red" if ran else "yellow")
    verdict = row.result.verdict
    if verdict is not None and verdict.constant is not None:
        return Text(f"– shows nothing: {verdict.constant}", "yellow")
    what = f"✓ {row.computed_in or 'passed'}"
    if comparison.is_best(row):
        return Text(f"{what}; best for {comparison.aim}", "bold green")
    return Text(what, "green")


def ratio_text(ratio: Ratio) -> str:
    """A ratio with its interval, or why it is not stated."""
    if ratio.not_stated is not None:
        return str(ratio)
    return f"{ratio.median:.1f} [{ratio.low:.1f}–{ratio.high:.1f}]"


def calibration_table(calibration_search: CalibrationSearch) -> Table:
    """Every calibration method, judged on held-out images."""
    table = console.table(f"Ranges, judged on {calibration_search.held_out} held-out images")
    for column in ("method", "agree", "SQNR", "time", ""):
        table.add_column(column)
    for row in calibration_search.rows:
        mark = Text(row.refused or "", "yellow")
        if row.chosen:
            mark = Text("selected", "green")
        table.add_row(
            row.name,
            "" if row.agreement is None else f"{100 * row.agreement:.2f} %",
            "" if row.sqnr_db is None else f"{row.sqnr_db:.2f} dB",
            f"{row.seconds:.1f} s",
            mark,
        )
    return table


def mixed_precision_table(mixed_precision: MixedPrecisionSearch) -> Table:
    """Layers kept, agreement regained, latency paid."""
    table = console.table(f"Layers kept in higher precision, for {mixed_precision.budgets}")
    for column in ("kept", "agree", "top-1 lost", "SQNR", "latency", ""):
        table.add_column(column)
    for row in mixed_precision.rows:
        judged = row.judged
        mark = Text("within", "green") if row.within else Text("misses", "yellow")
        if row is mixed_precision.chosen:
            mark = Text("selected", "bold green")
        lost, ratio = judged.top1_points_lost, judged.latency_ratio
        table.add_row(
            ", ".join(row.kept) or "none",
            f"{100 * judged.agreement:.2f} %",
            "" if lost is None else f"{lost:+.2f} points",
            f"{judged.sqnr_db:.1f} dB",
            "" if ratio is None else f"{ratio:.2f}×",
            mark,
        )
    return table
