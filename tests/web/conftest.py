"""One running server and one headless Chromium for all web tests."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import uvicorn
from deephash.webui.app import build_app
from deephash.webui.server import listen
from deephash.webui.workspace import Workspace
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from deephash import load_model
from deephash.collection import Collection
from deephash.collection.schema import CODE
from deephash.dev import BROWSERS
from tests.web.made import PICTURES, made_once, own_copy

CHROMIUM = os.environ.get("DEEPHASH_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), "chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that films a test picture
    "--use-fake-ui-for-media-stream",
]


class Listening(socket.socket):
    """A listening socket that can end what it accepted, as the end of a process does.

    Uvicorn leaves a connection open that it accepts while it shuts down, and in a thread nothing else closes it; a
    browser, which knows no better, sends its next request there and waits for ever.
    """

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.accepted: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, object]:
        connection, address = super().accept()
        self.accepted.append(connection)
        return connection, address

    def hang_up(self) -> None:
        for connection in self.accepted:
            connection.close()


@dataclass
class Server:
    """A server in a thread; it can be stopped and started again on the same port."""

    paths: list[Path]
    read_only: bool = False
    user: str | None = None
    password: str | None = None
    reports: list[Path] = field(default_factory=list)
    port: int = 0

    def start(self) -> Server:
        self.listening = Listening(fileno=listen("127.0.0.1", self.port).detach())
        self.port = self.listening.getsockname()[1]
        self.workspace = Workspace(self.paths, read_only=self.read_only, reports=self.reports, index="faiss:flat")
        self.guard = build_app(self.workspace, user=self.user, password=self.password)
        self.uvicorn = uvicorn.Server(uvicorn.Config(self.guard, log_level="error", timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self.uvicorn.run, kwargs={"sockets": [self.listening]}, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 60
        while not self.uvicorn.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.listening.hang_up()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=60)


@dataclass
class Visit:
    """A page and everything it asked for and complained about."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, suffix: str = "") -> Visit:
        self.page.goto(self.address + suffix)
        self.page.wait_for_selector("#dh-results :is(.dh-hit, .dh-message)", timeout=30_000)
        return self

    def shown(self) -> list[int]:
        """Ids of the visible results, in order."""
        cards = self.page.query_selector_all("#dh-results .dh-hit")
        return [int(card.get_attribute("data-id") or -1) for card in cards if card.is_visible()]

    def click_result(self, place: int) -> int:
        """Show a result large, search with it, wait for its own answer and address, return its id."""
        item = self.show_large(place)
        self.page.click("#dh-large [data-act=requery]")
        self.page.wait_for_selector(f'#dh-results .dh-card:first-child .dh-hit[data-id="{item}"][data-rank="1"]')
        self.page.wait_for_function("item => new URLSearchParams(location.search).get('id') === item", arg=str(item))
        return item

    def show_large(self, place: int) -> int:
        """Open the dialog of a result, return its id."""
        card = self.page.locator("#dh-results .dh-hit").nth(place)
        item = int(card.get_attribute("data-id") or -1)
        card.click()
        self.page.wait_for_selector("#dh-large dialog[open]")
        return item

    def search_with(self, link: Locator) -> None:
        """Click a picture of any tab, which shows it large, then search with it."""
        link.click()
        self.page.wait_for_selector("#dh-large dialog[open]")
        self.page.click("#dh-large [data-act=requery]")

    def wait_status(self, words: str) -> None:
        self.page.wait_for_selector(f"#dh-status:has-text('{words}')", timeout=30_000)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """The folder with the collections that all workers share; copy what is changed."""
    return made_once(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def pictures(made, tmp_path_factory) -> Path:
    """Photographs in folders by class."""
    return shutil.copytree(made / "photos", tmp_path_factory.mktemp("web") / "photos")


@pytest.fixture(scope="session")
def photo_model(made):
    return load_model(Collection.open(made / "photos.dh").model_path_of(CODE))


@pytest.fixture(scope="session")
def server(made, pictures, tmp_path_factory) -> Iterator[Server]:
    """Serves ``photos`` (64 bits), ``other`` (another model), ``digits``, ``colours`` (with words)."""
    base = tmp_path_factory.mktemp("served")
    homes = {"photos": pictures} | {
        name: shutil.copytree(made / name, base / name) for name in set(PICTURES.values()) - {"photos"}
    }
    running = Server([own_copy(made, name, base / f"{name}.dh", homes[of]) for name, of in PICTURES.items()]).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, server) -> Iterator[Visit]:
    """A fresh visitor; at the end nothing may have been asked of another host, and no script may have failed."""
    yield from visiting(chromium, server)


def visiting(chromium: Browser, server: Server, **context) -> Iterator[Visit]:
    opened = chromium.new_context(viewport={"width": 1280, "height": 860}, **context)
    opened.set_default_timeout(30_000)
    visit = Visit(opened.new_page(), server.address)
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    yield visit
    foreign = [url for url in visit.requests if url.startswith("http") and not url.startswith(server.address)]
    opened.close()
    assert foreign == []
    assert visit.complaints == []
