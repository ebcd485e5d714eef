"""The whole book on paper: one PDF for each language, printed by Chromium from the built site.

The pages of the site are put one after the other into a single document, so that the browser
turns the links between chapters into links within the PDF. It is printed twice: the first PDF
tells on which page each chapter starts, the second says so in its table of contents. Solutions are
taken from under their exercises to the end.
"""

import copy
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urldefrag, urljoin, urlparse

from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, FileSystemLoader
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

from .config import ROOT

TEMPLATES = ROOT / "book" / "_templates"


def find_browser() -> str | None:
    """Where Chromium is on this machine; None if it is not there."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield browser
        browser.close()


class Words(NamedTuple):
    """What the book says of itself on its first page, and what its last part is called."""

    title: str
    author: str
    edition: str
    solutions: str


def print_book(browser: Browser, first: Path, words: Words, target: Path) -> None:
    """Print the edition whose first page is ``first`` to the PDF ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    document = target.with_suffix(".html")
    document.write_text(whole_book(first, words), encoding="utf-8")
    page = browser.new_page()
    page.set_default_timeout(0)  # thousands of formulas take their time
    page.goto(document.as_uri())
    page.evaluate("MathJax.startup.promise.then(() => null)")
    number_contents(page, _printed(page))
    book = PdfWriter(_printed(page), incremental=True)
    name_outline(book, page.locator("article :is(h1, h2, h3, h4, h5, h6)").all_text_contents())
    page.close()
    book.add_metadata({"/Author": words.author})
    book.write(target)
    document.unlink()


def _printed(page: Page) -> io.BytesIO:
    """The page as Chromium prints it, with bookmarks and the structure that is read aloud."""
    options = {"prefer_css_page_size": True, "print_background": True}
    return io.BytesIO(page.pdf(**options, outline=True, tagged=True))


def number_contents(page: Page, pdf: io.BytesIO) -> None:
    """Write into the table of contents on which page of ``pdf`` each chapter starts."""
    reader = PdfReader(pdf)
    starts = {
        name.removeprefix("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }
    fill = """starts => document.querySelectorAll(".book-contents a").forEach((link) => {
      link.nextElementSibling.textContent = starts[link.hash.slice(1)];
    })"""
    page.evaluate(fill, starts)


def name_outline(book: PdfWriter, headings: list[str]) -> None:
    """Name the bookmarks anew: Chromium doubles those at the top of a page and drops formulas."""
    items = list(_outline_items(book.root_object["/Outlines"]))
    for item, heading in zip(items, headings, strict=True):
        item[NameObject("/Title")] = TextStringObject(" ".join(heading.strip(" #").split()))


def _outline_items(parent: DictionaryObject) -> Iterator[DictionaryObject]:
    item = parent.get("/First")
    while item is not None:
        yield (child := item.get_object())
        yield from _outline_items(child)
        item = child.get("/Next")


def whole_book(first: Path, words: Words) -> str:
    """All pages of an edition, in order, as one document."""
    home = _read(first)
    contents = home.select_one("nav.bd-links")
    links = [urljoin(first.as_uri(), link["href"]) for link in contents.select("a")]
    articles = {uri: _read(Path(urlparse(uri).path)).select_one("article") for uri in links}
    starts = {uri: article.section["id"] for uri, article in articles.items()}
    for caption in contents.select("[role=heading]"):
        del caption["role"]
    for link in contents.select("a"):
        link.insert_after(home.new_tag("span"))
    _gather(contents, first.as_uri(), starts)
    for uri, article in articles.items():
        _gather(article, uri, starts)
        for folded in article.select("details"):
            folded["open"] = ""
        for picture in article.select("img[loading]"):
            del picture["loading"]  # on paper none may wait until it is near
    pages = list(articles.values())
    if solved := [part for article in pages for part in take_solutions(article)]:
        pages.append(_last_part(words.solutions, solved))
        contents.append(
            _parsed(f'<ul><li><a href="#solutions">{words.solutions}</a><span/></li></ul>')
        )
    return (
        Environment(loader=FileSystemLoader(TEMPLATES), trim_blocks=True)
        .get_template("printed_book.html")
        .render(
            lang=home.html["lang"],
            words=words,
            styles=[urljoin(first.as_uri(), s["href"]) for s in home.select("[rel=stylesheet]")],
            scripts=[
                urljoin(first.as_uri(), script["src"]) if script.get("src") else script.string
                for script in home.select("script")
                if "mathjax" in str(script).lower()
            ],
            contents=contents.decode_contents(),
            articles=pages,
        )
    )


def take_solutions(article: Tag) -> list[Tag]:
    """Take what solves the exercises of a chapter out of it, leaving a link to each solution.

    Returned is the chapter's heading and what was taken, with the number of its exercise; nothing
    if there are no exercises.
    """
    taken: list[Tag] = []
    question, solution = "", None
    for part in article.select("section[id$=-exercises] > *"):
        if part.name != "details" and "tag_hide-cell" not in part.get("class", []):
            number = part.select_one(":scope > strong:first-child") if part.name == "p" else None
            question, solution = number.get_text() if number else question, None
            continue
        if solution is None:
            anchor = f"solution-{len(taken) + 1}-of-{article.section['id']}"
            link = part.summary.get_text().strip() if part.summary else question
            part.insert_before(
                _parsed(f'<p class="to-solution"><a href="#{anchor}">{link}</a></p>')
            )
            solution = _parsed(f'<div id="{anchor}"><p><strong>{question}</strong></p></div>')
            taken.append(solution)
        solution.append(part.extract())
    if not taken:
        return []
    heading = copy.copy(article.h1)
    heading.name = "h2"
    return [heading, *taken]


def _last_part(title: str, solved: list[Tag]) -> Tag:
    article = _parsed(
        f'<article class="bd-article"><section id="solutions"><h1>{title}</h1></section></article>'
    )
    article.section.extend(solved)
    return article


def _parsed(html: str) -> Tag:
    return BeautifulSoup(html, "html.parser").contents[0].extract()


def _read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def _gather(part: Tag, uri: str, starts: dict[str, str]) -> None:
    """Make a part of the page ``uri`` one of the document that holds all of ``starts``."""
    for tag in part.select("[id]"):
        tag["id"] = _unique(tag["id"], uri)
    for tag in part.select("[src]"):
        tag["src"] = urljoin(uri, tag["src"])
    for link in part.select("a[href]"):
        page, anchor = urldefrag(urljoin(uri, link["href"]))
        if page in starts:
            link["href"] = f"#{_unique(anchor or starts[page], page)}"
        elif page.startswith("file:"):
            del link["href"]  # a page that is not part of the book


def _unique(anchor: str, uri: str) -> str:
    """Labels differ throughout the book; numbered anchors begin anew on each page."""
    return f"{Path(uri).stem}-{anchor}" if re.fullmatch(r"id\d+", anchor) else anchor
