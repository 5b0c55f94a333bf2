"""Takes screenshots of pages of a running hub and complains about what a person would not see.

    python tests/e2e/shots.py http://127.0.0.1:8000 --email E --password P [--modes light,phone] [PATH …]

Without paths it opens every page of the sidebar, and of each list the first row and the page to add one.
Fails (exit status 1) on JavaScript errors, console errors, answers of 400 and more, requests to other hosts
and pages that scroll sideways on a phone.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

SIZES = {"light": (1440, 900), "dark": (1440, 900), "phone": (390, 844)}
CHROMIUM = next((p for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if os.path.exists(p)), None)


@dataclass
class Findings:
    base: str
    problems: list[str] = field(default_factory=list)
    where: str = ""

    def say(self, what: str) -> None:
        line = f"{self.where}: {what}"
        if line not in self.problems:
            self.problems.append(line)

    def watch(self, page: Page) -> None:
        own = urlsplit(self.base).netloc

        def requested(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != own:
                self.say(f"asks another host for {request.url}")

        def answered(response: Response) -> None:
            if response.status >= 400:
                self.say(f"{response.status} for {response.url}")

        page.on("request", requested)
        page.on("response", answered)
        page.on("pageerror", lambda error: self.say(f"JavaScript error: {error}"))
        page.on("console", lambda m: self.say(f"console: {m.text}") if m.type == "error" else None)


def sign_in(page: Page, base: str, email: str, password: str) -> None:
    page.goto(urljoin(base, "/admin/login/"))
    page.fill("input[name=username]", email)
    page.fill("input[name=password]", password)
    page.click("#login-form button[type=submit]")
    page.wait_for_url(re.compile(r"/admin/(?!login)"))


def discover(page: Page, base: str) -> list[str]:
    """Every page of the sidebar; of each list its first row and its Add page."""
    page.goto(urljoin(base, "/admin/"))
    found = dict.fromkeys(
        urlsplit(a.get_attribute("href") or "").path
        for a in page.query_selector_all("#nav-sidebar-apps a[href]")
    )
    for path in list(found):
        page.goto(urljoin(base, path))
        for selector in ("#result_list th a[href], #result_list td a[href]", "a.addlink[href]"):
            link = page.query_selector(selector)
            href = link.get_attribute("href") if link else None
            if href and not href.startswith(("mailto:", "#", "http")):
                found.setdefault(urlsplit(urljoin(page.url, href)).path)
    return [path for path in found if path]


def file_name(path: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", path.removeprefix("/admin/")).strip("-")[:90] or "home"


def shoot(
    browser: Browser, base: str, email: str, password: str, paths: list[str], out: Path, modes: list[str]
) -> list[str]:
    """Take the pictures; returns what is wrong."""
    findings = Findings(base)
    for mode in modes:
        width, height = SIZES[mode]
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if mode == "dark" else "light",
            is_mobile=mode == "phone",
            has_touch=mode == "phone",
            device_scale_factor=1,
        )
        page = context.new_page()
        findings.watch(page)
        findings.where = f"[{mode}] sign-in"
        page.goto(urljoin(base, "/admin/login/"))
        page.wait_for_timeout(300)
        page.screenshot(path=str(out / f"login.{mode}.png"))
        sign_in(page, base, email, password)
        paths = paths or discover(page, base)
        for path in paths:
            findings.where = f"[{mode}] {path}"
            page.goto(urljoin(base, path))
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(250)
            if mode == "phone":
                over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                if over > 1:
                    findings.say(f"is {over} pixels wider than the phone")
            page.screenshot(path=str(out / f"{file_name(path)}.{mode}.png"), full_page=True)
        context.close()
    return findings.problems


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base")
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--email", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--out", type=Path, default=Path("tests/e2e/screenshots"))
    parser.add_argument("--modes", default="light,dark,phone")
    options = parser.parse_intermixed_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        problems = shoot(
            browser,
            options.base,
            options.email,
            options.password,
            options.paths,
            options.out,
            options.modes.split(","),
        )
        browser.close()
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
