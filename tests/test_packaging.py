"""What is published: the sdist's files, the metadata, the page that a package index shows."""

import re
import shutil
import subprocess
import sys
import tarfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import tomllib
import yaml
from sphinx.config import Config

import setup as packaging
from book.editions import alone, chapters
from book.editions.publishing import edition_address
from book.editions.storage import read

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ADDRESS = "https://github.com/Some-One/segloss"
PAGES = "https://some-one.github.io/segloss"
BUILD = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, or is about to be, away from what was built here."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True)
    if found.returncode:
        pytest.skip("no clone")
    folder = tmp_path_factory.mktemp("clone")
    for name in filter(None, found.stdout.decode().split("\0")):
        if name.startswith(("book/", "_build", ".venv")) or not (ROOT / name).is_file():
            continue  # nothing of the book is packed
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def sdist(folder: Path) -> tuple[set[str], Message]:
    """The names in the sdist of a folder, without its own, and its metadata."""
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with tarfile.open(folder / "dist" / done.stdout.splitlines()[-1]) as archive:
        files = {file.name.partition("/")[2] for file in archive if file.isfile()}
        [info] = [name for name in archive.getnames() if re.fullmatch(r"[^/]*/PKG-INFO", name)]
        return files, message_from_bytes(archive.extractfile(info).read())


@pytest.fixture(scope="module")
def unnamed(clone: Path) -> tuple[set[str], Message]:
    """The sdist while no address is filled in."""
    config = clone / "_config.yml"
    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(r'(url: &repository) "[^"]*"', r'\1 ""', text), encoding="utf-8")
    return sdist(clone)


@pytest.fixture(scope="module")
def named(clone: Path, unnamed: object) -> Message:
    """The metadata once it is."""
    config = clone / "_config.yml"
    text = config.read_text(encoding="utf-8")
    assert '&repository ""' in text
    config.write_text(text.replace('&repository ""', f'&repository "{ADDRESS}"'), encoding="utf-8")
    return sdist(clone)[1]


def page(metadata: Message) -> str:
    return metadata.get_payload(decode=True).decode()


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]*)\)", text)


def test_the_sdist_holds_the_package_and_nothing_stray(unnamed) -> None:
    files, _ = unnamed
    package = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("segloss_core/**/*.py")}
    package |= {"segloss_core/py.typed", "pyproject.toml", "setup.py", "_config.yml", "MANIFEST.in"}
    package |= {"README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"}
    written = {"PKG-INFO", "setup.cfg"}  # by setuptools
    assert {name for name in files if ".egg-info/" not in name} == package | written


def test_every_link_of_the_package_page_works_there(named: Message, unnamed) -> None:
    assert {link for link in links(page(named)) if not link.startswith("https://")} == set()
    assert f"]({ADDRESS}/raw/main/examples/readme_picture.png)" in page(named)
    assert f"[8]({PAGES}/en/book/08_dice.html)" in page(named)
    without = page(unnamed[1])
    assert {link for link in links(without) if not link.startswith("https://")} == set()
    assert "readme_picture" not in without
    assert "*One prediction" not in without


def test_the_page_is_the_readme_but_for_its_links(named: Message) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    words = [re.sub(r"\]\([^)]*\)", "]", text).strip() for text in (readme, page(named))]
    assert words[0] == words[1]


def test_formulas_are_legible_where_no_script_sets_them() -> None:
    for name in ("README.md", "README.ko.md"):
        assert "$" not in (ROOT / name).read_text(encoding="utf-8")


def test_the_urls_come_from_the_one_address(named: Message, unnamed) -> None:
    urls = dict(line.split(", ", 1) for line in named.get_all("Project-URL"))
    assert urls["Book"] == f"{PAGES}/"
    assert urls["Source"] == ADDRESS
    assert unnamed[1].get_all("Project-URL") is None


@pytest.mark.parametrize("url", ["", ADDRESS, f"{ADDRESS}/", "https://git.example.org/a/b"])
def test_the_address_is_read_as_the_book_reads_it(url: str) -> None:
    text = (ROOT / "_config.yml").read_text(encoding="utf-8")
    text = re.sub(r'(url: &repository) "[^"]*"', rf'\1 "{url}"', text)
    assert yaml.safe_load(text)["repository"]["url"] == url
    assert packaging.address(text) == url.rstrip("/")
    config = Config({}, {"language": "en"})
    config.add("html_baseurl", "", "html", ())
    config.add("html_theme_options", {"repository_url": url}, "html", ())
    site = packaging.site(packaging.address(text))
    assert edition_address(config) == (site and f"{site}/en")


def test_the_extra_brings_what_the_chapters_import() -> None:
    """And Jupyter. The versions that the book is built with satisfy it."""
    code = [
        cell.source
        for path in chapters()
        for cell in read(path).cells
        if cell.cell_type == "code" and not cell.source.startswith("%")
    ]
    _, imported = alone.needs("\n".join(code))
    extra = PROJECT["project"]["optional-dependencies"]["book"]
    brought = {re.match(r"[\w-]+", name)[0] for name in extra}
    assert set(imported.values()) - {"torch", "ipython"} <= brought
    assert {"jupyterlab", "jupyterlab-myst"} <= brought


def test_what_the_checks_need_is_pinned_and_not_published(unnamed) -> None:
    groups = PROJECT["dependency-groups"]
    assert [name for group in groups.values() for name in group if "==" not in name] == []
    assert unnamed[1].get_all("Provides-Extra") == ["book"]
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    [pip] = re.findall(r"^pip==(\d+)\.(\d+)", pinned, re.MULTILINE)
    assert tuple(map(int, pip)) >= (25, 1)  # the first to know dependency groups
    told = re.findall(r"pip install (torch==\S+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert told
    assert all(f"\n{version}\n" in pinned for version in told)
