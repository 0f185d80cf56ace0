"""
The status page in a real browser: what it shows, that nothing that peers choose becomes markup, that it works
by keyboard and on a phone; and its pictures for the documentation.

C{python -m tests.daemon.page.browser [--pictures FOLDER]}. It needs C{playwright} (from PyPI) and Debian's
C{chromium}, and is a command: what a browser takes its time for shall fail nobody's change.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .sample import HOSTILE

WAIT_SECONDS = 60


@contextmanager
def served(*options: str) -> Iterator[str]:
    """The address of a page that is served meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.daemon.page.sample", *options, str(port)]
    process = subprocess.Popen(command)
    try:
        end = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise SystemExit("the page is not served") from None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def check(holds: object, what: str) -> None:
    """Say it; the end if it does not hold."""
    print("ok  " if holds else "FAIL", what, flush=True)
    if not holds:
        raise SystemExit(1)


def opened(browser: Any, url: str, **options: Any) -> tuple[Any, list[str]]:
    """A page that shows a snapshot, and the errors in it, to which it adds."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(1000 * WAIT_SECONDS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(url)
    page.wait_for_selector("#live.on")
    return page, problems


def look_and_use(browser: Any) -> None:
    """All that a user does."""
    with served() as url:
        page, problems = opened(browser, url, viewport={"width": 1280, "height": 900})
        check(page.locator("#peers tr").count() == 9, "each peer has a row")
        check(page.locator("#map .spot").count() == 9, "each peer is in the picture")
        check("relayed by vps-fra" in page.locator("#peers").inner_text(), "the relay of a tunnel is named")
        check("waits for a link" in page.locator("#streams").inner_text(), "a suspended stream says so")
        check(
            "ends in 9 days" in page.locator("#members").inner_text(), "a certificate that ends soon says so"
        )
        # not by wait_for_function, whose code the page's policy forbids
        page.locator("#streams", has_text="MiB/s").wait_for()
        check(True, "rates are shown from the second snapshot on")
        button = page.locator("#peers button").first
        button.focus()
        kept = page.evaluate("window.kept = document.activeElement; document.activeElement.textContent")
        page.wait_for_timeout(2500)
        check(
            page.evaluate("document.activeElement === window.kept"),
            f"the focus stays on {kept} while figures change",
        )
        page.keyboard.press("Enter")
        page.wait_for_selector("#peer-body h3")
        check("what was tried" in page.locator("#peer-body").inner_text().lower(), "Enter explains the peer")
        page.keyboard.press("Escape")
        check(page.evaluate("document.activeElement === window.kept"), "Escape goes back to where one was")
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
        check(len(ids) == len(set(ids)), "ids are unique")
        check(problems == [], f"no error in the console {problems}")
    with served("--nickname", HOSTILE) as url:
        page, problems = opened(browser, url, viewport={"width": 1280, "height": 900})
        page.locator("#peers button", has_text="onerror").click()
        page.wait_for_selector("#peer-body h3")
        check(
            page.locator("img").count() == 0 and "hacked" not in page.title(),
            "a nickname is text, everywhere",
        )
        check(HOSTILE in page.locator("#peer-title").inner_text(), "and is shown as it is")
        check(problems == [], f"no error in the console {problems}")
    for scheme in ("light", "dark"):
        with served() as url:
            page, problems = opened(browser, url, viewport={"width": 360, "height": 780}, color_scheme=scheme)
            wide = page.evaluate("document.documentElement.scrollWidth")
            check(wide <= 360, f"on a phone, {scheme}, nothing is cut off at the side ({wide} of 360)")
            tables = "[...document.querySelectorAll('.scroll')]"
            hidden = page.evaluate(f"{tables}.filter((each) => each.scrollWidth > each.clientWidth).length")
            check(hidden == 0, f"no table has columns that are out of sight ({hidden})")
            check(page.get_by_role("cell").count() > 9, "and they are still tables for screen readers")
    with served("--alone") as url:
        page, problems = opened(browser, url, viewport={"width": 1280, "height": 900})
        check(
            "routing-crust invite" in page.locator("#no-peers").inner_text(),
            "without peers it says what to do",
        )


def take_pictures(browser: Any, folder: Path) -> None:
    """For the documentation."""
    folder.mkdir(exist_ok=True)
    shots: tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...] = (
        ("status-page-wide", (), {"viewport": {"width": 1280, "height": 900}}),
        ("status-page-dark", (), {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"}),
        ("status-page-narrow", (), {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}),
        ("status-page-empty", ("--alone",), {"viewport": {"width": 1280, "height": 900}}),
    )
    for name, given, options in shots:
        with served(*given) as url:
            page, _ = opened(browser, url, **options)
            page.wait_for_timeout(3000)
            page.screenshot(path=folder / f"{name}.png", full_page="wide" in name)
            print("made", folder / f"{name}.png", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Try the status page in Chromium.")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="make the pictures of the documentation"
    )
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SystemExit("this needs playwright: pip install playwright") from None
    if chromium is None:
        raise SystemExit("this needs chromium: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        look_and_use(browser)
        if options.pictures is not None:
            take_pictures(browser, options.pictures)
        browser.close()
    print("all well")


if __name__ == "__main__":
    main()
