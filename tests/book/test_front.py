"""What of the site belongs to no edition: its front door, the page for what is not there, a map."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from book.editions import chapters, front
from book.editions.config import CONFIG, EDITIONS
from book.editions.edition import LANGUAGES

PAGES = [f"book/{path.stem}.html" for path in chapters()]
AT = "https://book.example"
SETTINGS = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["sphinx"]["config"]["front_door"]


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def published(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands beside the editions once the owner has filled in an address."""
    folder = tmp_path_factory.mktemp("site")
    for lang in LANGUAGES:
        for page in PAGES:
            (folder / lang / page).parent.mkdir(parents=True, exist_ok=True)
            (folder / lang / page).touch()
    front.write(folder, AT)
    return folder


def test_it_says_in_each_language_what_this_is_and_where_to_start(site: Path) -> None:
    main = soup(site / "index.html").main
    for lang in LANGUAGES:
        said, part = EDITIONS[lang], main.select_one(f"section[lang={lang}]")
        assert part.h2.get_text() == said["title"]
        assert said["welcome"]["about"] in part.get_text()
        assert main.h1.select_one(f"[lang={lang}]").get_text() == said["welcome"]["headline"]
        links = part.select("a")
        assert len(links) > len(said["welcome"]["starts"]) >= 3
        for link in links:
            assert link["hreflang"] == lang
            path, _, anchor = link["href"].partition("#")
            assert (site / path).is_file()
            assert not anchor or soup(site / path).find(id=anchor)


def test_its_picture_is_drawn_from_the_book_and_described(site: Path) -> None:
    figure = soup(site / "index.html").figure
    drawn = [picture["src"] for picture in figure.select("img")]
    assert drawn == [f"cover/{picture['file']}" for picture in SETTINGS["pictures"]]
    for src in drawn:
        text = (site / src).read_text(encoding="utf-8")
        assert "<image" in text
        assert "http" not in text.replace("http://www.w3.org", "")
    assert len({(site / src).read_bytes() for src in drawn}) == len(drawn)
    for lang in LANGUAGES:
        assert (
            figure.select_one(f"figcaption [lang={lang}]").get_text()
            == (EDITIONS[lang]["welcome"]["caption"])
        )
        for picture, words in zip(SETTINGS["pictures"], figure.select("p"), strict=True):
            assert words.select_one(f"[lang={lang}]").get_text() == picture[lang]
    with Image.open(site / "cover" / SETTINGS["card"]) as card:
        assert card.size == (1200, 630)


def test_without_an_address_nothing_leads_outside(site: Path) -> None:
    if front.address():
        pytest.skip("the owner has filled in an address")
    for name in ("index.html", "404.html"):
        assert "http" not in (site / name).read_text(encoding="utf-8")
    assert not (site / "sitemap.xml").exists()


def test_with_an_address_the_front_door_tells_it(published: Path) -> None:
    head = soup(published / "index.html").head
    assert head.select_one("link[rel=canonical]")["href"] == f"{AT}/"
    assert head.select_one("[property='og:image']")["content"] == f"{AT}/cover/card.png"
    assert (published / "cover" / "card.png").is_file()
    names = {link["hreflang"]: link["href"] for link in head.select("link[rel=alternate]")}
    twins = {lang: f"{AT}/{lang}/book/index.html" for lang in LANGUAGES}
    assert names == {"x-default": f"{AT}/", **twins}


def test_the_map_of_the_site_names_every_page_with_its_twins(published: Path) -> None:
    urls = ET.parse(published / "sitemap.xml").getroot()
    space = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9"}
    named = [url.text for url in urls.iterfind("s:url/s:loc", space)]
    wanted = {f"{AT}/{lang}/{page}" for lang in LANGUAGES for page in PAGES}
    assert set(named) == {f"{AT}/", *wanted}
    assert len(named) == len(set(named))
    for url in urls.findall("s:url", space)[1:]:
        twins = [link.get("href") for link in url.iter("{http://www.w3.org/1999/xhtml}link")]
        assert url.find("s:loc", space).text in twins
        assert len(twins) == len(LANGUAGES)


def test_what_is_not_there_is_said_in_each_language(site: Path, published: Path) -> None:
    for folder in (site, published):
        page = soup(folder / "404.html")
        for lang in LANGUAGES:
            part = page.select_one(f"section[lang={lang}]")
            assert EDITIONS[lang]["missing"]["advice"] in part.get_text()
            assert (site / part.a["href"]).is_file()
            assert (site / part.form["action"]).is_file()
            assert part.form.input["name"] == "q"
    # Served for a lost address in any folder, it must find its styles from the root.
    assert soup(published / "404.html").base["href"] == f"{AT}/"


def test_the_day_of_the_book_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert front.day_of_the_book().isoformat() == "1970-01-02"
