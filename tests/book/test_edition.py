"""An edition is a pure function of the notebook and the language."""

import copy
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.editions.edition import LANGUAGES, edition

HANGUL = re.compile("[가-힣]")


def bilingual() -> nbformat.NotebookNode:
    caption = {"ko": "그림 설명", "en": "A caption"}
    return new_notebook(
        cells=[
            new_markdown_cell("# 제목", metadata={"tags": ["ko", "remove-cell"]}),
            new_markdown_cell("# Title", metadata={"tags": ["en"]}),
            new_code_cell("x = 1", metadata={"mystnb": {"figure": {"caption": caption}}}),
            new_markdown_cell("$x$"),
        ]
    )


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("blank", [False, True])
def test_the_input_stays_as_it_is(lang: str, blank: bool) -> None:
    source = bilingual()
    before = copy.deepcopy(source)
    result = edition(source, lang, blank=blank)
    result.cells[-1].source = "changed"
    result.cells[-1].metadata["tags"] = ["changed"]
    assert source == before


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_edition_of_an_edition_is_itself(lang: str) -> None:
    once = edition(bilingual(), lang)
    assert edition(once, lang) == once


def test_the_other_language_is_dropped() -> None:
    assert [cell.source for cell in edition(bilingual(), "ko").cells] == ["# 제목", "x = 1", "$x$"]
    assert [cell.source for cell in edition(bilingual(), "en").cells] == ["# Title", "x = 1", "$x$"]


def test_blanking_keeps_the_cell_numbers() -> None:
    sources = [cell.source for cell in edition(bilingual(), "en", blank=True).cells]
    assert sources == ["", "# Title", "x = 1", "$x$"]


def test_metadata_speak_one_language_and_keep_other_tags() -> None:
    korean = edition(bilingual(), "ko")
    assert korean.cells[0].metadata.tags == ["remove-cell"]
    assert korean.cells[1].metadata.mystnb.figure.caption == "그림 설명"
    assert edition(bilingual(), "en").cells[1].metadata.mystnb.figure.caption == "A caption"


def test_an_unknown_language_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"lang: got 'fr', expected one of \('ko', 'en'\)"):
        edition(bilingual(), "fr")


def test_chapters_make_pure_editions(notebook: nbformat.NotebookNode) -> None:
    korean, english = (edition(notebook, lang) for lang in LANGUAGES)
    assert not HANGUL.search(nbformat.writes(english))
    code = [
        [(cell.source, cell.outputs) for cell in side.cells if cell.cell_type == "code"]
        for side in (korean, english)
    ]
    assert code[0] == code[1]
    for cell in korean.cells:
        if cell.cell_type == "markdown" and not cell.source.startswith("```{"):
            assert HANGUL.search(cell.source), cell.source
