"""The book's own look: letters, colours, its mark, small icons; nothing is left of the theme's."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Page

from book.editions import ROOT
from book.editions.edition import LANGUAGES

STYLES = ROOT / "book" / "_static"
ICON_CLASSES = {"fa-solid", "fa-brands", "fas", "fab", "fa-lg"}


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture
def view(browser, address: str):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    yield page
    page.close()


def style(view: Page, selector: str, name: str) -> str:
    found = view.locator(selector).first
    return str(found.evaluate("(e, name) => getComputedStyle(e).getPropertyValue(name)", name))


@pytest.mark.parametrize("path", ["index.html", "ko/book/05_focal.html", "en/book/05_focal.html"])
def test_every_system_has_a_family_for_hangul(view: Page, address: str, path: str) -> None:
    """macOS, Windows, Android and Linux; and none is fetched."""
    requested: list[str] = []
    view.on("request", lambda request: requested.append(request.url))
    view.goto(address + path, wait_until="networkidle")
    for part in ("body", "h1", "p"):
        families = style(view, part, "font-family")
        for family in ("Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR", "Noto Sans CJK KR"):
            assert family in families
        assert families.endswith("sans-serif")
    fonts = [url for url in requested if re.search(r"\.(woff2?|ttf|otf)(\?|$)", url)]
    assert all("/mathjax/" in url for url in fonts)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_has_the_colours_of_the_front_door(view: Page, address: str, scheme: str) -> None:
    view.emulate_media(color_scheme=scheme)
    looks = []
    for path in ("index.html", "en/book/05_focal.html"):
        view.goto(address + path)
        looks.append([style(view, "body", name) for name in ("color", "background-color")])
        looks[-1].append(style(view, "p a", "color") if path != "index.html" else "")
    assert looks[0][:2] == looks[1][:2]
    assert looks[1][2] == {"light": "rgb(0, 95, 153)", "dark": "rgb(121, 189, 240)"}[scheme]


def test_headings_follow_the_scale(view: Page, address: str) -> None:
    view.goto(address + "ko/book/05_focal.html")
    sizes = [float(style(view, f"article {tag}", "font-size")[:-2]) for tag in ("h1", "h2", "h3")]
    assert sizes == [34, 25, 20]
    assert all(style(view, f"article {tag}", "font-weight") == "700" for tag in ("h1", "h2", "h3"))


@pytest.mark.parametrize("path", ["ko/book/10_lovasz.html", "ko/search.html?q=소프트맥스"])
def test_no_word_of_korean_is_broken(view: Page, address: str, path: str) -> None:
    view.goto(address + path)
    view.wait_for_load_state("networkidle")
    broken = """() => [...document.querySelectorAll("body *")]
      .filter((e) => e.checkVisibility() && !e.closest("[lang=en], mjx-container, pre, code"))
      .filter((e) => /[가-힣]/.test(e.textContent))
      .filter((e) => getComputedStyle(e).wordBreak !== "keep-all").map((e) => e.outerHTML)"""
    assert view.evaluate(broken) == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_each_icon_is_drawn_by_the_book(site: Path, lang: str) -> None:
    drawn = set(re.findall(r"\.(fa-[\w-]+) \{\n  --icon: url", (STYLES / "icons.css").read_text()))
    for path in (site / lang / "book").glob("*.html"):
        for icon in soup(path).select("[class*=fa-]"):
            names = {name for name in icon["class"] if name.startswith("fa-")} - ICON_CLASSES
            assert names <= drawn, icon


def test_the_icon_font_is_left_out(site: Path) -> None:
    assert not [path for path in site.rglob("*") if "awesome" in path.name]
    for path in site.rglob("*.html"):
        assert "fontawesome" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_icons_of_the_header_have_a_size_and_a_colour(view: Page, address, lang) -> None:
    view.goto(f"{address}{lang}/book/index.html")
    icons = view.locator(".bd-header-article :is(.fa-bars, .fa-download, .fa-circle-half-stroke)")
    assert icons.count() == 3
    for icon in icons.all():
        box = icon.bounding_box()
        assert 16 <= box["width"] <= 24
        assert box["width"] == box["height"]
        assert icon.evaluate("e => getComputedStyle(e).maskImage").startswith("url(")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_mark_stands_beside_the_title(site: Path, lang: str) -> None:
    page = soup(site / lang / "book" / "index.html")
    mark = page.select_one("a.navbar-brand img")
    assert mark["src"] == page.select_one("link[rel=icon]")["href"]
    assert (site / lang / "book" / mark["src"]).read_bytes() == (
        STYLES / "favicon.svg"
    ).read_bytes()
