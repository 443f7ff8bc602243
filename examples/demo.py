"""The main job, end to end, on this machine: what `make demo` runs.

A ResNet-20 that was trained on handwritten digits is converted to FP32, FP16 and INT8, served by a
real Triton, used to classify images that it has not seen, and load-tested; one for grey photographs
is served beside it. Then an untrained ResNet-50 shows the speed. All is written to demo_output/.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import rtx_engine
from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from speed_table import Row, speed_table

from resnet_serve import Server, durable, host, weights
from resnet_serve.architectures import find
from resnet_serve.console import fail
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.fashion_mnist import SAMPLE_FOLDER, FashionMnist
from resnet_serve.errors import HostError, UsageError
from resnet_serve.loadtest import results
from resnet_serve.loadtest import run as loadtest
from resnet_serve.loadtest.offered import Offered
from resnet_serve.parity import latency
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.runtimes import pytorch as pytorch_runtime

OUTPUT = Path("demo_output")
REPOSITORY = OUTPUT / "model_repository"
IMAGES = OUTPUT / "digits"
CLOTHES = OUTPUT / "clothes"
SHOWN_IMAGES = 8
MODULES = {
    "resnet-convert": "resnet_convert.cli",
    "resnet-serve": "resnet_serve.cli",
    "resnet-classify": "resnet_client.cli",
}
console = Console(highlight=False)


def program(name: str) -> str:
    """One of our commands as a user types it from here."""
    path = Path(sys.executable).parent / name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other demos out, which would remove the output of this one; exits with 2 in those."""
    where = OUTPUT.absolute()
    busy = UsageError("another demo is writing there now", where=where, remedy="Wait for it.")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(durable.locked(OUTPUT.parent, busy))
        except UsageError as error:
            fail(str(error), error.exit_code)
        except HostError:
            console.print("[dim]This file system has no locks: start no second demo here.")
        yield


def title(letter: str, text: str) -> None:
    """Print the heading of a part of the demo."""
    console.print()
    console.print(Rule(f"[bold]{letter}. {text}", align="left"))


def command(line: str, environment: Mapping[str, str] | None = None) -> None:
    """Print and run one of our commands in this environment."""
    console.print(f"[bold cyan]$ {line}")
    name, *arguments = shlex.split(line)
    words = [sys.executable, "-m", MODULES[name], *arguments]
    subprocess.run(words, check=True, env=environment)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A Triton on the demo's repository, on free ports, until the block ends."""
    with console.status("starting Triton") as status:

        def progress(elapsed_s: float, loaded: tuple[str, ...], count: int) -> None:
            status.update(f"starting Triton: {len(loaded)} of {count} models, {elapsed_s:.0f} s")

        server = Server(REPOSITORY, port=0, progress=progress).start()
    console.print(f"Triton {server.version} serves {len(server.models)} models at {server.grpc}")
    try:
        yield server
    finally:
        server.stop()


def trained(name: str, what: str) -> str:
    """How one of the networks of this repository was trained, in a sentence."""
    record = weights.load(name, find("resnet20")).training
    accuracy = f"{100 * record['held_out_accuracy']:.1f} % of {record['held_out']:,} held out"
    return f"ResNet-20, trained on {record['trained_on']:,} {what}: {accuracy} are right"


def convert_digits() -> None:
    """Convert the trained ResNet-20 to each precision, by the command."""
    console.print(trained("digits", "digits"))
    for precision in ("fp32", "fp16", "int8"):
        calibration = " --calibration digits" if precision == "int8" else ""
        command(
            f"resnet-convert --arch resnet20 --weights digits --precision {precision}{calibration} "
            f"--validation digits --name digits_{precision} --repository {REPOSITORY}"
        )


def convert_clothes() -> None:
    """Convert the network for grey images to INT8, by the command."""
    console.print(trained("fashion-mnist", "grey photographs"))
    command(
        "resnet-convert --arch resnet20 --weights fashion-mnist --precision int8 "
        "--calibration fashion-mnist-sample --validation fashion-mnist-sample "
        f"--name clothes_int8 --repository {REPOSITORY}"
    )


