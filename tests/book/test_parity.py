"""The two languages are held together, and the messages help the writer."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.editions import parity
from book.editions.storage import NotebookError, stored


def ko(text: str) -> nbformat.NotebookNode:
    return new_markdown_cell(text, metadata={"tags": ["ko"]})


def en(text: str) -> nbformat.NotebookNode:
    return new_markdown_cell(text, metadata={"tags": ["en"]})


def test_twins_of_every_chapter_share_what_they_must(notebook: nbformat.NotebookNode) -> None:
    assert parity.problems(notebook) == []


def test_no_chapter_was_changed_in_one_language_alone(
    chapter: Path, notebook: nbformat.NotebookNode
) -> None:
    assert parity.unsynced(chapter.name, notebook, parity.read_lock()) == []


def test_the_lock_knows_every_pair(chapter: Path, notebook: nbformat.NotebookNode) -> None:
    locked = parity.read_lock().get(chapter.name, {})
    assert list(locked) == [pair.key for pair in parity.pairs(notebook)], "run `make refresh`"


@pytest.mark.parametrize(
    ("korean", "english", "complaint"),
    [
        ("# 제목", "## Title", "heading 'h1' in the 'ko' text only"),
        ("(sec-a)=\n# 제목", "(sec-b)=\n# Title", "label 'sec-a' in the 'ko' text only"),
        ("값 $z$", "value $y$", "formula 'z' in the 'ko' text only"),
        ("$$\nz\n$$ (eq-a)", "$$\nz\n$$ (eq-b)", "label 'eq-b' in the 'en' text only"),
        ("`z`는", "`y` is", "code 'z' in the 'ko' text only"),
        ("```python\nz\n```", "```python\ny\n```", r"code 'y\n' in the 'en' text only"),
        ("{eq}`eq-a`", "see below", "reference 'eq-a' in the 'ko' text only"),
        ("{cite:p}`Lin2017`", "a paper", "reference 'Lin2017' in the 'ko' text only"),
        ("[책](a.html)", "[book](b.html)", "link 'a.html' in the 'ko' text only"),
        ("값은 0.25", "it is 0.52", "number '0.52' in the 'en' text only"),
        (":::{note}\n값은 3\n:::", ":::{note}\nit is 4\n:::", "number '3' in the 'ko' text only"),
    ],
)
def test_a_difference_is_named(korean: str, english: str, complaint: str) -> None:
    [*found] = parity.problems(new_notebook(cells=[ko(korean), en(english)]))
    assert any(complaint in line for line in found), found


def test_words_and_punctuation_may_differ() -> None:
    cells = [
        ko("(sec-a)=\n## 확률\n{ref}`기호 <ch-notation>`의 $p$, `float32`, 0.5"),
        en("(sec-a)=\n## Probability\n$p$ of {ref}`the symbols <ch-notation>`: 0.5 in `float32`"),
        ko("$$\nz = 1\n$$ (eq-b)\n입니다."),
        en("$$\nz = 1.\n$$ (eq-b)"),
        new_code_cell("1", metadata={"mystnb": {"image": {"alt": {"ko": "가", "en": "a"}}}}),
    ]
    assert parity.problems(new_notebook(cells=cells)) == []


@pytest.mark.parametrize(
    ("cells", "complaints"),
    [
        ([ko("## 성질")], ["cell 1 (성질): its twin, tagged 'en', is missing"]),
        (
            [ko("## 성질"), ko("끝"), en("the end"), ko("또")],
            [
                "cell 1 (성질): its twin, tagged 'en', is missing",
                "cell 4 (under 성질): its twin, tagged 'en', is missing",
            ],
        ),
        (
            [en("## Properties")],
            ["cell 1 (Properties): its twin, tagged 'ko', is missing"],
        ),
        (
            [new_markdown_cell("text")],
            ["cell 1 (text): tag it with its language, one of 'ko'"],
        ),
        (
            [ko("그림"), new_code_cell("1", metadata={"mystnb": {"caption": {"ko": "가"}}})],
            [
                "cell 1 (그림): its twin, tagged 'en', is missing",
                "code cell 2 (1), mystnb, caption: the text in 'en' is missing",
            ],
        ),
    ],
)
def test_every_missing_twin_is_named(
    cells: list[nbformat.NotebookNode], complaints: list[str]
) -> None:
    notebook = new_notebook(cells=cells)
    found = parity.problems(notebook)
    assert len(found) == len(complaints)
    for line, complaint in zip(found, complaints, strict=True):
        assert line.startswith(complaint)
    with pytest.raises(ValueError, match="(?s)" + ".*".join(map(re.escape, complaints))):
        parity.pairs(notebook)


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write the cells of the only chapter; without an id, a cell is the first or second of it."""
    path = tmp_path / "chapter.ipynb"
    monkeypatch.setattr(parity, "LOCK", tmp_path / "parity.lock")
    monkeypatch.setattr(parity, "chapters", lambda: [path])

    def save(*cells: nbformat.NotebookNode, ids: str = "ab") -> None:
        for name, cell in zip(ids, cells, strict=False):
            cell.id = name
        nbformat.write(new_notebook(cells=list(cells)), path)

    return save


