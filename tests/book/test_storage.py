"""A stored notebook depends on its content alone."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book.editions.storage import NotebookError, read, stored


def drawn(**metadata: object) -> nbformat.NotebookNode:
    data = {"text/plain": "<Figure size 100x100>", "image/png": "aGVsbG8="}
    output = new_output("display_data", data=data, metadata={"image/png": {"width": 10}})
    cells = [
        new_code_cell("plot()", outputs=[output], execution_count=1, id=name)
        for name in ("first", "second")
    ]
    cells[0].metadata["execution"] = {"iopub.status.idle": "2026-01-01T00:00:00Z"}
    return new_notebook(cells=cells, metadata=metadata)


def test_nothing_of_the_editor_or_the_clock_is_kept() -> None:
    texts = {stored(drawn()), stored(drawn(jupytext={"formats": "ipynb"}, toc={"a": 1}))}
    assert len(texts) == 1
    [text] = texts
    assert "aGVsbG8=" not in text
    assert "2026-01-01" not in text
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].outputs[0].data == {"text/plain": "<Figure size 100x100>"}


def test_an_edited_cell_keeps_its_id_and_a_copy_gets_its_own() -> None:
    """Who changes one word changes one line."""
    before = drawn()
    after = drawn()
    after.cells[0].source = "plot(2)"
    lines = [stored(notebook).splitlines() for notebook in (before, after)]
    assert sum(old != new for old, new in zip(*lines, strict=True)) == 1

    copied = drawn()
    copied.cells += [drawn().cells[0], drawn().cells[0]]
    text = stored(copied)
    ids = [cell.id for cell in nbformat.reads(text, as_version=4).cells]
    assert ids[:2] == ["first", "second"]
    assert len(set(ids)) == 4
    assert stored(nbformat.reads(text, as_version=4)) == text


def test_the_given_notebook_keeps_its_images() -> None:
    notebook = drawn()
    stored(notebook)
    assert "image/png" in notebook.cells[0].outputs[0].data


def test_a_merge_conflict_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chapter.ipynb"
    path.write_text(stored(drawn()).replace("[", "<<<<<<< HEAD\n[", 1))
    with pytest.raises(NotebookError, match=r"chapter\.ipynb .*line 2 .*merge conflict"):
        read(path)
