"""A chapter is a lesson of twelve minutes: how long its page is with everything folded closed."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from nbformat import NotebookNode
from playwright.sync_api import Browser

from book.editions.edition import LANGUAGES

WINDOW = {"width": 1280, "height": 900}
CODE_WIDTH = 78  # characters that fit a line of the page


class Limits(NamedTuple):
    """The most of everything but figures, in heights of the window where nothing else is said."""

    screens: float = 16
    words: float = 2600  # outside code, in the English edition
    code: float = 3
    output: float = 1.5
    figures: float = 3  # at least, and more than code


LOSS = Limits()
#: Chapters that are no lesson on one loss may have other words and figures.
OTHERS = {
    "01_notation": Limits(words=float("inf"), figures=0),
    "11_choosing": Limits(words=float("inf"), figures=0),
    "12_precision": Limits(screens=20),
    "15_map": Limits(figures=2),
}

# Visible elements: what stands in a closed fold is laid out nowhere.
MEASURE = """() => {
  const article = document.querySelector("article");
  const all = (selector) =>
    [...article.querySelectorAll(selector)].filter((e) => e.checkVisibility());
  const heights = (elements) =>
    elements.reduce((sum, e) => sum + e.getBoundingClientRect().height, 0) / innerHeight;
  const outside = (e) => !e.closest(".cell") && !e.parentElement.closest("p, li, td");
  const prose = all("p, li, td, th, h1, h2, h3").filter(outside);
  const sentences = all("p").filter((e) =>
    !e.closest(".admonition, .cell") && e.innerText.trim().split(/\\s+/).length > 5);
  const cut = (e) => e.scrollWidth > e.clientWidth + 2;
  return {
    screens: heights([article]),
    words: prose.map((e) => e.innerText).join(" ").split(/\\s+/).length,
    code: heights(all("div.cell_input")),
    output: heights(all("div.cell_output pre, div.cell_output table")),
    figures: heights(all("img, svg").filter((e) => e.getBoundingClientRect().height > 120)),
    cut: all("pre").filter(cut).map((e) => e.innerText.slice(0, 60)),
    first: sentences[0].getBoundingClientRect().top + scrollY,
  };
}"""


def measure(browser: Browser, page: Path) -> dict[str, Any]:
    tab = browser.new_page(viewport=WINDOW)
    tab.goto(page.as_uri())
    tab.evaluate("window.MathJax?.startup.promise.then(() => null)")
    found = tab.evaluate(MEASURE)
    tab.close()
    return found


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.usefixtures("lesson")
def test_a_chapter_is_as_long_as_a_lesson(
    browser: Browser, site: Path, chapter: Path, lang: str
) -> None:
    if not chapter.stem[0].isdigit():
        pytest.skip("a page to look things up, not a lesson")
    found = measure(browser, site / lang / "book" / f"{chapter.stem}.html")
    limits = OTHERS.get(chapter.stem, LOSS)
    assert found["screens"] <= limits.screens
    assert lang != "en" or found["words"] <= limits.words
    assert found["code"] <= limits.code
    assert found["output"] <= limits.output
    assert found["figures"] >= (max(limits.figures, found["code"]) if limits.figures else 0)
    assert found["cut"] == [], "boxes that are cut off at the right"
    assert found["first"] <= WINDOW["height"], "the first sentence is below the first screen"


def test_no_visible_line_is_longer_than_the_page_is_wide(lesson: NotebookNode) -> None:
    lines = []
    for cell in lesson.cells:
        tags = set(cell.metadata.get("tags", []))
        if cell.cell_type != "code" or "hide-cell" in tags:
            continue
        if "hide-input" not in tags:
            lines += cell.source.splitlines()
        if "hide-output" not in tags:
            lines += [line for o in cell.outputs for line in o.get("text", "").splitlines()]
    assert [line for line in lines if len(line) > CODE_WIDTH] == []
