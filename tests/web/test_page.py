"""The page in a real Chromium against a real Triton: every way in, what it shows, how it looks."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import shades
from browsers import chromium, watched
from patience import PATIENCE_S
from playwright.sync_api import Browser, Page, expect
from web_servers import Web, serving

from resnet_serve.web.places import Places
from resnet_serve.web.settings import Settings

pytestmark = pytest.mark.triton
TOKEN = "the-token-of-these-tests"
REFUSED = "Failed to load resource"  # what Chromium's console says of each refused request
NARROW = {"width": 360, "height": 740}

# A file at the page's own handler, as a drop or a paste brings it.
GIVEN = """([kind, name, text]) => {
  const bytes = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  const event = kind === "drop"
    ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
  document.querySelector("#drop").dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, web: Web) -> Iterator[Page]:
    with watched(browser, web.url) as opened:
        expect(opened.locator(".column")).to_have_count(2)
        yield opened


def give(page: Page, level: int, kind: str = "drop", name: str = "grey.png") -> None:
    text = base64.b64encode(shades.image(level)).decode()
    page.evaluate(GIVEN, [kind, name, text])


def labelled(folder: Path, levels: dict[str, list[int]]) -> Path:
    """A folder of images in folders named after their class."""
    for label, found in levels.items():
        (folder / label).mkdir(parents=True)
        for level in found:
            (folder / label / f"{level}.png").write_bytes(shades.image(level))
    return folder


# --- ways in ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_is_classified_by_every_version(page: Page, kind: str) -> None:
    give(page, shades.LIGHT, kind)
    expect(page.locator("#verdict")).to_have_text("All 2 agree: light")
    expect(page.locator("#verdict")).to_have_class(re.compile("agree"))
    for column in page.locator(".column").all():
        expect(column.locator(".best")).to_contain_text("light")
        expect(column.locator(".bars li")).to_have_count(3)
        expect(column.locator(".facts")).to_contain_text(re.compile(r"Time[\d.]+ ms.*PyTorch2.0×"))
    expect(page.locator("#picture")).to_be_visible()
    assert page.locator(".bar i").first.evaluate("each => each.offsetWidth") > 50


def test_a_flipped_class_is_red_and_said(page: Page) -> None:
    give(page, shades.DISPUTED)
    expect(page.locator("#verdict")).to_have_text("shades-int8 decides light, not medium")
    flipped = page.locator(".column.flipped")
    expect(flipped).to_have_count(1)
    expect(flipped.locator(".best")).to_have_text(re.compile("light.*instead of medium"))
    expect(flipped.locator(".best")).to_have_css("color", "rgb(179, 38, 30)")
    give(page, shades.LIGHT)
    expect(page.locator("#verdict")).to_have_text("All 2 agree: light")
    expect(flipped).to_have_count(0)


def test_a_file_is_chosen_and_an_example_is_clicked(page: Page, tmp_path: Path) -> None:
    (tmp_path / "chosen.png").write_bytes(shades.image(shades.DARK))
    page.locator("#file").set_input_files(tmp_path / "chosen.png")
    expect(page.locator("#verdict")).to_have_text("All 2 agree: dark")
    expect(page.locator("#picture-name")).to_have_text("chosen.png")
    page.get_by_role("button", name="Example 4").click()
    expect(page.locator("#verdict")).to_have_text("All 2 agree: light")


def test_what_is_no_image_is_said_in_the_line_of_the_api(browser: Browser, web: Web) -> None:
    with watched(browser, web.url, expected=REFUSED) as page:
        expect(page.locator(".column")).to_have_count(2)
        page.evaluate(GIVEN, ["drop", "notes.png", base64.b64encode(b"some notes").decode()])
        expect(page.locator("#verdict")).to_have_class(re.compile("failed"))
        expect(page.locator("#verdict")).to_contain_text("image")
        expect(page.locator(".column .best").first).to_have_text("–")


def test_the_camera_is_classified_until_it_is_stopped(page: Page) -> None:
    button = page.get_by_role("button", name="Camera")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#verdict")).to_have_class(re.compile("agree|differ"))
    expect(page.locator("#camera")).to_be_visible()
    button.click()
    expect(page.locator("#camera")).to_be_hidden()
    expect(button).to_have_attribute("aria-pressed", "false")


def test_a_labelled_folder_gives_accuracy_and_agreement(page: Page, tmp_path: Path) -> None:
    levels = {"dark": [10, 20, 30], "medium": [120, shades.DISPUTED], "light": [220, 230, 240]}
    folder = labelled(tmp_path / "greys", levels)
    (folder / "dark" / "notes.txt").write_text("no image")
    page.locator("#folder").set_input_files(folder)
    expect(page.locator("#batch-text")).to_have_text("8 of 8 images. 1 decided differently.")
    rows = page.locator("#batch-table tbody tr")
    expect(rows.nth(0)).to_have_text(re.compile(r"shades100\.00 %reference[\d.]+ ms"))
    expect(rows.nth(1)).to_have_text(re.compile(r"shades-int887\.50 %87\.50 %[\d.]+ ms"))
    page.locator("#flips button").click()
    expect(page.locator("#verdict")).to_have_text("shades-int8 decides light, not medium")


