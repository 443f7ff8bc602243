"""Every failure of a command is one line on stderr and the documented exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from patience import PATIENCE_S

from resnet_serve import console, errors

TYPER = """
import sys, time, typer
from resnet_serve import console, errors
app = typer.Typer()

@app.command()
def fail() -> None:
    raise errors.ParityError("max |Δ| is 3", where="layer3.4.conv2", remedy="See the report.")

@app.command()
def bug() -> None:
    {}["key"]

@app.command()
def sleep() -> None:
    print("ready", flush=True)
    time.sleep(30)

@app.command()
def many() -> None:
    for _ in range(100_000):
        console.out.print("a line of output")

@app.command()
def fine() -> None:
    console.warn("careful")
    console.out.print("done")

console.run(app)
"""


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TYPER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def failed(error: BaseException, capsys: pytest.CaptureFixture[str], code: int) -> str:
    def app() -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        console.run(app)
    assert stop.value.code == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, "not one line"
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    return captured.err.removeprefix("error: ").removesuffix("\n")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESNET_SERVE_TRACEBACK", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ResnetServeError, 1),
        (errors.UsageError, 2),
        (errors.ParityError, 3),
        (errors.HostError, 4),
        (errors.InputFileError, 5),
        (errors.ConversionError, 5),
    ],
)
def test_every_error_class_is_one_line_and_its_code(
    kind: type[errors.ResnetServeError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = kind("is broken", where=Path("a/b.onnx"), remedy="Mend it.")
    assert failed(error, capsys, code) == "a/b.onnx: is broken. Mend it."


@pytest.mark.parametrize(
    "text",
    [
        "pip install 'resnet-serve[convert]'",
        "a [bold]word[/bold] and [/] and [red]",
        r"C:\weights\[1]\net.pth",
        "a trailing backslash \\",
        "a :warning: sign and :smile:",
        "input [N,3,224,224] is not [N,H,W,3]",
        "x" * 500,
        "größer × 25 µs – ok",
    ],
)
def test_a_message_is_shown_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert failed(errors.UsageError(text), capsys, 2) == text
    console.warn(text)
    assert capsys.readouterr().err == f"warning: {text}\n"
    console.warn(errors.Note(text), None, "another one")
    assert capsys.readouterr().err == f"note: {text}\nwarning: another one\n"


def test_lines_and_escape_sequences_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = errors.InputFileError("first\nsecond", where="a\x1b[2Jb\x07\udcff.png")
    shown = failed(error, capsys, 5)
    assert shown == r"a\x1b[2Jb\x07\udcff.png: first second"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_ctrl_c_is_130(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert failed(error, capsys, 130) == "interrupted"


def test_an_unexpected_error_is_1_and_says_how_to_see_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = failed(RuntimeError("a\nb [c]"), capsys, 1)
    assert shown.startswith("unexpected RuntimeError: a b [c]. This is a bug")
    assert "RESNET_SERVE_TRACEBACK=1" in shown


@pytest.mark.parametrize("error", [errors.HostError("x"), RuntimeError("x")])
def test_the_traceback_can_be_asked_for(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def app() -> None:
        raise error

    monkeypatch.setenv("RESNET_SERVE_TRACEBACK", "1")
    with pytest.raises(type(error)):
        console.run(app)


@pytest.mark.parametrize("code", [0, 2, 3])
def test_the_exit_code_of_the_app_is_kept(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def app() -> None:
        raise SystemExit(code)

    with pytest.raises(SystemExit) as stop:
        console.run(app)
    assert stop.value.code == code
    assert capsys.readouterr().err == ""


def test_an_app_that_returns_is_0() -> None:
    with pytest.raises(SystemExit) as stop:
        console.run(lambda: None)
    assert stop.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "out", "err"),
    [
        (["fine"], 0, "done\n", "warning: careful\n"),
        (["fail"], 3, "", "error: layer3.4.conv2: max |Δ| is 3. See the report.\n"),
        (["bug"], 1, "", "error: unexpected KeyError: 'key'. This is a bug"),
        (["nonsense"], 2, "", "No such command 'nonsense'"),
    ],
)
def test_a_real_command(arguments: list[str], code: int, out: str, err: str) -> None:
    with command(*arguments) as process:
        shown = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert shown[0] == out
    assert err in shown[1]
    assert "Traceback" not in shown[1]


def test_a_real_ctrl_c() -> None:
    with command("sleep") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert shown.strip() == "error: interrupted"


def test_a_reader_that_goes_away_is_no_failure_to_talk_about() -> None:
    with command("many") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "a line of output\n"
        process.stdout.close()
        shown = process.stderr.read()
    assert "Traceback" not in shown
    assert shown == ""


def test_paragraphs_of_help_are_filled() -> None:
    app = typer.Typer(cls=console.Commands, rich_markup_mode="rich")

    @app.command()
    def one() -> None:
        """The first.

        A line that ends here
        and goes on.

        Another paragraph.
        """

    app.command("two")(lambda: None)
    group = typer.main.get_command(app)
    assert isinstance(group, console.Commands)
    assert group.commands["one"].help == (
        "The first.\n\nA line that ends here and goes on.\n\nAnother paragraph."
    )
    assert not group.commands["two"].help


def test_a_full_disk_is_no_bug() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", TYPER, "fine"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 4
    assert done.stderr == "warning: careful\nerror: cannot write: no space left on device\n"
