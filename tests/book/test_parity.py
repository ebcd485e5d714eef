"""The two languages are held together, and the messages help the writer."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.editions import parity


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
    locked = parity.read_lock().get(chapter.name, [])
    assert len(locked) == len(list(parity.pairs(notebook))), "run `make refresh`"


@pytest.mark.parametrize(
    ("korean", "english", "complaint"),
    [
        ("# 제목", "## Title", "heading 'h1' in the Korean text only"),
        ("(sec-a)=\n# 제목", "(sec-b)=\n# Title", "label 'sec-a' in the Korean text only"),
        ("값 $z$", "value $y$", "formula 'z' in the Korean text only"),
        ("$$\nz\n$$ (eq-a)", "$$\nz\n$$ (eq-b)", "label 'eq-b' in the English text only"),
        ("`z`는", "`y` is", "code 'z' in the Korean text only"),
        ("```python\nz\n```", "```python\ny\n```", r"code 'y\n' in the English text only"),
        ("{eq}`eq-a`", "see below", "reference 'eq-a' in the Korean text only"),
        ("{cite:p}`Lin2017`", "a paper", "reference 'Lin2017' in the Korean text only"),
        ("[책](a.html)", "[book](b.html)", "link 'a.html' in the Korean text only"),
        ("값은 0.25", "it is 0.52", "number '0.52' in the English text only"),
        (":::{note}\n값은 3\n:::", ":::{note}\nit is 4\n:::", "number '3' in the Korean text only"),
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
        ([ko("## 성질")], ["cell 0 ('성질'): its English twin, tagged 'en', is missing"]),
        (
            [ko("## 성질"), ko("끝"), en("the end"), ko("또")],
            [
                "cell 0 ('성질'): its English twin, tagged 'en', is missing",
                "cell 3 ('또'): its English twin, tagged 'en', is missing",
            ],
        ),
        (
            [en("## Properties")],
            ["cell 0 ('Properties'): its Korean twin, tagged 'ko', is missing"],
        ),
        ([new_markdown_cell("text")], ["cell 0 ('text'): tag it 'ko' or 'en'"]),
        (
            [ko("그림"), new_code_cell("1", metadata={"mystnb": {"caption": {"ko": "가"}}})],
            [
                "cell 0 ('그림'): its English twin, tagged 'en', is missing",
                "code cell 1, mystnb, caption: the text in 'en' is missing",
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


def test_a_change_of_one_side_points_to_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chapter.ipynb"
    monkeypatch.setattr(parity, "LOCK", tmp_path / "parity.lock")
    monkeypatch.setattr(parity, "chapters", lambda: [path])

    def save(*cells: nbformat.NotebookNode) -> None:
        nbformat.write(new_notebook(cells=list(cells)), path)

    save(ko("하나"), en("one"))
    assert parity.review() == []
    save(ko("하나"), en("uno"))
    assert parity.review() == [
        "chapter.ipynb, cell 0 ('하나'): the English text was changed; look at its Korean twin"
    ]
    save(ko("일"), en("one"))
    assert parity.review() == [
        "chapter.ipynb, cell 0 ('일'): the Korean text was changed; look at its English twin"
    ]
    parity.accept()
    assert parity.review() == []
    save(ko("둘"), en("two"))
    assert parity.review() == []