def test_the_table_of_a_folder_is_whole_on_a_narrow_screen(
    browser: Browser, web: Web, tmp_path: Path
) -> None:
    folder = labelled(tmp_path / "greys", {"dark": [10], "light": [220]})
    with watched(browser, web.url, viewport=NARROW) as page:
        expect(page.locator(".column")).to_have_count(2)
        page.locator("#folder").set_input_files(folder)
        expect(page.locator("#batch-text")).to_have_text("2 of 2 images.")
        region = page.locator("#batch .scroll")
        widths = region.evaluate("(each) => [each.scrollWidth, each.clientWidth]")
        assert widths[0] == widths[1], "nothing is cut, and nothing to be scrolled"
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


def test_a_folder_is_dropped(page: Page, tmp_path: Path) -> None:
    """As a desktop drops it: the browser reads the folder itself."""
    folder = labelled(tmp_path / "greys", {"dark": [10, 20], "light": [230]})
    place = page.locator("#drop").bounding_box() or {}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send(
            "Input.dispatchDragEvent",
            {
                "type": kind,
                "x": place["x"] + 20,
                "y": place["y"] + 20,
                "data": {"items": [], "files": [str(folder)], "dragOperationsMask": 1},
            },
        )
    expect(page.locator("#batch-text")).to_have_text("3 of 3 images.")
    expect(page.locator("#batch-table tbody tr").nth(1)).to_contain_text("100.00 %100.00 %")


def test_a_folder_of_bad_images_and_unknown_names(
    browser: Browser, web: Web, tmp_path: Path
) -> None:
    folder = labelled(tmp_path / "greys", {"dark": [10], "grey": [120]})
    (folder / "dark" / "broken.png").write_bytes(b"broken")
    with watched(browser, web.url, expected=REFUSED) as page:
        expect(page.locator(".column")).to_have_count(2)
        page.locator("#folder").set_input_files(folder)
        said = page.locator("#batch-text")
        expect(said).to_contain_text("3 of 3 images. 1 could not be classified")
        expect(said).to_contain_text("broken.png")
        expect(said).to_contain_text("grey is none of the model's labels")
        expect(page.locator("#batch-table tbody tr").first).to_contain_text("100.00 %")


def test_models_of_other_labels_are_chosen_and_show_every_label(page: Page) -> None:
    page.locator("#group").select_option(label="tones")
    expect(page.locator(".column")).to_have_count(1)
    give(page, shades.LIGHT)
    expect(page.locator("#verdict")).to_have_text("high, middle")
    expect(page.locator(".bars li.decided")).to_have_count(2)
    give(page, shades.DARK)
    expect(page.locator("#verdict")).to_have_text("no label")
    expect(page.locator(".bars li.decided")).to_have_count(0)
    expect(page.locator("#snippet")).to_contain_text("model=tones")
    page.locator("#group").select_option(label="shades, shades-int8")
    expect(page.locator("#verdict")).to_have_text("All 2 agree: dark")


# --- how it looks and is used -----------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_in_either_scheme(browser: Browser, web: Web, scheme: str) -> None:
    with watched(browser, web.url, viewport=NARROW, color_scheme=scheme) as page:
        expect(page.locator(".column")).to_have_count(2)
        give(page, shades.DISPUTED)
        expect(page.locator("#verdict")).to_have_class(re.compile("differ"))
        expect(page.locator("#live")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
        small = page.evaluate(SMALL)
        assert not small, small
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (_luminance(background) < 0.1) is (scheme == "dark")
        faint = [each for each in page.evaluate(TEXTS) if _contrast(*each[1:]) < 4.5]
        assert not faint, faint


SMALL = """() => [...document.querySelectorAll("button, select, a")].filter((each) => {
  const place = each.getBoundingClientRect();
  return each.checkVisibility() && !each.classList.contains("skip")
    && each.tagName !== "A" && (place.width < 24 || place.height < 24);
}).map((each) => each.outerHTML)"""

# Every visible text of its own, its colour, and the first background behind it.
TEXTS = """() => [...document.querySelectorAll("body *")].filter((each) =>
  each.checkVisibility() && each.closest(".hidden-text, .skip") === null &&
  [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
).map((each) => {
  let behind = each;
  const clear = (one) => getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)";
  while (clear(behind) && behind.parentElement) behind = behind.parentElement;
  const { color } = getComputedStyle(each);
  return [each.textContent.trim().slice(0, 40), color, getComputedStyle(behind).backgroundColor];
})"""


def _luminance(colour: str) -> float:
    """The relative luminance of `rgb(…)`, WCAG 2.2."""
    shares = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_as_it_is_defined() -> None:
    assert _contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert _contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)


