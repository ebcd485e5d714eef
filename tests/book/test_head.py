"""What a page says of itself: in its head to machines, at its foot to readers."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bs4 import BeautifulSoup

from book.editions import ROOT, chapters, front
from book.editions.config import CONFIG, EDITIONS
from book.editions.edition import LANGUAGES
from book.editions.head import bibtex, describe, link_to_siblings
from book.editions.weight import size_of

PAGES = [f"book/{path.stem}.html" for path in chapters()]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def said(page: BeautifulSoup, name: str) -> str:
    [tag] = page.select(f'meta[name="{name}"], meta[property="{name}"]')
    return tag["content"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_page_describes_itself_in_a_sentence_of_its_own(site: Path, lang: str) -> None:
    found = set()
    for name in PAGES:
        page = soup(site / lang / name)
        description = said(page, "description")
        assert 15 <= len(description) <= 220, description
        assert not re.search(r"[\\$]|\*\*", description)
        assert bool(re.search("[가-힣]", description)) == (lang == "ko")
        assert said(page, "og:description") == description
        assert said(page, "og:title") in page.select_one("article h1").get_text()
        assert said(page, "og:site_name") == EDITIONS[lang]["title"]
        found.add(description)
    assert len(found) == len(PAGES)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_there_is_one_viewport(site: Path, lang: str) -> None:
    for name in PAGES:
        assert len(soup(site / lang / name).select("meta[name=viewport]")) == 1


def test_without_an_address_no_page_names_one(site: Path) -> None:
    if front.address():
        pytest.skip("the owner has filled in an address")
    for lang in LANGUAGES:
        head = soup(site / lang / PAGES[0]).head
        assert not head.select("link[rel=canonical], [property='og:url'], [property='og:image']")


def described(at: str, body: str = "") -> BeautifulSoup:
    """The tags of a page of a book that stands at an address."""
    config = SimpleNamespace(
        language="ko",
        html_baseurl=at,
        html_title="Book",
        html_theme_options={},
        edition_siblings=True,
        edition_for_others="en",
        editions=EDITIONS,
        front_door={"card": "card.png"},
    )
    builder = SimpleNamespace(get_target_uri=lambda name: f"{name}.html")
    app = SimpleNamespace(config=config, builder=builder)
    context = {"title": "A title", "body": body, "metatags": '<meta name="viewport" content="" />'}
    doctree = SimpleNamespace(findall=lambda kind: [])
    for hook in (link_to_siblings, describe):
        hook(app, "book/page", "page.html", context, doctree)
    assert context["pageurl"] == (f"{at}/ko/book/page.html" if at else None)
    return BeautifulSoup(context["metatags"], "html.parser")


def test_with_an_address_a_page_names_itself_and_its_twins() -> None:
    page = described("https://book.example", '<img alt="" src="../_images/figure.png" />')
    assert said(page, "og:url") == "https://book.example/ko/book/page.html"
    assert said(page, "og:image") == "https://book.example/ko/_images/figure.png"
    twins = {link["hreflang"]: link["href"] for link in page.select("link[rel=alternate]")}
    assert twins == {
        **{lang: f"https://book.example/{lang}/book/page.html" for lang in LANGUAGES},
        "x-default": "https://book.example/en/book/page.html",
    }


def test_a_page_without_a_figure_shows_the_card_of_the_book() -> None:
    assert said(described("https://book.example"), "og:image") == (
        "https://book.example/cover/card.png"
    )


def test_without_an_address_twins_are_found_beside_the_page() -> None:
    links = described("").select("link[rel=alternate]")
    assert [link["href"] for link in links] == [
        f"../../{lang}/book/page.html" for lang in LANGUAGES
    ]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_foot_says_which_book_this_is_and_how_to_cite_it(site: Path, lang: str) -> None:
    for name in PAGES:
        foot = soup(site / lang / name).select_one("footer.bd-footer-content")
        words = foot.select_one(".colophon").get_text()
        assert CITATION["version"] in words
        assert CITATION["license"] in words
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", foot.time["datetime"])
        entry = foot.select_one("details.cite pre").get_text()
        assert entry.startswith("@misc{")
        assert CITATION["title"] in entry
        assert f"year    = {{{foot.time['datetime'][:4]}}}" in entry


def test_the_version_is_the_one_of_the_package() -> None:
    text = (ROOT / "segloss_core" / "__init__.py").read_text(encoding="utf-8")
    assert f'__version__ = "{CITATION["version"]}"' in text


def test_bibtex_knows_persons_and_groups() -> None:
    citation = {
        "title": "T",
        "version": "1",
        "authors": [{"name": "the group"}, {"family-names": "Kim", "given-names": "A"}],
    }
    entry = bibtex(citation, "2026", "https://book.example/ko")
    assert "{{the group} and Kim, A}" in entry
    assert "url     = {https://book.example/ko}" in entry
    assert entry.count("{") == entry.count("}")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_pictures_below_the_first_wait_until_they_are_near(site: Path, lang: str) -> None:
    for name in PAGES:
        pictures = soup(site / lang / name).select("article img")
        assert not pictures or not pictures[0].get("loading")
        assert {picture.get("loading") for picture in pictures[1:]} <= {"lazy"}
        assert all(picture.get("width") and picture.get("height") for picture in pictures)


def test_the_size_of_a_picture_is_read_from_its_head(site: Path, tmp_path: Path) -> None:
    assert size_of(site / "cover" / "card.png") == (1200, 630)
    assert size_of(tmp_path) is None
    assert size_of(CONFIG) is None
