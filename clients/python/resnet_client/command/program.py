"""The run of `resnet-classify`: from its arguments to its exit code, without a traceback."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing

from resnet_client.classifier import Classifier
from resnet_client.command import options as command_line
from resnet_client.command import screen
from resnet_client.command.inputs import Inputs, collect
from resnet_client.command.output_file import OutputFile
from resnet_client.command.rows import JsonRows, Rows, csv_rows
from resnet_client.discovery import only_classifier
from resnet_client.errors import BadImageError, ClientError
from resnet_client.images import ImageLike
from resnet_client.prediction import Prediction
from resnet_client.transport.channel import Tls, checked_headers
from resnet_client.transport.connection import Connection

_INTERRUPTED = 130
_TRACEBACK = "RESNET_SERVE_TRACEBACK"


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a stream that the caller replaced
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    options = command_line.parser().parse_args(arguments)
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


def _run(options: argparse.Namespace) -> int:
    command_line.check(options)
    inputs = collect(options.images, options.files_from)
    for error in inputs.errors:
        _complain(str(error))
    for path, kind in inputs.special:
        _note(f"skipped {path}: {kind}")
    if inputs.skipped:
        _note(f"skipped {inputs.skipped} files without the suffix of an image")
    bad = len(inputs.errors)
    if inputs.images:
        bad += _classify(inputs, options)
    return BadImageError.exit_code if bad else 0


def _classify(inputs: Inputs, options: argparse.Namespace) -> int:
    """Show or write the result of every image as it arrives; returns the number of bad images."""
    tls, headers = command_line.tls(options), command_line.headers()
    with Classifier(
        options.url,
        options.model or _only(options, tls, headers),
        decode=options.decode,
        timeout_s=options.timeout,
        tls=tls,
        headers=headers,
        notice=_note,
    ) as classifier:
        rows: Rows | None = JsonRows() if options.json else None
        if options.csv:
            rows = csv_rows(classifier.contract(), options.top)
        if options.output is None or rows is None:
            if rows is not None:
                sys.stdout.write(rows.heading)
            return _Run(classifier, options, rows, None).over(inputs)
        with OutputFile(options.output, rows, classifier.model, resume=options.resume) as file:
            return _Run(classifier, options, rows, file).over(inputs)


class _Run:
    """One run over the images: text on the screen, or rows on stdout or in a file."""

    def __init__(
        self,
        classifier: Classifier,
        options: argparse.Namespace,
        rows: Rows | None,
        file: OutputFile | None,
    ) -> None:
        self._classifier, self._top = classifier, options.top
        self._request_id = options.request_id
        self._rows, self._file = rows, file
        self._began = time.monotonic()

    def over(self, inputs: Inputs) -> int:
        """Classify; returns the number of bad images, with those of the runs before."""
        bad, before = 0, 0
        images: Sequence[tuple[str, ImageLike]] = inputs.images
        if self._file is not None:
            images = _without(inputs.images, self._file)
            bad, before = self._file.failed, len(inputs.images) - len(images)
            if self._file.repaired:
                _note(f"{self._file.path}: removed the half of a row at its end")
            if before:
                _note(f"{self._file.path}: has {before} of {len(inputs.images)} images")
        done = before
        found = self._classifier.classify_many(
            (image for _, image in images), self._top, request_id=self._request_id
        )
        try:
            for (name, _), result in zip(images, found, strict=True):
                error = result.error and result.error.about(name)
                bad += error is not None
                self._show(name, result.predictions, error)
                done += 1
                self._count(done, done - before, len(inputs.images))
        except BaseException:
            if self._file is not None:
                _note(
                    f"{self._file.path}: has {done} of {len(inputs.images)} images; "
                    "--resume goes on from it"
                )
            raise
        if bad and len(inputs.images) > 1:
            _note(f"{bad} of {len(inputs.images)} images could not be classified")
        return bad

    def _show(
        self, name: str, predictions: Sequence[Prediction], error: ClientError | None
    ) -> None:
        if self._rows is not None:
            row = self._rows.row(name, self._classifier.model, predictions, error)
            if self._file is None:
                _print(row)
                return
            self._file.write(row)
        if error is not None:
            _complain(str(error))
        elif self._rows is None:
            _print(screen.block(name, predictions, stream=sys.stdout) + "\n")

    def _count(self, done: int, now: int, total: int) -> None:
        """Progress on stderr, where the results are not shown on the terminal."""
        if not sys.stderr.isatty() or (self._file is None and sys.stdout.isatty()):
            return
        speed = now / max(time.monotonic() - self._began, 1e-3)
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done:,}/{total:,} images, {speed:,.0f}/s {end}")
        sys.stderr.flush()


def _without(
    images: Sequence[tuple[str, ImageLike]], file: OutputFile
) -> list[tuple[str, ImageLike]]:
    """The images without those that have a row, each row for one image of its name."""
    rest = file.done.copy()
    left = []
    for name, image in images:
        if rest[name] > 0:
            rest[name] -= 1
        else:
            left.append((name, image))
    return left


def _only(options: argparse.Namespace, tls: bool | Tls, headers: dict[str, str]) -> str:
    encryption = Tls() if tls is True else tls or None
    with closing(
        Connection(
            options.url,
            timeout_s=options.timeout,
            tls=encryption,
            headers=checked_headers(headers),
            notice=_note,
        )
    ) as connection:
        return only_classifier(connection)


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {screen.printable(message)}\n")


def _note(message: str) -> None:
    sys.stderr.write(f"note: {screen.printable(message)}\n")