@pytest.mark.parametrize("ids", ["ab", "xy"], ids=["the same cells", "cells with other ids"])
def test_a_change_of_one_side_points_to_the_other(save: Callable[..., None], ids: str) -> None:
    save(ko("하나"), en("one"))
    assert parity.review() == ([], [])
    english = "chapter.ipynb, cell 1 (하나): the text in 'en' was changed; look at its twin in 'ko'"
    for _ in range(2):  # it says so until someone has looked
        save(ko("하나"), en("uno"), ids=ids)
        assert parity.review() == ([], [english])
    save(ko("일"), en("one"), ids=ids)
    korean = "chapter.ipynb, cell 1 (일): the text in 'ko' was changed; look at its twin in 'en'"
    assert parity.review() == ([], [korean])
    parity.accept()
    assert parity.review() == ([], [])
    save(ko("둘"), en("two"), ids=ids)
    assert parity.review() == ([], [])


def test_one_unsynced_pair_does_not_hold_up_the_others(save: Callable[..., None]) -> None:
    save(ko("하나"), en("one"), ko("둘"), en("two"), ids="abcd")
    parity.review()
    save(ko("하나"), en("uno"), ko("이"), en("due"), ids="abcd")
    _, [notice] = parity.review()
    assert "cell 1" in notice
    save(ko("하나"), en("uno"), ko("이"), en("deux"), ids="abcd")
    _, notices = parity.review()
    assert len(notices) == 2


def test_a_place_is_named_in_both_languages_and_counted_from_one() -> None:
    cells = [ko("(sec-a)=\n## 정의"), en("(sec-a)=\n## Definition"), new_code_cell("1"), ko("글")]
    assert parity.places(new_notebook(cells=cells)) == [
        "cell 1 (정의 | Definition)",
        "cell 2 (정의 | Definition)",
        "code cell 3 (under 정의 | Definition)",
        "cell 4 (under 정의 | Definition)",
    ]


def test_a_lock_is_read_as_it_was_written(save: Callable[..., None]) -> None:
    caption = {"mystnb": {"figure": {"caption": {"ko": "가", "en": "a"}}}}
    save(ko("하나"), en("one"), new_code_cell("1", metadata=caption), ids="abc")
    parity.accept()
    lock = parity.read_lock()
    assert list(lock) == ["chapter.ipynb"]
    assert list(lock["chapter.ipynb"]) == ["a", "c/mystnb/figure/caption"]
    assert len(parity.LOCK.read_text().splitlines()) == 3, "one line for each pair"


def test_a_merge_conflict_in_the_lock_is_named(save: Callable[..., None]) -> None:
    save(ko("하나"), en("one"))
    parity.accept()
    parity.LOCK.write_text("<<<<<<< HEAD\n" + parity.LOCK.read_text())
    with pytest.raises(NotebookError, match=r"'<<<<<<< HEAD'\. Was a merge conflict left in it"):
        parity.review()


def test_branches_that_edit_different_chapters_can_be_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last pair of one chapter and the first of the next: their lines are neighbours."""

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a writer", "-c", "user.email=writer@localhost"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def edit(name: str, text: str, message: str) -> None:
        cells = [ko(f"{text} 하나"), en(f"{text} one"), ko(f"{text} 둘"), en(f"{text} two")]
        for number, cell in enumerate(cells):
            cell.id = f"cell-{number}"
        (tmp_path / name).write_text(stored(new_notebook(cells=cells)), encoding="utf-8")
        parity.review()
        git("add", ".")
        git("commit", "-m", message)

    names = ["01_a.ipynb", "02_b.ipynb"]
    monkeypatch.setattr(parity, "LOCK", tmp_path / "parity.lock")
    monkeypatch.setattr(parity, "chapters", lambda: sorted(tmp_path.glob("*.ipynb")))
    git("init", "--initial-branch=main")
    for name in names:
        edit(name, "old", "start")
    git("switch", "-c", "other")
    edit(names[0], "new", "the first chapter")
    git("switch", "main")
    edit(names[1], "newer", "the second chapter")
    git("merge", "other")
    merged = parity.read_lock()
    parity.accept()
    assert parity.read_lock() == merged
