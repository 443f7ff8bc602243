"""The options of `resnet-classify`."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import get_args

from resnet_client import arguments
from resnet_client.contract import Decode
from resnet_client.errors import UsageError
from resnet_client.transport.channel import Tls

TOKEN = "RESNET_TOKEN"  # noqa: S105 - the name of a variable


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(
        prog="resnet-classify",
        description="Classify images with a model that Triton serves.",
        epilog="Exit codes: 0 done, 1 unexpected, 2 usage or unknown model, "
        "4 no server, 5 at least one bad image.",
    )
    made.add_argument(
        "images",
        metavar="IMAGE",
        nargs="*",
        help="an image file, a folder of them, a pattern such as 'a/**/*.jpg', or - for the bytes "
        "of one image on stdin",
    )
    made.add_argument(
        "--files-from",
        metavar="FILE",
        help="the paths of images in a file, one on a line, or separated by NUL as of find -print0;"
        " - for stdin",
    )
    _results(made)
    _server(made)
    return made


def _results(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--top",
        metavar="N",
        type=_whole_number,
        help="how many classes to show (default: 5; where each label has a threshold, all from "
        "there on)",
    )
    form = made.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="one JSON object per image, each on a line"
    )
    form.add_argument("--csv", action="store_true", help="one row per image, with a heading")
    made.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="write the results of --json or --csv into a new file instead of stdout",
    )
    made.add_argument(
        "--resume",
        action="store_true",
        help="go on from the file of --output: classify what it has no result of yet",
    )


def _server(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--url",
        metavar="HOST:PORT",
        default="127.0.0.1:8001",
        help="the server's gRPC endpoint (default: %(default)s)",
    )
    made.add_argument(
        "--model",
        metavar="NAME",
        default=os.environ.get("RESNET_MODEL"),
        help="the served model (default: RESNET_MODEL, else the only classifier served)",
    )
    made.add_argument(
        "--decode",
        choices=get_args(Decode),
        default="client",
        help="where the images are decoded and resized (default: %(default)s)",
    )
    made.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=30.0,
        help="how long to wait for each response, also of a server that restarts (default: 30)",
    )
    made.add_argument(
        "--request-id",
        metavar="ID",
        default="",
        help="the requests are called ID-1, ID-2, … in the server's access log",
    )
    made.add_argument("--tls", action="store_true", help="encrypt the connection")
    made.add_argument(
        "--tls-ca", metavar="FILE", help="trust these authorities, PEM, instead of the system's"
    )
    made.add_argument("--tls-cert", metavar="FILE", help="this client's certificate, PEM")
    made.add_argument("--tls-key", metavar="FILE", help="this client's key, PEM")


def tls(options: argparse.Namespace) -> bool | Tls:
    """The encryption that the options ask for."""
    files = options.tls_ca, options.tls_cert, options.tls_key
    if any(file is not None for file in files):
        return Tls(*files)
    return bool(options.tls)


def headers() -> dict[str, str]:
    """The header with the token in RESNET_TOKEN, which is not on the list of processes."""
    token = os.environ.get(TOKEN)
    return {"authorization": f"Bearer {token}"} if token else {}


def check(options: argparse.Namespace) -> None:
    """Raise `UsageError` for options that do not go together, and an id that cannot be logged."""
    arguments.request_id(options.request_id)
    if not options.images and options.files_from is None:
        raise UsageError("there is nothing to classify", remedy="Name images, or --files-from.")
    if options.output is not None and not (options.json or options.csv):
        raise UsageError("--output needs a form for the results", remedy="Add --json or --csv.")
    if options.resume and options.output is None:
        raise UsageError("--resume goes on from a file", remedy="Name it with --output.")
    if "-" in options.images and options.files_from == "-":
        raise UsageError("stdin is either an image or a list of paths: give one '-'")


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
