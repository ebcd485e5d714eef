"""The built site: two clean editions with the same pages, linked to each other."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse

import nbformat
import pytest
from bs4 import BeautifulSoup, Tag

from book.editions import ROOT
from book.editions.edition import LANGUAGES, language

HANGUL = re.compile("[가-힣]")
LATIN_WORD = re.compile(r"[A-Za-z]{2,}")

# Latin letters that a Korean page frame may show.
LATIN_IN_KOREAN_FRAME = re.compile(
    r"English|Ctrl|Shift|K|\.ipynb|\.pdf|(Binder|Colab)( logo)?"
    r"|© Copyright 2026, the segloss authors\.|.*[가-힣].*"
)


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def html_files(folder: Path) -> list[Path]:
    """The pages below a folder, without the theme's own files."""
    return [path for path in folder.rglob("*.html") if "_static" not in path.parts]


def lang_of(site: Path, page: Path) -> str:
    return page.relative_to(site).parts[0]


def other(lang: str) -> str:
    [twin] = set(LANGUAGES) - {lang}
    return twin


def visible_texts(element: Tag) -> list[str]:
    """The texts and labels of an element that a reader sees or hears."""
    labels = ("alt", "aria-label", "placeholder", "title", "data-bs-title")
    texts = [
        text.strip()
        for text in element.find_all(string=True)
        if type(text).__name__ == "NavigableString"
    ]
    texts += [tag[label] for tag in element.find_all(True) for label in labels if tag.get(label)]
    return [text for text in texts if text]


def strip(page: BeautifulSoup, *selectors: str) -> BeautifulSoup:
    for selector in ("script", "style", *selectors):
        for tag in page.select(selector):
            tag.decompose()
    return page


def test_both_editions_have_the_same_pages(site: Path) -> None:
    korean, english = (
        {page.relative_to(site / lang).as_posix() for page in html_files(site / lang)}
        for lang in LANGUAGES
    )
    assert korean == english


def test_each_folder_leads_to_its_first_page(site: Path) -> None:
    for lang in LANGUAGES:
        refresh = soup(site / lang / "index.html").select_one("meta[http-equiv=refresh]")
        assert (site / lang / refresh["content"].partition("url=")[2]).is_file()


def test_a_page_says_its_language_and_leads_to_its_twin(site: Path, page: Path) -> None:
    lang, html = lang_of(site, page), soup(page)
    assert html.html["lang"] == lang
    for links in (html.select("nav.edition-switch a"), html.select("link[rel=alternate]")):
        targets = {link["hreflang"]: (page.parent / link["href"]).resolve() for link in links}
        assert targets[lang] == page.resolve()
        twin = site / other(lang) / page.relative_to(site / lang)
        assert targets[other(lang)] == twin.resolve()
        assert twin.is_file()


def test_links_within_the_site_lead_somewhere(page: Path) -> None:
    html = soup(page)
    anchors = {tag["id"] for tag in html.find_all(id=True)}
    for link in html.select("a[href]"):
        target = urlparse(link["href"])
        if target.scheme:
            continue
        assert not target.path or (page.parent / target.path).exists(), link["href"]
        if target.fragment and not target.path:
            assert target.fragment in anchors, link["href"]


def test_anchors_are_the_same_in_both_languages(site: Path, page: Path) -> None:
    if lang_of(site, page) == "ko":
        twin = site / "en" / page.relative_to(site / "ko")
        sections = [
            [tag["id"] for tag in soup(path).select("section[id]")] for path in (page, twin)
        ]
        assert sections[0] == sections[1]
        assert not [name for name in sections[0] if re.fullmatch(r"id\d+", name)]


def test_pictures_are_described(page: Path) -> None:
    for picture in soup(page).select("article img"):
        assert len(picture.get("alt", "")) > 20, picture


def test_the_english_site_holds_no_hangul(site: Path) -> None:
    for path in html_files(site / "en"):
        html = strip(soup(path), "[lang=ko]")
        assert not HANGUL.search(str(html)), path


def test_the_korean_frame_speaks_korean(site: Path) -> None:
    for path in html_files(site / "ko"):
        frame = strip(
            soup(path), "article.bd-article", "head", "#pst-page-toc-nav", ".math", "code"
        )
        for text in visible_texts(frame):
            assert LATIN_IN_KOREAN_FRAME.fullmatch(text) or not LATIN_WORD.search(text), text


