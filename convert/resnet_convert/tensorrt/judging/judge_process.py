"""The process that holds TensorRT-RTX: reads questions from stdin, writes verdicts to stdout.

`judge.py` starts it as `python -m resnet_convert.tensorrt.judging.judge_process`. It is a process
of its own because the native code can end it: a computed Q/DQ scale is a segmentation fault.
Reference: TensorRT-RTX Python API 1.7; its parser and builder need neither a GPU nor a driver.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
import time
from typing import Any

from resnet_convert.tensorrt import targets
from resnet_convert.tensorrt.judging.verdict import Question, Refusal, Verdict
from resnet_serve.errors import HostError
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX

_PARSING = re.compile(r"Parsing node: (?P<layer>.*) \[(?P<operator>\w+)\]$")


def judge(trt: Any, question: Question, log: Any) -> Verdict:
    """Parse the graph and build it, as far as that goes."""
    started = time.perf_counter()
    log.clear()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    parsed = parser.parse(question.model)
    refusals = [] if parsed else [parser.get_error(i) for i in range(parser.num_errors)]
    plan = _build(trt, builder, network, question) if parsed and question.build else None
    return Verdict(
        tensorrt=str(trt.__version__),
        parsed=parsed,
        refusals=tuple(dict.fromkeys(_refusal(each, log) for each in refusals)),
        plan_bytes=None if plan is None else plan.nbytes,
        layers=log.layers,
        errors=tuple(log.errors),
        warnings=tuple(dict.fromkeys(log.warnings)),
        seconds=time.perf_counter() - started,
    )


def _build(trt: Any, builder: Any, network: Any, question: Question) -> Any:
    config = builder.create_builder_config()
    # Only then does the log hold the layers with their types.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    targets.choose(TENSORRT_RTX, config, question.targets)
    for row in question.profiles:
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            image = network.get_input(index)
            sides = [side if side >= 0 else question.open_side for side in tuple(image.shape)[1:]]
            shapes = ((size, *sides) for size in (row.minimum, row.optimum, row.maximum))
            profile.set_shape(image.name, *shapes)
        config.add_optimization_profile(profile)
    return builder.build_serialized_network(network, config)


def _refusal(error: Any, log: Any) -> Refusal:
    layer, operator = error.node_name(), error.node_operator()
    if not layer and log.parsing is not None:
        layer, operator = log.parsing
    return Refusal(layer, operator, " ".join(error.desc().split()))


def make_log(trt: Any) -> Any:
    """A verbose logger that keeps what a verdict needs."""

    class Log(trt.ILogger):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.clear()

        def clear(self) -> None:
            self.errors: list[str] = []
            self.warnings: list[str] = []
            self.layers = ""
            self.parsing: tuple[str, str] | None = None

        def log(self, severity: Any, msg: str) -> None:
            kind = trt.ILogger.Severity
            if severity in (kind.ERROR, kind.INTERNAL_ERROR):
                self.errors.append(" ".join(msg.split()))
            elif severity == kind.WARNING:
                self.warnings.append(" ".join(msg.split()))
            elif msg.startswith("Layers:"):
                self.layers = msg
            elif node := _PARSING.search(msg):
                self.parsing = node["layer"], node["operator"]

    return Log()


def main() -> None:
    """Answer questions until stdin ends; the first message says that the library is loaded."""
    # The library may print: what it writes to stdout goes to stderr, apart from the verdicts.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        trt: Any = TENSORRT_RTX.library()
    except HostError as missing:
        pickle.dump(missing, answers)
        return
    log = make_log(trt)  # one for all builders: the library takes the first of a process
    pickle.dump(str(trt.__version__), answers)
    answers.flush()
    while True:
        try:
            question = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the process that started this
        except EOFError:
            return
        pickle.dump(judge(trt, question, log), answers)
        answers.flush()


if __name__ == "__main__":
    main()
