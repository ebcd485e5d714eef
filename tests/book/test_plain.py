"""A notebook that is taken away is plain Markdown, and says what the page says."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.environment import BuildEnvironment

from book.editions import BUILD
from book.editions.edition import LANGUAGES, edition
from book.editions.myst import Directive
from book.editions.pages import BuiltPage
from book.editions.plain import plain
from book.editions.storage import read

ADDRESS = "https://owner.github.io/name"
CODE = re.compile(r"(`{3,}|~{3,}).*?\1|(`+)(?!`).+?(?<!`)\2(?!`)", re.DOTALL)
MYST = re.compile(
    r"^\(.*\)=$|\{[a-z:-]+\}`|^ *:::|^ *```\{"
    r"|\{(?:ref|eq|numref|cite|raw|admonition)|^ *:[a-z-]+: ",
    re.MULTILINE,
)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")


def texts(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def links(notebook: NotebookNode) -> list[tuple[str, str]]:
    """The words and the target of every link, in order."""
    return [found for text in texts(notebook) for found in LINK.findall(CODE.sub("code", text))]


# What a notebook of the site says.


@pytest.fixture(scope="module")
def handed(site: Path, page: Path) -> NotebookNode:
    """The notebook behind a page's download button."""
    lang, *rest = page.relative_to(site).with_suffix(".ipynb").parts
    return nbformat.read(site.joinpath(lang, "_sources", *rest), as_version=4)


@pytest.fixture(scope="module")
def environments(site: Path) -> dict[str, BuildEnvironment]:
    """What Sphinx knows of each built edition."""
    found = {}
    for lang in LANGUAGES:
        file = BUILD / "editions" / lang / ".doctrees" / "environment.pickle"
        found[lang] = pickle.loads(file.read_bytes())
    return found


@pytest.fixture(scope="module")
def published(site: Path, page: Path, environments: dict[str, BuildEnvironment]) -> NotebookNode:
    """The same notebook where the site has an address."""
    lang, folder, name = page.relative_to(site).with_suffix("").parts
    known = BuiltPage(environments[lang], f"{folder}/{name}", f"{ADDRESS}/{lang}")
    source = BUILD.parent / folder / f"{name}.ipynb"
    return plain(edition(read(source), lang), known)