def test_korean_prose_is_korean(site: Path, page: Path) -> None:
    """A paragraph, item, caption or cell without Hangul is a formula, a name or code."""
    if lang_of(site, page) != "ko":
        return
    foreign = ("pre", "code", ".math", ".citation", "[lang=en]")
    article = strip(soup(page).select_one("article"), *foreign)
    for block in article.select("p, li, figcaption, h1, h2, h3, summary"):
        text = block.get_text()
        if not HANGUL.search(text):
            assert len(LATIN_WORD.findall(text)) <= 5, text


def test_no_markup_is_left_on_a_page(page: Path) -> None:
    """CommonMark leaves the asterisks of ``**a**b`` where ``a`` ends in punctuation."""
    article = strip(soup(page).select_one("article"), "pre", "code", ".math")
    assert not re.findall(r".{0,20}(?:\*\*|\\[a-z]+|\]\().{0,20}", article.get_text())


def test_downloads_are_the_edition_with_its_outputs(site: Path, page: Path) -> None:
    lang = lang_of(site, page)
    path = site / lang / "_sources" / page.relative_to(site / lang).with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert {language(cell) for cell in notebook.cells} == {None}
    if lang == "en":
        assert not HANGUL.search(path.read_text(encoding="utf-8"))
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.id != "set-up":
            assert cell.execution_count


def test_the_download_button_leads_to_it(site: Path, page: Path) -> None:
    hrefs = [link["href"] for link in soup(page).select("a.btn-download-source-button")]
    assert hrefs == [f"../_sources/book/{page.stem}.ipynb"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_previous_and_next_lead_through_the_whole_book(site: Path, lang: str) -> None:
    here, visited = site / lang / "book" / "index.html", []
    while True:
        visited.append(here)
        links = soup(here).select_one(".prev-next-footer")
        if len(visited) > 1:
            assert (here.parent / links.select_one("a.left-prev")["href"]).resolve() == visited[-2]
        following = links.select_one("a.right-next")
        if following is None:
            break
        here = (here.parent / following["href"]).resolve()
    assert set(visited) == set((site / lang / "book").glob("*.html"))


def test_the_map_leads_to_every_chapter(site: Path) -> None:
    """Each node is a page that exists, in the reader's language; each chapter is a node."""
    for lang in LANGUAGES:
        book = site / lang / "book"
        links = soup(book / "index.html").select("svg.loss-map a")
        nodes = [link["href"].partition("#")[0] for link in links]
        chapters = {path.name for path in book.glob("[0-9]*.html")} - {"01_notation.html"}
        assert sorted(nodes) == sorted(chapters)
        for link in links:
            title = soup(book / link["href"].partition("#")[0]).select_one("h1").find(string=True)
            assert " ".join(link.get_text().split()) == title.partition(":")[0]


def test_mathjax_is_served_from_the_site(site: Path) -> None:
    for lang in LANGUAGES:
        mathjax = site / lang / "_static" / "mathjax"
        assert (mathjax / "tex-chtml.js").is_file()
        assert len(list(mathjax.glob("output/chtml/fonts/woff-v2/*.woff"))) >= 20


def test_plain_jupyter_book_builds_the_korean_edition(site: Path, tmp_path: Path) -> None:
    """`_config.yml` stands for itself, without our own build command."""
    command = ["jupyter-book", "build", str(ROOT), "--path-output", str(tmp_path), "-W", "-n"]
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    html = soup(tmp_path / "_build" / "html" / "book" / "index.html")
    assert html.html["lang"] == "ko"
    assert not html.select("nav.edition-switch"), "there is no twin to switch to"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_pages_are_light(site: Path, lang: str) -> None:
    """A page and the pictures of its own stay below 1 MB; scripts and fonts are shared."""
    for path in (site / lang / "book").glob("*.html"):
        pictures = {picture["src"] for picture in soup(path).select("article img")}
        size = path.stat().st_size + sum((path.parent / src).stat().st_size for src in pictures)
        assert size < 1_000_000, f"{path.name}: {size} bytes"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_downloads_are_light(site: Path, lang: str) -> None:
    """A notebook with all that it brings, its figures drawn."""
    for path in (site / lang / "_sources" / "book").glob("*.ipynb"):
        assert path.stat().st_size < 1_000_000, f"{path.name}: {path.stat().st_size} bytes"
