"""What makes a stored result stale, and what a failing cell does."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.editions import execution
from book.editions.storage import read


def write(path: Path, *cells: nbformat.NotebookNode) -> Path:
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def test_the_key_sees_code_and_environment_but_not_prose(tmp_path: Path) -> None:
    path = tmp_path / "chapter.ipynb"
    code, caption = new_code_cell("1 + 1"), {"mystnb": {"figure": {"caption": "a"}}}
    key = execution.execution_key(read(write(path, code)), "core v1")

    with_prose = write(path, new_markdown_cell("words"), new_code_cell("1 + 1", metadata=caption))
    assert execution.execution_key(read(with_prose), "core v1") == key
    assert execution.execution_key(read(path), "core v2") != key
    changed = write(path, new_code_cell("1 + 2"))
    assert execution.execution_key(read(changed), "core v1") != key


def test_the_environment_sees_the_core_the_modules_and_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "ROOT", tmp_path)
    digests = {execution.environment_digest()}
    for name in ("segloss_core/region.py", "book/figures.py", "book/data/image.png"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        for content in ("one", "two"):
            file.write_text(content)
            digests.add(execution.environment_digest())
    assert len(digests) == 7


def test_a_notebook_runs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "CACHE", tmp_path / "cache")
    runs = tmp_path / "runs"
    count = (
        f"from pathlib import Path\nwith Path({str(runs)!r}).open('a') as f: f.write('x')\n6 * 7"
    )
    path = write(tmp_path / "chapter.ipynb", new_code_cell(count))
    for _ in range(2):
        done = execution.executed(path)
        assert done.cells[0].outputs[0].data["text/plain"] == "42"
        assert done.cells[0].execution_count == 1
    assert runs.read_text() == "x"


def test_a_failing_cell_stops_the_build_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "CACHE", tmp_path / "cache")
    path = write(tmp_path / "chapter.ipynb", new_code_cell("1 / 0"))
    complaint = r"(?s)chapter\.ipynb does not run.*ZeroDivisionError"
    with pytest.raises(execution.NotebookError, match=complaint):
        execution.executed(path)
