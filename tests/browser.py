"""The system's Chromium, driven through Playwright: pages as a reader sees them."""

import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

PHONE, DESK = (390, 844), (1280, 900)
LOCAL = ("", "localhost", "127.0.0.1")  # "" is the host of file:, data: and blob:
BROKEN_OFF = "net::ERR_ABORTED"  # by the page itself, or because the page was left

PATIENCE = 30_000  # milliseconds; other tests may need the cores
expect.set_options(timeout=PATIENCE)


@contextmanager
def page(width, height, dark=False, javascript=True):
    """Open a blank page in Chromium; skips the test where there is none.

    Parameters
    ----------
    width, height : int
        Of the window, in CSS pixels.
    dark : bool
        Whether the reader prefers dark pages.
    javascript : bool
        Whether pages may run it.

    Yields
    ------
    page : playwright.sync_api.Page
    trouble : list of str
        Grows by every error on the console, exception, request to another machine, and request that failed
        other than by being broken off.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    trouble = []

    def requested(request):
        if urlsplit(request.url).hostname not in (None, *LOCAL):
            trouble.append(f"remote request: {request.url}")

    def failed(request):
        if request.failure != BROKEN_OFF:
            trouble.append(f"failed: {request.url[:200]}: {request.failure}")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
        )  # fmt: skip
        opened.on(
            "console", lambda message: message.type == "error" and trouble.append(f"console: {message.text}")
        )
        opened.on("pageerror", lambda error: trouble.append(f"exception: {error}"))
        opened.on("request", requested)
        opened.on("requestfailed", failed)
        yield opened, trouble
        browser.close()


def wait_until(page, holds):
    """Wait until a condition that `expect` does not know holds."""
    for _ in range(PATIENCE // 100):
        if holds():
            return
        page.wait_for_timeout(100)
    pytest.fail("it never held")


def faults(page):
    """What axe finds serious or critical on a page: lines with rule, help and the first elements."""
    result = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'][:120] for node in fault['nodes'][:3]]}"
        for fault in result
        if fault["impact"] in ("serious", "critical")
    ]


def overflowing(page):
    """The elements that stick out of the page sideways, other than inside what scrolls by itself."""
    return page.evaluate(
        """() => {
            const wide = document.documentElement.clientWidth;
            const scrolls = e => e && e !== document.body &&
                (["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
            return [...document.body.querySelectorAll("*")]
                .filter(e => !e.closest("svg") || e.tagName === "svg")
                .filter(e => e.getBoundingClientRect().right > wide + 1 && !scrolls(e.parentElement))
                .map(e => `${e.tagName} ${e.className} ${e.textContent.slice(0, 40)}`);
        }"""
    )
