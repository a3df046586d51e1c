"""A real browser against the live server: the system's Chromium, driven by Playwright, listening for everything that goes wrong.

    pytestmark = pytest.mark.e2e

    def test_a_rep_opens_the_board(browser_page):
        page = browser_page("rep", viewport=PHONE, dark=True)
        page.goto("/")
        assert_accessible(page)

Each page opened here fails its test at the end if the console told an error, the Content-Security-Policy was
violated, a script threw, or anything was fetched from elsewhere. A test that provokes an error says so with
`allow=["409"]` (parts of the messages). Answers 422 with a form's errors are always allowed.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.test import Client

from leads.models import User

PHONE = {"width": 390, "height": 844}
TABLET = {"width": 768, "height": 1024}
DESKTOP = {"width": 1440, "height": 900}

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage""".split()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
GROUPS = {"rep": "Sales", "marketer": "Marketing", "admin": "Admin"}
NAMES = {"rep": ("Rita", "Rep"), "marketer": ("Mia", "Marketer"), "admin": ("Ada", "Admin")}
TELL_VIOLATIONS = """document.addEventListener("securitypolicyviolation",
    (event) => console.error("CSP: " + event.violatedDirective + " " + event.blockedURI + " " + event.sample));"""
ALWAYS_ALLOWED = ["status of 422", "Response Status Error Code 422"]


def colleague(role: str) -> User:
    """The one of that role, created when needed; the user name is the role."""
    user = User.objects.filter(username=role).first()
    if user is None:
        first, last = NAMES[role]
        user = User.objects.create_user(role, f"{role}@leadstate.example", first_name=first, last_name=last, is_staff=role != "rep")
        user.groups.add(Group.objects.get(name=GROUPS[role]))
    return user


def session_cookie(user: User, url: str) -> dict[str, Any]:
    """The cookie of somebody who has just logged in."""
    client = Client()
    client.force_login(user)
    return {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value, "url": url}


class Browser:
    """Opens pages and remembers what went wrong on each."""

    def __init__(self, chromium: Any, url: str) -> None:
        self.chromium = chromium
        self.url = url
        self.contexts: list[Any] = []
        self.problems: list[str] = []

    def __call__(
        self,
        login: str | User | None = "rep",
        *,
        viewport: dict[str, int] | None = None,
        dark: bool = False,
        javascript: bool = True,
        touch: bool = False,
        allow: Iterable[str] = (),
    ) -> Any:
        """A page of a fresh browser, logged in as `login`; addresses are relative to the live server."""
        context = self.chromium.new_context(
            base_url=self.url,
            viewport=viewport or DESKTOP,
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            has_touch=touch,
            reduced_motion="reduce",
        )
        context.set_default_timeout(30_000)
        context.add_init_script(TELL_VIOLATIONS)
        self.contexts.append(context)
        if login is not None:
            context.add_cookies([session_cookie(colleague(login) if isinstance(login, str) else login, self.url)])
        self.listen(context, [*ALWAYS_ALLOWED, *allow])
        return context.new_page()

    def listen(self, context: Any, allowed: list[str]) -> None:
        """Note errors of the console, of scripts, and requests that leave the site."""

        def note(text: str) -> None:
            if not any(part in text for part in allowed):
                self.problems.append(text)

        context.on("console", lambda message: note(f"{message.text} ({message.location['url']})") if message.type == "error" else None)
        context.on("weberror", lambda error: note(f"script error: {error.error}"))
        context.on("request", lambda request: note(f"fetched from elsewhere: {request.url}") if self.is_foreign(request.url) else None)

    def is_foreign(self, url: str) -> bool:
        return not url.startswith((self.url, "data:", "blob:", "about:"))

    def close(self) -> None:
        for context in self.contexts:
            context.close()


def find_chromium() -> str:
    """Where the browser is. A machine without one can't say that the pages work, so this fails instead of skipping."""
    found = CHROMIUM if os.access(CHROMIUM, os.X_OK) else shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "The browser tests need Chromium (apt-get install chromium)."
    return found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One Chromium for all tests; each page gets a profile of its own."""
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread, and Django would refuse its database there.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def browser_page(chromium: Any, live_server: Any) -> Iterator[Browser]:
    """Opens pages: `browser_page("rep"|"marketer"|"admin"|None|user, viewport=, dark=, javascript=, touch=, allow=)`."""
    browser = Browser(chromium, live_server.url)
    yield browser
    browser.close()
    assert not browser.problems, "\n".join(["The browser complains:", *browser.problems])


def assert_accessible(page: Any, *, within: str | None = None) -> None:
    """No violation of WCAG 2.2 A and AA that axe can find, on the page as it is now or in one part of it."""
    from axe_playwright_python.sync_playwright import Axe

    # preload would fetch the style sheets once more and put them inline, which our policy forbids
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, context=within, options=options).response["violations"]
    lines = [
        f"{violation['id']} ({violation['help']}): {node['target']} {node['html'][:160]}\n    {node.get('failureSummary', '')}"
        for violation in found
        for node in violation["nodes"]
    ]
    assert not lines, "\n".join([f"Not accessible: {page.url}", *lines])
