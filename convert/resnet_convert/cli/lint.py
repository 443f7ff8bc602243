"""`resnet-convert lint`: an ONNX file against TensorRT's rules, and its real parser and builder."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from resnet_convert.cli.options import JsonOption
from resnet_convert.lint import onnx_file
from resnet_convert.lint.onnx_file import OnnxFile
from resnet_convert.lint.rules import Violation
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.tensorrt import rtx_targets
from resnet_convert.tensorrt.inspection import Inspection, inspect
from resnet_convert.tensorrt.judging.judge import Judge
from resnet_convert.tensorrt.judging.verdict import DEFAULT_TARGETS, Question, Verdict
from resnet_serve import console
from resnet_serve.errors import ConversionError, HostError
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX

_RTX = "rtx"
# Warnings of every quantized network, of which nothing follows for its user.
_USUAL = "(foreignNode) Converting conv"


@dataclass(frozen=True)
class _Judged:
    """The library's verdict, with PyTorch's names, and its layers where it built the file."""

    verdict: Verdict
    targets: tuple[str, ...]
    layers: Inspection | None

    @property
    def outcome(self) -> str:
        """As text: "built", "the parser refuses", "crashed (signal 11, SIGSEGV)"."""
        found = self.verdict
        if found.signal is None:
            return found.outcome
        return f"crashed (signal {found.signal}, {signal.Signals(found.signal).name})"

    @property
    def problem(self) -> str | None:
        """What is wrong, None where nothing is."""
        if not self.verdict.built:
            return self.outcome
        wrong = () if self.layers is None else self.layers.wrong
        return f"builds {', '.join(wrong)} in another precision" if wrong else None

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.verdict.warnings if not line.startswith(_USUAL)]

    def to_json(self) -> dict[str, object]:
        found, layers = self.verdict, self.layers
        return {
            "version": found.tensorrt,
            "targets": list(self.targets),
            "outcome": found.outcome,
            "signal": found.signal,
            "plan_bytes": found.plan_bytes,
            "refusals": [
                {"layer": r.layer, "operator": r.operator, "what": r.text} for r in found.refusals
            ],
            "errors": list(found.errors),
            "warnings": self.warnings,
            "layers": None if layers is None else layers.to_json(),
        }


def lint(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The file to check.")],
    built_for: Annotated[
        str | None,
        typer.Option(
            "--for",
            help="Ask TensorRT-RTX too, which must be installed: [bold]rtx[/] for its default "
            "GPUs, or GPUs by name (rtx-4090,l4) or compute capability (8.6).",
            show_default="rtx, where it is installed",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check an ONNX file by our rules for TensorRT, then by TensorRT-RTX's real parser and builder.

    Both name the layers as PyTorch does. The library runs in a process of its own and needs no
    GPU. What it builds is not run, and it is not the parser of other versions of TensorRT.
    """
    targets = _targets(built_for)
    file = onnx_file.read(model)
    violations = file.check(RULES)
    judged, missing = _asked(file, targets)
    problems = [_broken(violations)] if violations else []
    if judged is not None and judged.problem is not None:
        problems.append(f"{TENSORRT_RTX.title} {judged.verdict.tensorrt}: {judged.problem}")
    if as_json:
        result = {
            "passed": not problems,
            "rules": len(RULES.rules),
            "violations": [
                {"rule": v.rule, "layer": v.layer, "what": v.what, "remedy": v.remedy}
                for v in violations
            ],
            "tensorrt_rtx": None if judged is None else judged.to_json(),
            "not_asked": None if missing is None else missing.what,
        }
        console.show_json(result)
    else:
        _show(violations)
        if judged is not None:
            _show_judged(judged)
    if missing is not None:
        if built_for is not None:
            raise missing
        console.warn(f"the real parser and builder were not asked: {missing}")
    if problems:
        raise ConversionError("; ".join(problems), where=model)


def _targets(built_for: str | None) -> tuple[str, ...]:
    return DEFAULT_TARGETS if built_for in (None, _RTX) else rtx_targets.named(str(built_for))


def _asked(file: OnnxFile, targets: tuple[str, ...]) -> tuple[_Judged | None, HostError | None]:
    with Judge() as judge:
        try:
            verdict = judge.ask(Question(file.data, targets))
        except HostError as missing:
            return None, missing
    layers = inspect(verdict.layers, file.model) if verdict.built else None
    if layers is not None:
        named = {file.name(node): found for node, found in layers.convolutions.items()}
        layers = replace(layers, convolutions=named)
    refusals = (replace(each, layer=file.name(each.layer)) for each in verdict.refusals)
    return _Judged(replace(verdict, refusals=tuple(refusals)), targets, layers), None


def _broken(violations: tuple[Violation, ...]) -> str:
    more = f", and {len(violations) - 1} more" if violations[1:] else ""
    return f"rule {violations[0].rule} is broken at {violations[0].layer}{more}"


def _show(violations: tuple[Violation, ...]) -> None:
    broken = len({each.rule for each in violations})
    count = len(RULES.rules)
    console.out.print(
        f"our rules for TensorRT: {broken} of {count} broken"
        if broken
        else f"our rules for TensorRT: all {count} kept"
    )
    for each in violations:
        _line(f"{each.rule:<3} {each.layer}: {each.what}. {each.remedy}")


def _show_judged(judged: _Judged) -> None:
    verdict = judged.verdict
    size = "" if verdict.plan_bytes is None else f", {verdict.plan_bytes / 1e6:.1f} MB"
    console.out.print(
        f"{TENSORRT_RTX.title} {verdict.tensorrt}, its real parser and builder, for compute "
        f"capability {', '.join(judged.targets)}: {judged.outcome}{size}"
    )
    if judged.layers is not None:
        _line(judged.layers.summary())
        for name in judged.layers.wrong:
            requested, found = judged.layers.convolutions[name]
            _line(f"{name}: {found or 'not found'}, not {requested}")
    for refusal in verdict.refusals:
        operator = f" ({refusal.operator})" if refusal.operator else ""
        _line(f"{refusal.layer or 'graph'}{operator}: {refusal.text}")
    for line in () if verdict.refusals else verdict.errors:
        _line(line)
    for line in judged.warnings:
        _line(f"warning: {line}")


def _line(text: str) -> None:
    console.out.print(f"  {text}", markup=False, highlight=False)