@pytest.fixture(scope="module")
def article(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one("article")


def test_no_myst_is_left(handed: NotebookNode, published: NotebookNode) -> None:
    for text in texts(handed) + texts(published):
        assert not MYST.search(CODE.sub("", text)), text
    for cell in handed.cells:
        assert "mystnb" not in cell.metadata


def test_its_markdown_is_well_formed(handed: NotebookNode) -> None:
    """Every fold and every box is closed, and stands apart from the text in it."""
    for text in texts(handed):
        for tag in ("details", "summary", "div"):
            assert len(re.findall(f"<{tag}[ >]", text)) == text.count(f"</{tag}>"), text
        blocks = [token.content for token in MarkdownIt().parse(text) if token.type == "html_block"]
        assert all(block.count("\n") <= 2 for block in blocks if "<details" in block), blocks


def test_equations_figures_and_references_have_the_numbers_of_the_page(
    published: NotebookNode, article: BeautifulSoup
) -> None:
    tags = [tag for text in texts(published) for tag in re.findall(r"\\tag\{([\d.]+)\}", text)]
    assert [f"({tag})" for tag in tags] == [span.text[:-1] for span in article.select(".eqno")]
    captions = [
        found[1]
        for text in texts(published)
        if (found := re.match(r"\*\*(\D+[\d.]+)\.\*\* ", text))
    ]
    shown = [span.get_text().strip() for span in article.select("figcaption .caption-number")]
    assert captions == shown
    for kind in ("#equation-", "#fig-"):
        there = [
            (link.get_text(), link["href"].partition("#")[2])
            for link in article.select(f'a.reference.internal[href*="{kind}"]')
        ]
        here = [(words, href.partition("#")[2]) for words, href in links(published) if kind in href]
        assert here == there


def test_links_lead_somewhere(handed: NotebookNode, published: NotebookNode, site: Path) -> None:
    """To a place of the site that exists, or to the web; never into a folder left behind."""
    anchors: dict[Path, set[str]] = {}
    for words, href in links(published):
        assert href.startswith("https://"), href
        assert words
        if href.startswith(ADDRESS):
            path, _, anchor = href.removeprefix(f"{ADDRESS}/").partition("#")
            target = site / path
            if target not in anchors:
                html = target.read_text(encoding="utf-8")
                anchors[target] = set(re.findall(r'id="([^"]+)"', html))
            assert not anchor or anchor in anchors[target], href
    assert not [href for _, href in links(handed) if not href.startswith("https://")]
    for text in texts(handed):
        assert not re.search(r"<(?:img|a) [^>]*(?:src|href)=\"(?!https:|data:)", text)


def test_every_citation_names_author_and_year(
    site: Path, page: Path, published: NotebookNode, environments: dict[str, BuildEnvironment]
) -> None:
    lang, folder, name = page.relative_to(site).with_suffix("").parts
    source = read(BUILD.parent / folder / f"{name}.ipynb")
    entries = environments[lang].domaindata["cite"]["bibdata"].data.entries
    said = "\n".join(texts(published))
    for text in texts(edition(source, lang)):
        for keys in re.findall(r"\{cite(?::[pt])?\}`([^`]+)`", text):
            for entry in (entries[key.strip()] for key in keys.split(",")):
                author = entry.persons["author"][0].last_names[-1].strip("{}")
                year = entry.fields["year"]
                assert re.search(rf"{author}[^\[\]]*,? \(?{year}", said), keys


def test_what_folds_on_the_page_folds_in_the_notebook(
    handed: NotebookNode, article: BeautifulSoup
) -> None:
    folds = [text for text in texts(handed) if "<details>" in text]
    assert sum(text.count("<details>") for text in folds) == len(
        article.select("details.sd-dropdown")
    )
    for cell in handed.cells:
        if {"hide-input", "hide-cell"} & set(cell.metadata.get("tags", [])):
            assert cell.metadata.jupyter.source_hidden
            assert cell.metadata.cellView == "form"


# What the translation does.


class Answers:
    """A page that answers with what it is asked."""

    def reference(self, role: str, name: str, words: str | None) -> str:
        return f"<{role} {name} {words}>"

    def equation(self, label: str) -> str:
        return f"number of {label}"

    def figure(self, label: str) -> str:
        return f"Fig. {label}"

    def title(self, kind: str) -> str:
        return kind.upper()

    def elsewhere(self, label: str) -> str:
        return f"See {label}."

    def block(self, found: Directive) -> str | None:
        return "entries" if found.name == "bibliography" else None


@pytest.fixture
def text() -> Callable[[str], str]:
    def text(source: str) -> str:
        [cell] = plain(new_notebook(cells=[new_markdown_cell(source)]), Answers()).cells
        return cell.source

    return text


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("(sec-a)=\n## Title\n\nwords", "## Title\n\nwords"),
        (
            "see {ref}`the *map* <sec-a>` and {eq}`eq-a`",
            "see <ref sec-a the *map*> and <eq eq-a None>",
        ),
        ("write `{ref}` or ``{eq}`a` ``", "write `{ref}` or ``{eq}`a` ``"),
        ("```python\n{ref}`a`\n```", "```python\n{ref}`a`\n```"),
        ("$$\nx\n$$ (eq-a)", "$$\nx\n\\tag{number of eq-a}\n$$"),
        ("$$\nx\n$$", "$$\nx\n$$"),
        (
            "- one\n\n  $$\n  x\n  $$ (eq-a)\n- two",
            "- one\n\n  $$\n  x\n  \\tag{number of eq-a}\n  $$\n- two",
        ),
        ("| {eq}`a` | b |\n|---|---|\n| c | d |", "| <eq a None> | b |\n|---|---|\n| c | d |"),
        (
            "term\n: first\n  second\n\nother\n: {eq}`a`",
            "- **term**: first\n  second\n- **other**: <eq a None>",
        ),
        (
            ":::{dropdown} Why `x`\n:open:\nIt is {eq}`a`.\n:::",
            "<details>\n<summary>Why <code>x</code></summary>\n\nIt is <eq a None>.\n\n</details>",
        ),
        (
            ":::{admonition} At a glance\n:class: card\n- one\n:::",
            '<div class="alert alert-block alert-info">\n\n**At a glance**\n\n- one\n\n</div>',
        ),
        (
            ":::{admonition} More\n:class: dropdown\nwords\n:::",
            "<details>\n<summary>More</summary>\n\nwords\n\n</details>",
        ),
        (
            ":::{warning}\nwords\n:::",
            '<div class="alert alert-block alert-warning">\n\n**WARNING**\n\nwords\n\n</div>',
        ),
        (
            "::::{dropdown} Outer\n:::{note}\nin\n:::\n::::",
            "<details>\n<summary>Outer</summary>\n\n"
            '<div class="alert alert-block alert-info">\n\n**NOTE**\n\nin\n\n</div>\n\n</details>',
        ),
        ('(sec-a)=\n```{raw} html\n<div class="slider"></div>\n```', "See sec-a."),
        ("```{raw} html\n<b>words</b>\n```", "<b>words</b>"),
        ("```{bibliography}\n```", "entries"),
        ("(sec-a)=\n```{drawing} map.svg\n```", "See sec-a."),
    ],
)
def test_myst_becomes_markdown(text: Callable[[str], str], myst: str, markdown: str) -> None:
    assert text(myst) == markdown


def test_a_figure_has_its_caption_and_a_slider_a_sentence_below() -> None:
    slider = new_output("display_data", data={"text/html": '<div data-figure="a"></div>'})
    table = new_output("display_data", data={"text/html": "<table><tr><td>1</td></tr></table>"})
    figure = {"mystnb": {"figure": {"name": "fig-a", "caption": "See {eq}`eq-a`."}}}
    notebook = new_notebook(
        cells=[
            new_markdown_cell("(sec-a)=\n# Title"),
            new_code_cell("plot()", metadata=figure, id="figure"),
            new_code_cell("slider()", outputs=[slider]),
            new_code_cell("table()", outputs=[table]),
        ]
    )
    cells = plain(notebook, Answers()).cells
    assert [cell.source for cell in cells[1:]] == [
        "plot()",
        "**Fig. fig-a.** See <eq eq-a None>.",
        "slider()",
        "See sec-a.",
        "table()",
    ]
    assert len({cell.id for cell in cells}) == len(cells)
    assert notebook.cells[1].metadata == figure


def test_folded_code_is_folded_and_says_what_it_is() -> None:
    metadata = {"tags": ["hide-cell"], "mystnb": {"code_prompt_show": "Check"}}
    cell = new_code_cell("1 + 1", metadata=metadata)
    [folded] = plain(new_notebook(cells=[cell]), Answers()).cells
    assert folded.source == "# @title Check\n1 + 1"
    assert folded.metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}
    assert folded.metadata.cellView == "form"


def test_a_role_that_is_not_known_is_named() -> None:
    page = BuiltPage(BuildEnvironmentStub(), "book/page", "")
    with pytest.raises(ValueError, match=r"book/page: no plain Markdown .* \{glue\}`x`"):
        page.reference("glue", "x", None)


class BuildEnvironmentStub:
    domaindata = {"std": {"anonlabels": {}}}  # noqa: RUF012
