"""A running demo and a headless Chromium that looks at it."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

START_S, END_S, ANSWER_MS = 90, 20, 15_000
"""Bounds for a machine that is busy with other things; none of them is waited for."""
_WITHOUT_TORCH = (
    "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'lightning', 'train')));"
    "from sdk.command import main; sys.exit(main(sys.argv[1:]))"
)
"""Importing what is None in `sys.modules` is an ImportError: what answers, answers without it."""


@contextmanager
def running_demo(words: Sequence[str | Path], folder: Path, *, quiet: bool = True) -> Iterator[str]:
    """The address of `edgewright demo` in a process that cannot import torch; it has to end cleanly.

    Args:
        words: Of the command; a free port is taken.
        folder: For what the process writes to standard error, and its temporary files.
        quiet: Nothing may be written there.
    """
    temporary = folder / "temporary"
    temporary.mkdir()
    with (folder / "stderr.txt").open("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _WITHOUT_TORCH, "demo", *map(str, words), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
        )
        try:
            yield _address(process, folder / "stderr.txt")
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_S) == 0
            assert not quiet or (folder / "stderr.txt").read_text() == ""
            assert list(temporary.iterdir()) == []
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _address(process: subprocess.Popen[str], errors: Path) -> str:
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()  # type: ignore[union-attr]
    line = lines.get(timeout=START_S)
    found = re.fullmatch(r"Demo: (http://127\.0\.0\.1:\d+/)  \(Ctrl-C ends it\)\n", line)
    assert found, errors.read_text()
    return found.group(1)


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser with a pretended camera; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no package playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine: install the package chromium")
    with playwright.sync_playwright() as started:
        camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox", *camera])
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """Somebody who looks at one tab of a demo.

    Attributes:
        page: Playwright's page.
        elsewhere: Addresses that the page asked for and that are not the demo's.
        complaints: What the browser's console said was wrong.
    """

    def __init__(self, browser: Any, address: str) -> None:
        self._browser, self._address = browser, address
        self.elsewhere: list[str] = []
        self.complaints: list[str] = []
        self.page = browser.new_page(viewport={"width": 1600, "height": 1000})
        self.page.set_default_timeout(ANSWER_MS)
        self.page.on("request", lambda request: self._note(request.url, address))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.page.locator(".ew-top").wait_for()

    @contextmanager
    def on_another_page(self) -> Iterator[Visitor]:
        """The same demo on a page of its own, closed at the end."""
        another = Visitor(self._browser, self._address)
        try:
            yield another
        finally:
            another.page.close()

    def _note(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.elsewhere.append(url)

    def open_tab(self, name: str) -> None:
        """Choose a tab; the page is wide enough for all of them."""
        self.page.locator("[role=tab]:visible", has_text=re.compile(f"^{re.escape(name)}$")).first.click()
        self.page.locator(f".ew-card:visible h2:text-is('{name}'), .ew-table:visible").first.wait_for()

    def click_example(self, number: int = 0, wanted: str | None = None) -> None:
        """Click one of the examples of the tab; with `wanted`, wait until the tab's text is that."""
        self.page.locator(":is(.gallery-item, tr.tr-body):visible").nth(number).click()
        if wanted is not None:
            text = self.page.locator("textarea:visible").first.element_handle()
            self.page.wait_for_function("([text, wanted]) => text.value === wanted", arg=[text, wanted])

    def fill_number(self, place: int, value: str) -> None:
        """Type a number into one of the tab's fields or sliders."""
        field = self.page.locator("input[type=number]:visible").nth(place)
        field.fill(value)
        field.press("Enter")

    def upload(self, path: Path) -> None:
        """Choose a file for the tab's first input, in place of what is there."""
        there = self.page.locator(
            "button[aria-label='Remove Image']:visible, button[aria-label='Clear']:visible"
        )
        if there.count():
            there.first.click()
        with self.page.expect_file_chooser() as chooser:
            self.page.locator("button:visible", has_text="Click to Upload").first.click()
        chooser.value.set_files(path)

    def said(self, pattern: str) -> str:
        """The first words on the tab that match, once they are there."""
        found = self.page.locator("body").get_by_text(re.compile(pattern)).locator("visible=true").first
        found.wait_for()
        return str(found.inner_text())

    def answer(self, selector: str, pattern: str) -> str:
        """The text of an element, once it matches."""
        found = self.page.locator(f"{selector}:visible", has_text=re.compile(pattern)).first
        found.wait_for()
        return str(found.inner_text())

    def picture(self, label: str) -> tuple[int, int]:
        """Width and height of the picture shown under a label, once it is there and drawn."""
        block = self.page.locator(".block:visible", has=self.page.get_by_text(label, exact=True))
        image = block.locator("img").first
        image.wait_for()
        handle = image.element_handle()
        self.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=handle)
        wide, high = image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
        return int(wide), int(high)

    def source(self, label: str) -> str:
        """The address of the picture shown under a label: another picture has another one."""
        block = self.page.locator(".block:visible", has=self.page.get_by_text(label, exact=True))
        return str(block.locator("img").first.get_attribute("src"))

    def another_picture(self, label: str, before: str) -> None:
        """Wait until another picture than that of `before` is shown under a label."""
        block = self.page.locator(".block:visible", has=self.page.get_by_text(label, exact=True))
        block.locator(f"img:not([src='{before}'])").first.wait_for()
