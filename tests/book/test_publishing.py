"""The address in ``_config.yml`` switches on every button that leads outside, and only it does."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from bs4 import BeautifulSoup, SoupStrainer

from book.editions import ROOT
from book.editions.config import CONFIG
from book.editions.edition import LANGUAGES
from book.editions.publishing import SITE_BRANCH, edition_address

URL = "https://github.com/OWNER/NAME"
PAGE = "book/glossary"


@pytest.fixture(scope="module", params=["", URL], ids=["empty", "filled in"])
def built(request: pytest.FixtureRequest, tmp_path_factory) -> tuple[str, Path]:
    """An address, and a page of a book whose owner wrote it into the configuration."""
    folder = tmp_path_factory.mktemp("book")
    config, filled = re.subn(
        r'(?m)^  url: &repository "[^"]*"',
        lambda _: f'  url: &repository "{request.param}"',
        CONFIG.read_text(encoding="utf-8"),
    )
    assert filled == 1
    (folder / "_config.yml").write_text(config, encoding="utf-8")
    build(folder, f"root: {PAGE}")
    return request.param, folder / "_build" / "html" / f"{PAGE}.html"


@pytest.fixture(scope="module")
def published(built: tuple[str, Path]) -> tuple[str, BeautifulSoup]:
    return built[0], buttons(built[1])


def build(folder: Path, contents: str) -> None:
    """Build some pages of the book with the configuration in ``folder``, into that folder."""
    (folder / "_toc.yml").write_text(f"format: jb-book\n{contents}\n")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ROOT]
    command += ["--config", folder / "_config.yml", "--toc", folder / "_toc.yml"]
    command += ["--path-output", folder]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr


def buttons(path: Path) -> BeautifulSoup:
    """The buttons in the header of a page."""
    header = SoupStrainer(class_="article-header-buttons")
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser", parse_only=header)


def outward(page: BeautifulSoup) -> list[str]:
    """Where the buttons lead, outside the site."""
    links = [link["href"] for link in page.select("a[href]")]
    return [link for link in links if link.startswith("http")]


def expected(url: str, lang: str, page: str) -> list[str]:
    notebook = f"{lang}/_sources/{page}.ipynb"
    name = url.removeprefix("https://github.com/")
    return [
        f"https://mybinder.org/v2/gh/{name}/{SITE_BRANCH}?urlpath=lab/tree/{notebook}",
        f"https://colab.research.google.com/github/{name}/blob/{SITE_BRANCH}/{notebook}",
        url,
        f"{url}/edit/main/{page}.ipynb",
        f"{url}/issues/new?title=Issue%20on%20page%20%2F{page}.html&body=Your%20issue%20content%20here.",
    ]


def test_the_address_offers_everything_and_none_offers_nothing(published) -> None:
    url, page = published
    assert page.select(".dropdown-download-buttons")
    assert outward(page) == (expected(url, "ko", PAGE) if url else [])


def test_the_notebook_is_handed_over(published) -> None:
    """Not shown in a tab, as some browsers do with what is JSON."""
    _, page = published
    [button] = page.select("a.btn-download-source-button")
    assert button.has_attr("download")
    assert not button.has_attr("target")


def test_the_address_stands_in_the_head(built) -> None:
    url, path = built
    head = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").head
    canonical = [link["href"] for link in head.select("link[rel=canonical]")]
    canonical += [tag["content"] for tag in head.select("[property='og:url']")]
    here = f"https://owner.github.io/NAME/ko/{PAGE}.html"
    assert canonical == ([here, here] if url else [])
    assert bool(head.select("[property='og:image']")) == bool(url)


def test_the_buttons_speak_korean(published) -> None:
    _, page = published
    words = page.select(".dropdown-source-buttons .btn__text-container")
    assert all(re.search("[가-힣]", word.text) for word in words)
    for button in page.select("[title]"):
        assert re.search("[가-힣]", button["title"]), button


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_built_site_leads_to_what_it_publishes(site: Path, lang: str) -> None:
    url = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["repository"]["url"]
    for path in (site / lang / "book").glob("*.html"):
        page = buttons(path)
        if page.select_one("a.btn-download-source-button"):
            name = f"book/{path.stem}"
            assert outward(page) == (expected(url, lang, name) if url else [])
            assert (site / lang / "_sources" / f"{name}.ipynb").is_file()


@pytest.mark.parametrize(
    ("repository", "base", "address"),
    [
        ("", "", ""),
        (URL, "", "https://owner.github.io/NAME/ko"),
        (f"{URL}/", "", "https://owner.github.io/NAME/ko"),
        ("", "https://book.example/", "https://book.example/ko"),
        (URL, "https://book.example", "https://book.example/ko"),
    ],
)
def test_where_the_edition_stands(repository: str, base: str, address: str) -> None:
    """On GitHub's pages, unless an address of its own is given."""
    options = {"repository_url": repository} if repository else {}
    config = SimpleNamespace(language="ko", html_baseurl=base, html_theme_options=options)
    assert edition_address(config) == address


def test_a_chapter_that_was_taken_out_leaves_no_page(tmp_path: Path) -> None:
    shutil.copy(CONFIG, tmp_path)
    html = tmp_path / "_build" / "html"
    build(tmp_path, f"root: {PAGE}\nchapters:\n  - file: book/references")
    gone = [html / "book/references.html", html / "_sources/book/references.ipynb"]
    assert all(path.exists() for path in gone)
    build(tmp_path, f"root: {PAGE}")
    assert not any(path.exists() for path in gone)
    assert (html / f"{PAGE}.html").exists()
