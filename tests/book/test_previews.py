"""A reference shows what it leads to: by pointer and keyboard, and without a server."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, expect

from book.editions.edition import LANGUAGES
from book.editions.previews import DATA

# On this page: a figure, an equation, a cited work, a section of another page.
PAGE = "book/05_focal.html"
REFERENCES = {
    "a figure": ('[href="#fig-focal-calibration"]', "img"),
    "an equation": ('[href^="#equation-"]', "mjx-container"),
    "a cited work": ('[href*="references.html#"]', "em"),
    "another page": ('[href^="07_overlap.html"]', "strong"),
}


def known(site: Path, lang: str) -> dict[str, str]:
    text = (site / lang / "_static" / DATA).read_text(encoding="utf-8")
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


@pytest.fixture
def view(browser: Browser, site: Path) -> Iterator[Page]:
    """A page in the folder of the site; nothing may go wrong, nothing be fetched from outside."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:")) else complaints.append(request.url)
        ),
    )
    page.goto((site / "en" / PAGE).as_uri(), wait_until="networkidle")
    yield page
    page.close()
    assert complaints == []


def visible(view: Page, selector: str):
    links = view.locator(f"article :is(p, li) a.reference.internal{selector}")
    return next(link for link in links.all() if link.is_visible())


@pytest.mark.parametrize("kind", REFERENCES)
def test_a_pointer_opens_it_and_may_move_onto_it(view: Page, kind: str) -> None:
    selector, part = REFERENCES[kind]
    link, note = visible(view, selector), view.locator("#preview")
    expect(note).to_be_hidden()
    link.hover()
    expect(note).to_be_visible()
    expect(note.locator(part).first).to_be_visible()
    expect(link).to_have_attribute("aria-describedby", "preview")
    for picture in note.locator("img").all():
        assert picture.evaluate("e => e.decode().then(() => e.naturalWidth)") > 0
    box = note.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1280
    assert note.locator("a, [id]").count() == 0
    note.hover()
    view.wait_for_timeout(400)
    expect(note).to_be_visible()
    view.mouse.move(2, 2)
    expect(note).to_be_hidden()


def test_the_keyboard_opens_it_and_escape_closes_it(view: Page) -> None:
    link, note = visible(view, REFERENCES["a figure"][0]), view.locator("#preview")
    link.evaluate("""link => {
      const before = document.createElement("button");
      link.before(before);
      before.focus();
    }""")
    view.keyboard.press("Tab")
    expect(link).to_be_focused()
    expect(note).to_be_visible()
    view.keyboard.press("Escape")
    expect(note).to_be_hidden()
    expect(link).to_be_focused()


def test_it_does_not_move_for_those_who_want_no_motion(view: Page) -> None:
    view.emulate_media(reduced_motion="reduce")
    visible(view, REFERENCES["a figure"][0]).hover()
    expect(view.locator("#preview")).to_be_visible()
    assert view.locator("#preview").evaluate("e => getComputedStyle(e).animationName") == "none"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_reference_in_a_text_has_something_to_show(site: Path, lang: str) -> None:
    shown = known(site, lang)
    for path in (site / lang / "book").glob("*.html"):
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for link in page.select("article p a.reference.internal[href]"):
            target = (path.parent / (link["href"].partition("#")[0] or path.name)).resolve()
            if not target.is_relative_to(site / lang):
                continue  # the notebook's own file
            place = target.relative_to((site / lang).resolve()).as_posix()
            anchor = link["href"].partition("#")[2]
            assert (f"{place}#{anchor}" if anchor else place) in shown, (path.name, link)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_is_shown_is_text_without_anchors_links_and_empty_numbers(site, lang: str) -> None:
    shown = known(site, lang)
    assert len(shown) > 100
    for place, html in shown.items():
        assert not re.search(r'<a\b| id=|eqno">\(\)|<script', html), place
        words = BeautifulSoup(html, "html.parser").get_text()
        assert len(words) > 3 or "<img" in html
        if lang == "en":
            assert not re.search("[가-힣]", html)
        for picture in re.findall(r'data-src="([^"]+)"', html):
            assert (site / lang / picture).is_file()