def test_everything_is_reached_with_the_keyboard(page: Page) -> None:
    reached: list[str] = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.title"))
        seen = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert seen != "none", reached
        if reached[-1] == "Example 1":
            page.keyboard.press("Enter")
            expect(page.locator("#verdict")).to_have_text("All 2 agree: dark")
        if reached[-1] == "copy":
            break
    assert {"choose", "choose-folder", "use-camera", "Example 4", "copy"} <= set(reached)
    page.get_by_role("tab", name="curl").focus()
    for name in ("Python", "Node", "Go", "curl"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    assert page.locator('#verdict[role="status"][aria-live="polite"]').count() == 1


def test_the_tiles_show_what_triton_counts(page: Page) -> None:
    for _ in range(3):
        give(page, shades.LIGHT)
        expect(page.locator("#verdict")).to_have_class(re.compile("agree"))
    expect(page.locator("#live-rate")).to_have_text(re.compile(r"[\d.]+"))
    expect(page.locator("#live-p99")).to_have_text(re.compile(r"[\d.]+ ms"))
    expect(page.locator("#live-rejected")).to_have_text("0")


# --- from code --------------------------------------------------------------------------------

PROGRAMS = {
    "curl": (["sh"], "call.sh"),
    "Python": ([sys.executable], "call.py"),
    "Node": (["node"], "call.mjs"),
    "Go": (["go", "run"], "call.go"),
}


@pytest.mark.parametrize("language", PROGRAMS)
@pytest.mark.parametrize("secured", [False, True])
def test_copied_code_runs(
    browser: Browser, web: Web, places: Places, tmp_path: Path, language: str, secured: bool
) -> None:
    words, name = PROGRAMS[language]
    missing = [each for each in (words[0], "curl") if shutil.which(each) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    settings = Settings(token=TOKEN) if secured else Settings()
    with serving(places, settings) as mine:
        url = f"{mine.url}#token={TOKEN}" if secured else mine.url
        with watched(browser, url, expected="clipboard") as page:
            expect(page.locator(".column")).to_have_count(2)
            give(page, shades.LIGHT, name="light.png")
            page.get_by_role("tab", name=language, exact=True).click()
            expect(page.locator("#snippet")).to_contain_text("light.png")
            code = page.locator("#snippet code").text_content() or ""
            page.locator("#copy").click()
            expect(page.locator("#copy")).to_have_text(re.compile("Copied|Selected"))
        assert TOKEN not in code
        (tmp_path / "light.png").write_bytes(shades.image(shades.LIGHT))
        (tmp_path / name).write_text(code)
        done = subprocess.run(
            [*words, name],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "RESNET_SERVE_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "light" in done.stdout


# --- the token, a server that is not there, and the other pages -------------------------------


def test_the_token_of_the_address_opens_the_page(browser: Browser, places: Places) -> None:
    with (
        serving(places, Settings(token=TOKEN)) as locked,
        watched(browser, f"{locked.url}#token={TOKEN}") as page,
    ):
        expect(page.locator(".column")).to_have_count(2)
        assert TOKEN not in page.url
        assert page.evaluate("document.cookie") == ""
        expect(page.locator("#token-form")).to_be_hidden()
        page.get_by_role("button", name="Example 1").click()
        expect(page.locator("#verdict")).to_have_text("All 2 agree: dark")


def test_without_the_token_the_page_asks_for_it(browser: Browser, places: Places) -> None:
    with (
        serving(places, Settings(token=TOKEN)) as locked,
        watched(browser, locked.url, expected=REFUSED) as page,
    ):
        expect(page.locator("#token-form")).to_be_visible()
        for token, shown in (("wrong", False), (TOKEN, True)):
            page.locator("#token").fill(token)
            page.keyboard.press("Enter")
            if not shown:
                expect(page.locator("#token-error")).to_have_text("the token is wrong.")
        expect(page.locator(".column")).to_have_count(2)
        expect(page.locator("#token-form")).to_be_hidden()


def test_without_a_server_the_page_says_how_to_start_it(browser: Browser) -> None:
    with (
        serving(Places(url="127.0.0.1:9"), Settings(timeout_s=1)) as alone,
        watched(browser, alone.url, expected=REFUSED) as page,
    ):
        expect(page.locator("#status")).to_have_class("failed")
        expect(page.locator("#status-text")).to_contain_text("resnet-serve up")


def test_the_report_opens_with_its_style_and_without_scripts(page: Page) -> None:
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Report").first.click()
    report = opened.value
    expect(report.locator("p")).to_have_text("Proved.")
    expect(report.locator("p")).to_have_css("color", "rgb(0, 128, 0)")
    assert report.evaluate("origin") == "null"


@pytest.mark.parametrize("viewport", [NARROW, {"width": 1280, "height": 800}])
def test_the_page_of_the_api_has_every_operation(
    browser: Browser, web: Web, viewport: dict[str, int]
) -> None:
    with watched(browser, f"{web.url}docs", viewport=viewport) as page:
        expect(page.locator("#Problem")).to_be_visible()
        shown = page.locator("#operations h2 code").all_text_contents()
        assert shown == list(web.get("/openapi.json").json["paths"])
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        page.locator('a[href="#Classified"]').first.click()
        expect(page.locator("#Classified")).to_be_in_viewport()
