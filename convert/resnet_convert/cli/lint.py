"""`resnet-convert lint`: an ONNX file against TensorRT's rules, and its real parser and builder."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from resnet_convert.cli.options import JsonOption
from resnet_convert.lint import onnx_file
from resnet_convert.lint.rules import Violation
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.tensorrt.judge import Judge
from resnet_convert.tensorrt.verdict import DEFAULT_TARGETS, Question, Verdict
from resnet_serve import console
from resnet_serve.errors import ConversionError, HostError, UsageError
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX

_RTX = "rtx"


def lint(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The file to check.")],
    built_for: Annotated[
        str | None,
        typer.Option(
            "--for",
            help="Ask TensorRT-RTX too, which must be installed: [bold]rtx[/] for its default "
            "GPUs, or compute capabilities such as 8.6,8.9.",
            show_default="rtx, where it is installed",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check an ONNX file by our rules for TensorRT, then by TensorRT-RTX's real parser and builder.

    Both name the layers as PyTorch does. The library runs in a process of its own, needs no GPU,
    and proves nothing of other versions of TensorRT.
    """
    targets = _targets(built_for)
    file = onnx_file.read(model)
    violations = file.check(RULES)
    verdict, missing = _asked(Question(file.data, targets))
    if verdict is not None:
        refusals = (replace(each, layer=file.name(each.layer)) for each in verdict.refusals)
        verdict = replace(verdict, refusals=tuple(refusals))
    if as_json:
        typer.echo(json.dumps(_result(violations, verdict, targets, missing), indent=2))
    else:
        _show(violations)
        if verdict is not None:
            _show_verdict(verdict, targets)
        elif missing is not None:
            console.warn(f"the real parser and builder were not asked: {missing}")
    if missing is not None and built_for is not None:
        raise missing
    problem = _problem(violations, verdict)
    if problem is not None:
        raise ConversionError(problem, where=model)


def _targets(built_for: str | None) -> tuple[str, ...]:
    if built_for in (None, _RTX):
        return DEFAULT_TARGETS
    named = tuple(part.strip() for part in str(built_for).split(","))
    unknown = [part for part in named if part not in TENSORRT_RTX.targets]
    if unknown:
        raise UsageError(
            f"{TENSORRT_RTX.title} builds for no GPU {unknown[0]!r}",
            remedy=f"Use --for {_RTX}, or some of {','.join(TENSORRT_RTX.targets)}.",
        )
    return named


def _asked(question: Question) -> tuple[Verdict | None, HostError | None]:
    with Judge() as judge:
        try:
            return judge.ask(question), None
        except HostError as missing:
            return None, missing


def _show(violations: tuple[Violation, ...]) -> None:
    broken = len({each.rule for each in violations})
    console.out.print(
        f"our rules for TensorRT: {broken} of {len(RULES.rules)} broken"
        if broken
        else f"our {len(RULES.rules)} rules for TensorRT: all kept"
    )
    for each in violations:
        console.out.print(
            f"  {each.rule:<3} {each.layer}: {each.what}. {each.remedy}", markup=False
        )


def _show_verdict(verdict: Verdict, targets: tuple[str, ...]) -> None:
    size = "" if verdict.plan_bytes is None else f", {verdict.plan_bytes / 1e6:.1f} MB"
    console.out.print(
        f"{TENSORRT_RTX.title} {verdict.tensorrt}, real parser and builder, for compute capability "
        f"{', '.join(targets)}: {_outcome(verdict)}{size}"
    )
    for refusal in verdict.refusals:
        named = " ".join(filter(None, (refusal.layer or "graph", f"({refusal.operator})")))
        console.out.print(f"  {named}: {refusal.text}", markup=False)
    if not verdict.refusals:
        for line in verdict.errors:
            console.out.print(f"  {line}", markup=False)
    for line in verdict.warnings:
        console.out.print(f"  warning: {line}", markup=False)


def _outcome(verdict: Verdict) -> str:
    """ "crashed (signal 11, SIGSEGV)", or the outcome as it is."""
    if verdict.signal is None:
        return verdict.outcome
    return f"crashed (signal {verdict.signal}, {signal.Signals(verdict.signal).name})"


def _problem(violations: tuple[Violation, ...], verdict: Verdict | None) -> str | None:
    """Why the command fails; None where it does not."""
    found = []
    if violations:
        more = f", and {len(violations) - 1} more" if violations[1:] else ""
        first = violations[0]
        found.append(f"breaks rule {first.rule} at {first.layer}{more}")
    if verdict is not None and not verdict.built:
        found.append(f"{TENSORRT_RTX.title} {verdict.tensorrt}: {_outcome(verdict)}")
    return "; ".join(found) or None


def _result(
    violations: tuple[Violation, ...],
    verdict: Verdict | None,
    targets: tuple[str, ...],
    missing: HostError | None,
) -> dict[str, object]:
    return {
        "passed": _problem(violations, verdict) is None,
        "rules": len(RULES.rules),
        "violations": [
            {"rule": v.rule, "layer": v.layer, "what": v.what, "remedy": v.remedy}
            for v in violations
        ],
        "tensorrt_rtx": None
        if verdict is None
        else {
            "version": verdict.tensorrt,
            "targets": list(targets),
            "outcome": verdict.outcome,
            "signal": verdict.signal,
            "plan_bytes": verdict.plan_bytes,
            "refusals": [
                {"layer": r.layer, "operator": r.operator, "what": r.text} for r in verdict.refusals
            ],
            "errors": list(verdict.errors),
            "warnings": list(verdict.warnings),
        },
        "not_asked": None if missing is None else missing.what,
    }