def classify(server: Server) -> None:
    """Classify digits and clothes from files, by the command."""
    Digits(held_out=True).export(IMAGES, SHOWN_IMAGES)
    console.print("<the truth>/<its number>.png: images that the networks have never seen")
    command(f"resnet-classify {IMAGES} --url {server.grpc} --model digits_int8 --top 3")
    FashionMnist(held_out=True, folder=SAMPLE_FOLDER).export(CLOTHES, SHOWN_IMAGES // 2)
    command(f"resnet-classify {CLOTHES} --url {server.grpc} --model clothes_int8 --top 2")


def load_test(server: Server, model: str, concurrency: str, seconds: float) -> loadtest.LoadTest:
    """Load-test one model; write the CSV and the plot, and print the table."""
    with console.status(f"perf_analyzer on {model}") as status:

        def started(offered: Offered, bound_s: float) -> None:
            status.update(f"perf_analyzer on {model}: {offered}, at most {bound_s:.0f} s")

        test = loadtest.run(
            model, url=server.grpc, concurrency=concurrency, seconds=seconds, started=started
        )
    written = results.write(test, OUTPUT / "loadtest")
    console.print(results.table(test))
    console.print(f"wrote {written.csv} and its plot")
    for note in test.notes:
        console.print(f"[dim]{note}")
    return test


def in_process() -> list[Row]:
    """PyTorch and ONNX Runtime alternating, on the same cores and the same image."""
    loaded = weights.load("random", find("resnet50"))
    threads = host.cores()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    planes = loaded.preprocessing.normalize(pixels)
    network = loaded.network()
    reference = pytorch_runtime.load(network, threads=threads)
    models = {
        precision: onnxruntime_runtime.load(
            REPOSITORY / f"resnet50_{precision}" / "1" / "model.onnx", threads=threads
        )
        for precision in ("fp32", "int8")
    }
    runs: dict[str, Callable[[], object]] = {"PyTorch eager": lambda: reference.run(planes)}
    runs |= {
        f"ONNX Runtime {precision}": lambda model=model: model.run(pixels)  # type: ignore[misc]
        for precision, model in models.items()
    }
    with console.status("timing PyTorch and ONNX Runtime, 12 s"):
        times = latency.measure(runs, batch_size=1, seconds=12)
    for model in models.values():
        model.close()
    ratios = {name: latency.speedup(times["PyTorch eager"], each) for name, each in times.items()}
    ratio = ratios["ONNX Runtime int8"]
    console.print(f"INT8 against PyTorch at batch 1: {ratio} [{ratio.low:.1f}–{ratio.high:.1f}]")
    return [
        Row(
            name.removesuffix(" fp32").removesuffix(" int8"),
            "int8" if name.endswith("int8") else "fp32",
            found.median_ms,
            found.images_per_s,
            str(ratios[name]).partition(":")[0],
        )
        for name, found in times.items()
    ]


def resnet50() -> list[Row]:
    """Convert an untrained ResNet-50 and measure it in process and served."""
    console.print("[yellow]This ResNet-50 is UNTRAINED: it is here for speed only.")
    for precision in ("fp32", "int8"):
        calibration = " --calibration digits --calibration-images 32" if precision == "int8" else ""
        command(
            f"resnet-convert --arch resnet50 --weights random --precision {precision}{calibration} "
            f"--validation digits --validation-images 16 --name resnet50_{precision} "
            f"--repository {REPOSITORY}"
        )
    rows = in_process()
    with serving() as server:
        for precision in ("fp32", "int8"):
            found = load_test(server, f"resnet50_{precision}", "1,4", seconds=5)
            best = None if found.best is None else found.best.throughput_per_s
            rows.append(Row("Triton, gRPC", precision, found.levels[0].p50_ms, best))
    return rows


def summary(rows: list[Row], seconds: float) -> None:
    """Print what this run has measured, and the next command."""
    if rows:
        console.print(speed_table(rows))
    digits = Table(
        "digits ResNet-20",
        "size",
        "top-1, PyTorch → converted",
        "decisions as before",
        "latency against PyTorch",
    )
    for precision in ("fp32", "fp16", "int8"):
        path = REPOSITORY / f"digits_{precision}" / "1" / "passport.json"
        facts = json.loads(path.read_text(encoding="utf-8"))
        decisions = facts["parity"]["decisions"]
        digits.add_row(
            precision,
            f"{facts['model']['size_bytes'] / 1e6:.2f} MB",
            f"{decisions['reference_top1']:.2f} % → {decisions['converted_top1']:.2f} %",
            f"{100 * decisions['top1_agreement']:.2f} %",
            "not stated"
            if (ratio := facts["latency"]["speedup"]["median"]) is None
            else f"{ratio:.1f}×",
        )
    console.print(digits)
    report = REPOSITORY / "digits_int8" / "1" / "report.html"
    console.print(
        Panel(
            f"Done in {seconds:.0f} s; everything that was started is stopped.\n"
            f"Report: {report.absolute()}\n"
            f"[bold]Next:   {program('resnet-serve')} up --repository {REPOSITORY}",
            border_style="green",
            expand=False,
        )
    )


def main() -> None:
    """The demo; exits with the code of the first command that fails."""
    parser = argparse.ArgumentParser(description="The main job, end to end, on this machine.")
    parser.add_argument("--digits-only", action="store_true", help="leave the ResNet-50 out")
    digits_only = parser.parse_args().digits_only
    with alone():
        run(digits_only)


def run(digits_only: bool) -> None:
    """All its parts, one after the other."""
    started = time.perf_counter()
    shutil.rmtree(OUTPUT, ignore_errors=True)
    machine = host.describe()
    isa = ", ".join(machine.instruction_sets) or "no vector extensions known"
    console.print(f"[bold]resnet-serve[/] on {machine.processor}, {machine.cores} cores ({isa})")
    title("a, b", "A trained network, in three precisions")
    convert_digits()
    convert_clothes()
    title("c, d", "Served by Triton, classifying held-out images over gRPC")
    with serving() as server:
        classify(server)
        title("e", "perf_analyzer")
        for precision in ("fp32", "int8"):
            load_test(server, f"digits_{precision}", "1,4", seconds=3)
    rows: list[Row] = []
    if not digits_only:
        title("f", "ResNet-50: PyTorch, ONNX Runtime and Triton side by side")
        rows = resnet50()
    title("g", "An engine for RTX GPUs, built on this machine")
    rtx_engine.build(command, console.print, OUTPUT / "rtx_repository")
    title("h", "Summary")
    summary(rows, time.perf_counter() - started)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        console.print("interrupted; what was started is stopped")
        sys.exit(130)
