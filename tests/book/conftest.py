"""What the checks of the book stand on: its notebooks, the built site, a browser."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser

from book.editions import BUILD, chapters
from book.editions.edition import LANGUAGES
from book.editions.pdf import find_browser, open_browser

SITE = BUILD / "site"
CHAPTERS = chapters()


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request: pytest.FixtureRequest) -> Path:
    """Every notebook of the book in turn."""
    return request.param


@pytest.fixture
def notebook(chapter: Path) -> nbformat.NotebookNode:
    return nbformat.read(chapter, as_version=4)


@pytest.fixture
def lesson(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Every notebook of the second edition: a page without code, or one whose folds have names."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if code and not any("code_prompt_show" in cell.metadata.get("mystnb", {}) for cell in code):
        pytest.skip("still in its first edition")
    return notebook


def pages() -> list[str]:
    """Every page of the book that both editions must have, as a path below ``ko/`` and ``en/``."""
    return [f"book/{path.stem}.html" for path in CHAPTERS]


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: run `make book`")
    return SITE


@pytest.fixture(scope="module", params=[f"{lang}/{page}" for lang in LANGUAGES for page in pages()])
def page(request: pytest.FixtureRequest, site: Path) -> Path:
    """Every page of both editions in turn."""
    return site / request.param


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """The site served on this machine, as a reader gets it."""
    handler = functools.partial(_QuietHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if find_browser() is None:
        pytest.skip("no browser found: install Chromium to run the checks in a real browser")
    with open_browser() as browser:
        yield browser
