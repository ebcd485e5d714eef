"""A new chapter starts as a draft that runs and builds, and says what is still to be written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.editions import ROOT, draft, parity
from book.editions.config import CONFIG
from book.editions.execution import executed
from book.editions.storage import stored


def test_nothing_is_left_to_write(notebook: NotebookNode) -> None:
    left = draft.unfinished(notebook)
    assert not left, "\n".join(left)


def test_every_chapter_is_named_in_the_contents(chapter: Path) -> None:
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    named = re.findall(r"(?:file|root): (\S+)", contents)
    page = chapter.relative_to(ROOT).with_suffix("").as_posix()
    assert page in named, f"add to _toc.yml:  - file: {page}"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the book, with a draft as its only chapter."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(
        ROOT / "book", root / "book", ignore=shutil.ignore_patterns("*.ipynb", "editions")
    )
    path = root / "book" / "01_new_idea.ipynb"
    path.write_text(stored(draft.skeleton("new_idea")), encoding="utf-8")
    path.write_text(stored(executed(path)), encoding="utf-8")
    return root


@pytest.fixture
def new(book: Path) -> NotebookNode:
    return nbformat.read(book / "book" / "01_new_idea.ipynb", as_version=4)


def test_the_draft_lacks_nothing_but_words(new: NotebookNode) -> None:
    assert parity.problems(new) == []
    assert len(parity.pairs(new)) >= 14
    outputs = [cell.outputs for cell in new.cells if cell.cell_type == "code"]
    assert len(outputs) >= 8
    assert "NAME" not in nbformat.writes(new)
    left = draft.unfinished(new)
    assert "cell 1 (TODO 제목: new-idea | TODO title: new-idea), ko: # TODO 제목: new-idea" in left
    assert any(line.startswith("code cell 3 (under TODO ") for line in left)
    assert any("figure, caption, en: TODO" in line for line in left)


def test_the_draft_builds(book: Path) -> None:
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    (book / "_config.yml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/01_new_idea\n")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", book, "-W", "-n"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    html = (book / "_build" / "html" / "book" / "01_new_idea.html").read_text(encoding="utf-8")
    assert html.count("<figure") == 2


@pytest.mark.parametrize("name", ["", "Boundary", "1st", "a-b", "focal"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(SystemExit, match=f"NAME: .*'{name}'"):
        draft.new_chapter(name)


def command(folder: Path, name: str) -> subprocess.CompletedProcess:
    """Run a command of the Makefile on a copy of the repository."""
    return subprocess.run(
        [sys.executable, "-m", "book.editions", name], cwd=folder, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", ["build", "refresh", "parity"])
def test_a_missing_twin_stops_every_command_in_words(tmp_path: Path, name: str) -> None:
    """What a writer sees who has written one language so far."""
    (tmp_path / "book").mkdir()
    shutil.copytree(ROOT / "book" / "editions", tmp_path / "book" / "editions")
    for file in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "segloss_core").mkdir()
    cells = [
        new_markdown_cell("(ch-a)=\n# 제목", metadata={"tags": ["ko"]}),
        new_markdown_cell("(sec-a)=\n## 정의", metadata={"tags": ["ko"]}),
        new_markdown_cell("(sec-a)=\n## Definition", metadata={"tags": ["en"]}),
        new_code_cell("1", metadata={"tags": []}),
        new_markdown_cell("words"),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "book" / "01_a.ipynb")
    done = command(tmp_path, name)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "01_a.ipynb, cell 1 (제목): its twin, tagged 'en', is missing" in done.stderr
    assert "01_a.ipynb, cell 5 (under 정의 | Definition): tag it with its language" in done.stderr
    assert "cell 2" not in done.stderr
