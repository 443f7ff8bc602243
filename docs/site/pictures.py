"""The pictures of README: the terminal of a real conversion, and the top of its report.

    python docs/site/pictures.py

The conversion runs here, on a terminal that records what it shows; the report is drawn by Chromium,
which must be installed. Both files are written to docs/pictures.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from resnet_convert import cli
from resnet_serve import console
from resnet_serve.errors import HostError

FOLDER = Path(__file__).parent.parent / "pictures"
COMMAND = """resnet-convert --arch resnet20 --weights digits --precision int8 \\
      --calibration digits --validation digits --name digits"""
COLUMNS = 132
REPORT_PIXELS = (1100, 940)
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
# The picture must not load a font from elsewhere: a viewer that is offline, or careful, has none.
_FONTS = re.compile(r"@font-face \{.*?\}\n?", re.DOTALL)


def terminal() -> str:
    """Convert in the current folder; the terminal as an SVG."""
    # No terminal, or each movement of the progress bars would be in the picture.
    recorded = Console(
        file=io.StringIO(), width=COLUMNS, record=True, color_system="truecolor", highlight=False
    )
    console.out = console.err = recorded
    recorded.print(f"[bold]$[/] {COMMAND}", soft_wrap=True)
    sys.argv = COMMAND.replace("\\", " ").split()
    try:
        cli.main()
    except SystemExit as ended:
        if ended.code:
            raise
    drawn = recorded.export_svg(title="resnet-convert", theme=MONOKAI)
    # A line gets shorter without the path of this folder, and may not be stretched then.
    folder = re.compile(rf' textLength="[\d.]+"([^>]*>[^<]*){re.escape(str(Path.cwd()))}/')
    return folder.sub(r"\1", _FONTS.sub("", drawn))


def screenshot(report: Path, picture: Path) -> None:
    """The top of a page as a PNG; raises `HostError` where there is no browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise HostError("no Chromium", remedy="Install it, on Debian: apt install chromium.")
    words = ("--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={picture}")
    size = "--window-size={},{}".format(*REPORT_PIXELS)
    subprocess.run([browser, *words, size, report.as_uri()], check=True, timeout=120)


def main() -> None:
    """Write both."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        drawn = terminal()
        (report,) = Path("model_repository").resolve().glob("digits/*/report.html")
        screenshot(report, FOLDER / "report.png")
    (FOLDER / "terminal.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
