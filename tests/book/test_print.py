"""On paper: a page printed by its reader, and the whole book as a PDF."""

import io
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page
from pypdf import PdfReader
from pypdf.generic import Destination

from book.editions import pdf
from book.editions.edition import LANGUAGES

CHAPTERS = ("01_notation.html", "glossary.html", "references.html")  # of the book that is printed
SOLUTIONS = {"ko": "연습 문제 풀이", "en": "Solutions"}
HANGUL_WORD = re.compile("[가-힣]{2,}")
PAPER = {"width": 665, "height": 980}  # A4 within its margins, in CSS pixels


@pytest.fixture
def view(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page(color_scheme="dark", viewport=PAPER)
    page.goto(f"{address}ko/book/06_distance.html")
    page.evaluate("MathJax.startup.promise.then(() => null)")
    yield page
    page.close()


def letters(text: str) -> str:
    """A text without spaces and ligatures, which a PDF sets as it likes."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))


def printed_letters(pages: PdfReader) -> str:
    return letters("".join(page.extract_text() for page in pages.pages))


def test_a_dark_page_is_printed_light_with_its_solutions(view: Page) -> None:
    before = view.evaluate("document.documentElement.dataset.theme")
    view.evaluate(
        """addEventListener("beforeprint", () => {
          window.seen = [document.documentElement.dataset.theme,
            document.querySelectorAll("article details:not([open])").length];
        })"""
    )
    text = printed_letters(PdfReader(io.BytesIO(view.pdf(prefer_css_page_size=True))))
    assert view.evaluate("window.seen") == ["light", 0]
    assert view.evaluate("document.documentElement.dataset.theme") == before == "dark"
    assert view.locator("article details[open]").count() == 0
    solution = view.locator(".sd-dropdown .sd-card-text").last.text_content()
    [word, *_] = sorted(HANGUL_WORD.findall(solution), key=len, reverse=True)
    assert word in text


def test_nothing_for_the_screen_is_on_paper(view: Page) -> None:
    view.emulate_media(media="print")
    for selector in (
        ".bd-sidebar-primary",
        ".bd-sidebar-secondary",
        ".bd-header-article",
        ".prev-next-footer",
        ".copybtn",
        ".headerlink",
        ".slider-figure",
        ".tag_hide-input > details",
    ):
        assert not view.locator(selector).evaluate_all("all => all.some(e => e.checkVisibility())")


def test_nothing_on_paper_is_cut(view: Page) -> None:
    """Formulas, code and figures end within the page; no figure is higher than a page."""
    view.emulate_media(media="print")
    parts = view.locator("article :is(div.math, pre, table, img)")
    boxes = parts.evaluate_all(
        "all => all.filter(e => e.checkVisibility()).map(e => [e.scrollWidth, e.clientWidth,"
        " e.getBoundingClientRect().right, e.tagName, e.getBoundingClientRect().height])"
    )
    assert boxes
    for needed, given, right, name, height in boxes:
        assert right <= PAPER["width"] + 1, name
        assert not given or needed <= given + 1, name
        assert name != "IMG" or height < PAPER["height"]


@pytest.fixture(scope="module", params=LANGUAGES)
def book(
    request: pytest.FixtureRequest,
    browser: Browser,
    site: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, PdfReader]:
    """An edition cut down to a few chapters, and its PDF."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(site / request.param, folder, dirs_exist_ok=True)
    first = folder / "book" / "index.html"
    home = BeautifulSoup(first.read_text(encoding="utf-8"), "html.parser")
    for link in home.select("nav.bd-links a"):
        if link["href"] not in ("#", *CHAPTERS):
            link.decompose()
    first.write_text(str(home), encoding="utf-8")
    target = folder / "book.pdf"
    words = pdf.Words("segloss", "its authors", "1.2.3, 2026-01-02", SOLUTIONS[request.param])
    pdf.print_book(browser, first, words, target)
    return folder / "book", PdfReader(target)


def headings(folder: Path) -> list[str]:
    """The titles and section titles of the chapters and the solutions, formulas left out."""
    found, solved = [], []
    for name in ("index.html", *CHAPTERS):
        page = BeautifulSoup((folder / name).read_text(encoding="utf-8"), "html.parser")
        for drop in page.select("article .headerlink, article .math"):
            drop.decompose()
        found += [h.get_text().strip() for h in page.select("article :is(h1, h2, h3, h4)")]
        if page.select("article section[id$=-exercises] > details"):
            solved.append(found[-len(page.select("article :is(h1, h2, h3, h4)"))])
    lang = page.html["lang"]
    return [*found, SOLUTIONS[lang], *solved]


def test_the_headings_are_in_the_text_layer(book: tuple[Path, PdfReader]) -> None:
    folder, printed = book
    text = printed_letters(printed)
    words = [word for heading in headings(folder) for word in heading.split()]
    assert len(words) > 40
    assert [word for word in words if word not in text] == []


def test_hangul_is_text_in_the_korean_book_alone(book: tuple[Path, PdfReader]) -> None:
    _, printed = book
    syllables = len(re.findall("[가-힣]", printed_letters(printed)))
    if printed.root_object["/Lang"] == "ko":
        assert syllables > 2000
    else:
        assert syllables == 0


def outline(items: list) -> Iterator[Destination]:
    for item in items:
        if isinstance(item, list):
            yield from outline(item)
        else:
            yield item


def test_bookmarks_are_the_headings(book: tuple[Path, PdfReader]) -> None:
    folder, printed = book
    titles = [item.title for item in outline(printed.outline)]
    assert len(titles) == len(headings(folder))
    for title, heading in zip(titles, headings(folder), strict=True):
        assert all(word in title for word in heading.split())


def test_contents_name_the_pages_where_chapters_start(book: tuple[Path, PdfReader]) -> None:
    _, printed = book
    starts = {
        item.title: printed.get_destination_page_number(item) + 1
        for item in printed.outline
        if not isinstance(item, list)
    }
    contents = printed.pages[1].extract_text()
    assert len(starts) == 1 + len(CHAPTERS) + 1  # the first page, and the solutions
    for title, number in starts.items():
        assert re.search(rf"{letters(title)}{number}(?!\d)", letters(contents)), title


def test_links_stay_within_the_book_or_lead_to_the_web(book: tuple[Path, PdfReader]) -> None:
    _, printed = book
    places = printed.named_destinations
    inner = 0
    for page in printed.pages:
        for note in (note.get_object() for note in page.get("/Annots", [])):
            if "/Dest" in note:
                assert note["/Dest"].removeprefix("/") in {p.removeprefix("/") for p in places}
                inner += 1
            elif "/A" in note:
                assert note["/A"]["/URI"].startswith("https://"), note["/A"]
    assert inner > 30


def test_the_first_page_says_which_version_it_is(book: tuple[Path, PdfReader]) -> None:
    _, printed = book
    assert "1.2.3, 2026-01-02" in printed.pages[0].extract_text()


def test_solutions_stand_at_the_end(book: tuple[Path, PdfReader]) -> None:
    """Under each exercise stands a link to its solution."""
    folder, printed = book
    page = BeautifulSoup((folder / CHAPTERS[0]).read_text(encoding="utf-8"), "html.parser")
    solutions = page.select("article section[id$=-exercises] > details")
    assert solutions
    [start] = [
        printed.get_destination_page_number(item)
        for item in printed.outline
        if not isinstance(item, list) and item.title == SOLUTIONS[printed.root_object["/Lang"]]
    ]
    before, after = (
        letters("".join(page.extract_text() for page in pages))
        for pages in (printed.pages[:start], printed.pages[start:])
    )
    for solution in solutions:
        for drop in solution.select(".math, summary"):
            drop.decompose()
        words = max(re.findall(r"[^\n.,:;()]+", solution.get_text()), key=len)
        assert letters(words) in after
        assert letters(words) not in before
    links = [name for name in printed.named_destinations if "solution-" in name]
    assert len(links) == len(solutions)


def test_code_is_not_split_between_pages(view: Page) -> None:
    view.emulate_media(media="print")
    code = view.locator('article :is(.cell_input, div[class*="highlight"])')
    styles = code.evaluate_all("all => all.map(e => getComputedStyle(e).breakInside)")
    assert set(styles) == {"avoid"}
