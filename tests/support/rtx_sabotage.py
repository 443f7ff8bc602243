"""A mistake written into our code, and what the real TensorRT-RTX makes of it, in a child process.

    failures = [str(error) for error in sabotaged([Mistake(MODULE, "set_shape", "set_shapes")])]

Run as a program it reads the mistakes from stdin; each is made in a module's source, in memory, and
a small INT8 network is typed, built and inspected with it.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ENGINE = "resnet_convert.tensorrt.engine"
TARGETS = "resnet_convert.tensorrt.targets"
PAIRS = "resnet_convert.quantization.qdq"


@dataclass(frozen=True)
class Mistake:
    """A change of one module's source: `right` is replaced by `wrong` wherever it stands."""

    module: str
    right: str
    wrong: str


def sabotaged(mistakes: Sequence[Mistake]) -> list[str]:
    """The error of each mistake, "" where the plan was built as its graph says; one child."""
    from rtx import environment

    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps([asdict(each) for each in mistakes]),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def _error(mistake: Mistake) -> str:
    module = importlib.import_module(mistake.module)
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    assert mistake.right in source, mistake
    changed = source.replace(mistake.right, mistake.wrong)
    try:
        exec(compile(changed, str(module.__file__), "exec"), module.__dict__)
        return _built()
    except Exception as error:  # noqa: BLE001 - whatever the mistake leads to
        return f"{type(error).__name__}: {error}"
    finally:
        exec(compile(source, str(module.__file__), "exec"), module.__dict__)


def _built() -> str:
    from record_rtx_layers import small_network

    from resnet_convert.graph.model_file import serialize
    from resnet_convert.quantization import s8s8
    from resnet_convert.tensorrt import engine
    from resnet_convert.tensorrt.build_options import BuildOptions
    from resnet_convert.tensorrt.inspection import inspect
    from resnet_serve.runtimes.profiles import Profile
    from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX

    importlib.reload(s8s8)  # it holds functions of the module that was changed
    model = small_network("int8")
    options = BuildOptions((Profile(1, 4, 8),), workspace_mib=64)
    made = engine.build(serialize(model), options, ("8.9",), flavour=TENSORRT_RTX)
    check = inspect(made.layers, model).check()
    return "" if check.passed else check.found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    print(json.dumps([_error(Mistake(**each)) for each in json.load(sys.stdin)]))
