"""`resnet-classify IMAGE…`: results on stdout, messages on stderr, no traceback for known errors.

Exit codes: 0 done · 1 unexpected · 2 usage or unknown model · 4 no server · 5 a bad image.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import get_args

from resnet_client.classifier import Classifier
from resnet_client.command import screen
from resnet_client.command.inputs import Inputs, collect
from resnet_client.contract import Decode
from resnet_client.discovery import only_classifier
from resnet_client.errors import BadImageError, ClientError
from resnet_client.transport.connection import Connection

_INTERRUPTED = 130
_TRACEBACK = "RESNET_SERVE_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a stream that the caller replaced
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except ClientError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has ended, as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            raise
        _complain(
            f"unexpected {type(error).__name__}: {error}. This is a bug in resnet-classify; "
            f"{_TRACEBACK}=1 shows the traceback."
        )
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="resnet-classify",
        description="Classify images with a model that Triton serves.",
        epilog="Exit codes: 0 done, 1 unexpected, 2 usage or unknown model, "
        "4 no server, 5 at least one bad image.",
    )
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="an image file, a folder of them, or - for stdin",
    )
    parser.add_argument(
        "--url",
        metavar="HOST:PORT",
        default="127.0.0.1:8001",
        help="the server's gRPC endpoint (default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        default=os.environ.get("RESNET_MODEL"),
        help="the served model (default: RESNET_MODEL, else the only classifier served)",
    )
    parser.add_argument(
        "--top",
        metavar="N",
        type=_whole_number,
        help="how many classes to show (default: 5; where each label has a threshold, all from "
        "there on)",
    )
    parser.add_argument(
        "--decode",
        choices=get_args(Decode),
        default="client",
        help="where the images are decoded and resized (default: %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per image, each on a line"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="how long to wait for each response (default: 30)",
    )
    return parser


def _whole_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if 0 < seconds < float("inf"):
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")


def _run(options: argparse.Namespace) -> int:
    inputs = collect(options.images)
    for error in inputs.errors:
        _complain(str(error))
    if inputs.skipped:
        _note(f"skipped {inputs.skipped} files without the suffix of an image")
    bad = len(inputs.errors)
    if inputs.images:
        bad += _classify(inputs, options)
    return BadImageError.exit_code if bad else 0


def _classify(inputs: Inputs, options: argparse.Namespace) -> int:
    """Print the result of every image as it arrives; returns the number of bad images."""
    model = options.model or _only(options)
    names = [name for name, _ in inputs.images]
    bad = 0
    with Classifier(
        options.url, model, decode=options.decode, timeout_s=options.timeout, notice=_note
    ) as classifier:
        found = classifier.classify_many((image for _, image in inputs.images), options.top)
        for done, (name, result) in enumerate(zip(names, found, strict=True), start=1):
            error = result.error and result.error.about(name)
            bad += error is not None
            if options.json:
                _print(screen.json_line(name, model, result.predictions, error))
            elif error is None:
                _print(screen.block(name, result.predictions, stream=sys.stdout))
            else:
                _complain(str(error))
            _count(done, len(names))
    if bad and len(names) > 1:
        _note(f"{bad} of {len(names)} images could not be classified")
    return bad


def _only(options: argparse.Namespace) -> str:
    with closing(Connection(options.url, timeout_s=options.timeout, notice=_note)) as connection:
        return only_classifier(connection)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _count(done: int, total: int) -> None:
    """Progress on stderr, where the results are not shown on the terminal."""
    if sys.stderr.isatty() and not sys.stdout.isatty():
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done}/{total} images{end}")
        sys.stderr.flush()


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {screen.printable(message)}\n")


def _note(message: str) -> None:
    sys.stderr.write(f"note: {screen.printable(message)}\n")


if __name__ == "__main__":
    sys.exit(main())
