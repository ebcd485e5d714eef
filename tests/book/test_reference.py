"""The reference: every public name of the core, in both editions, as its docstring has it."""

import inspect
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag

import segloss_core
from book.editions import docstrings
from book.editions.edition import LANGUAGES

PAGES = [f"{lang}/book/api.html" for lang in LANGUAGES]


@pytest.fixture(params=PAGES, scope="module")
def reference(request: pytest.FixtureRequest, site: Path) -> BeautifulSoup:
    return BeautifulSoup((site / request.param).read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(params=[name for name in segloss_core.__all__ if name != "Mode"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def entry(reference: BeautifulSoup, name: str) -> Tag:
    """The signature and the docstring of a name on the page."""
    head = reference.find("dt", id=f"segloss_core.{name}")
    assert head is not None, f"segloss_core.{name} is not on the page"
    return head.parent


def is_twin(name: str) -> bool:
    return hasattr(getattr(segloss_core, name), "function")


def test_a_name_stands_with_its_signature(entry: Tag, name: str) -> None:
    shown = [parameter.select_one(".n, .o").get_text() for parameter in entry.select(".sig-param")]
    signature = inspect.signature(getattr(segloss_core, name))
    assert [word for word in shown if word != "*"] == list(signature.parameters)


def test_its_docstring_is_whole(entry: Tag, name: str) -> None:
    """Every word is there once the markup is taken away on both sides."""
    doc = inspect.getdoc(getattr(segloss_core, name))
    if is_twin(name):
        doc = doc.partition("\n")[0].replace(":func:", "")
    missing = missing_words(doc, entry.dd.get_text())
    if chapter := re.search(r"^Chapter: (.*)\.$", doc, re.MULTILINE):
        missing -= set(chapter[1].split())  # it stands as the title in the edition
    assert missing == set()


def missing_words(doc: str, shown: str) -> set[str]:
    words = re.compile(r"\w+")
    headings = re.compile(r"^[A-Z][a-z]+(, [^:.]+)?:", re.MULTILINE)
    return set(words.findall(headings.sub("", doc))) - set(words.findall(shown))


def test_what_holds_for_every_loss_stands_before_all_entries(reference: BeautifulSoup) -> None:
    whole = reference.select_one(".docstring")
    assert missing_words(inspect.getdoc(segloss_core), whole.get_text()) == set()
    assert whole.find_next("dt", id="segloss_core.cross_entropy_loss") is not None
    assert all(text["lang"] == "en" for text in whole.select("p:not(.rubric)"))
    assert not re.search(r"`|\\|:func:|\*\*", whole.get_text())


def test_its_chapter_is_linked(entry: Tag, name: str, reference: BeautifulSoup) -> None:
    if not is_twin(name):
        chapter = entry.select("dl.field-list")[-1].select_one("a.reference.internal")
        assert re.match(r"\d\d_\w+\.html#ch-", chapter["href"])


def test_formula_and_example_are_code(entry: Tag, name: str) -> None:
    doc = inspect.getdoc(getattr(segloss_core, name))
    if not is_twin(name):
        assert ("Formula" in doc) == bool(entry.select(".formula pre"))
        assert ">>> import torch" in entry.select_one(".highlight-default pre").get_text()


def test_english_is_marked_as_such_and_no_markup_is_left(entry: Tag) -> None:
    for paragraph in entry.dd.select("p:not(.rubric)"):
        assert paragraph["lang"] == "en"
        assert not re.search(r"`|\\|:func:|\*\*", paragraph.get_text())


def test_an_unknown_chapter_is_an_error() -> None:
    lines = ["Loss.", "", "Chapter: a chapter that was never written."]
    with pytest.raises(ValueError, match="no chapter of the book is called 'a chapter that"):
        docstrings.rewrite(None, "function", "f", None, None, lines)


def test_continued_lines_stay_with_their_item() -> None:
    lines = ["Loss.", "", "Convention:", "    Void: none (B, *),", "    ever.", "    Dtype: wide."]
    docstrings.rewrite(None, "function", "f", None, None, lines)
    assert lines[2:] == [
        "Convention:",
        r"    Void: none (B, \*),",
        "        ever.",
        "    Dtype: wide.",
    ]
