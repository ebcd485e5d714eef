"""Both editions are built at the same time, and neither meets a file that the other is writing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from gettext import GNUTranslations
from pathlib import Path
from threading import Thread
from typing import BinaryIO
from unittest.mock import MagicMock

import pytest
from babel.messages import Catalog
from babel.messages.mofile import write_mo
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sphinx.errors import ExtensionError
from sphinx.locale import init

from book.editions import ROOT, extension
from book.editions.__main__ import _taking_turns
from book.editions.config import CONFIG
from book.editions.edition import LANGUAGES
from book.editions.storage import stored, write_whole

# Builds one edition, and says as JSON which files it opened to write them.
WATCHED_BUILD = """
import json, os, sys
written = set()
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        if arguments[2] & (os.O_WRONLY | os.O_RDWR):
            written.add(os.path.abspath(arguments[0]))
    elif event == "sqlite3.connect":
        written.add(os.path.abspath(arguments[0]))
sys.addaudithook(watch)
from book.editions.__main__ import _build_edition
try:
    _build_edition(sys.argv[1])
finally:
    print(json.dumps([path for path in written if not path.startswith("/dev/")]))
"""


@pytest.fixture(scope="module")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with a single page, which has code that was not run yet."""
    root = tmp_path_factory.mktemp("root")
    aside = shutil.ignore_patterns("*.ipynb", "data", "__pycache__")
    shutil.copytree(ROOT / "book", root / "book", ignore=aside)
    shutil.copy(CONFIG, root)
    shutil.copy(ROOT / "CITATION.cff", root)
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/page\n")
    cells = [
        new_markdown_cell("(ch-page)=\n# 쪽", metadata={"tags": ["ko"]}),
        new_markdown_cell("(ch-page)=\n# Page", metadata={"tags": ["en"]}),
        new_code_cell("6 * 7"),
    ]
    (root / "book" / "page.ipynb").write_text(stored(new_notebook(cells=cells)), encoding="utf-8")
    return root


def test_no_file_is_written_by_both(small_book: Path) -> None:
    builds = [
        subprocess.Popen(
            [sys.executable, "-c", WATCHED_BUILD, lang],
            cwd=small_book,
            env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for lang in LANGUAGES
    ]
    said = [build.communicate(timeout=600) for build in builds]
    assert [build.returncode for build in builds] == [0, 0], said
    written = [set(json.loads(out.splitlines()[-1])) for out, _ in said]
    assert all(len(paths) > 20 for paths in written)
    assert written[0] & written[1] == set()
    for lang in LANGUAGES:
        page = small_book / "_build" / "editions" / lang / "html" / "book" / "page.html"
        skip = {"ko": "본문으로 건너뛰기", "en": "Skip to main content"}[lang]
        assert skip in page.read_text(encoding="utf-8")


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Path]:
    """Begin a build of the Korean edition in a folder; return where it looks words up."""
    monkeypatch.setattr("sphinx.locale.translators", {})

    def begin(folder: Path) -> Path:
        app = MagicMock(doctreedir=str(folder))
        app.config.language = "ko"
        app.add_message_catalog = MagicMock(
            side_effect=lambda domain, folder: init([folder], "ko", domain)
        )
        extension.setup(app)
        return Path(app.add_message_catalog.call_args.args[1])

    return begin


def test_a_build_reads_its_words_while_another_writes_its_own(
    begin: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second build has opened its catalogue when the first one looks for a word."""
    words = begin(tmp_path / "first") / "ko" / "LC_MESSAGES" / "sphinx.mo"
    seen = []

    def look_and_write(file: BinaryIO, catalogue: Catalog) -> None:
        with words.open("rb") as known:
            seen.append(GNUTranslations(known).gettext("Skip to main content"))
        write_mo(file, catalogue)

    monkeypatch.setattr(extension, "write_mo", look_and_write)
    begin(tmp_path / "second")
    assert set(seen) == {"본문으로 건너뛰기"}


def test_a_build_without_its_words_fails(
    begin: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extension, "write_mo", lambda file, catalogue: file.write(b"half a"))
    with pytest.raises(ExtensionError, match=r"not loaded for sphinx: .*'Skip to main content'"):
        begin(tmp_path)


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """Who reads while another writes has the old text, and never a part of the new one."""
    path = tmp_path / "folder" / "notebook.ipynb"
    write_whole(path, "old")
    with path.open() as reader:
        write_whole(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_builds_of_the_site_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("book.editions.__main__.BUILD", tmp_path)
    order = []

    def second() -> None:
        with _taking_turns():
            order.append("second")

    with _taking_turns():
        waiting = Thread(target=second)
        waiting.start()
        waiting.join(timeout=0.5)
        order.append("first")
    waiting.join(timeout=30)
    assert order == ["first", "second"]
