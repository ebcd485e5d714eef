"""Docstrings as a page shows them: what the package says in English, in the reader's frame.

Sphinx' autodoc reads the docstrings and its napoleon the sections of Google's style. What is left
for here: sections of our own, names of chapters as links, plain text that reStructuredText would
take for markup, and the language of what stands in a frame of another.
"""

import inspect
import pydoc
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import nbformat
from docutils import nodes
from sphinx.addnodes import desc_content
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.locale import _

from .config import chapters
from .edition import edition

# A line at the margin that opens a section: its name, what qualifies it, and what follows.
_HEADER = re.compile(r"([A-Z][a-z]+)(, [^:.]+)?:(?: (.+))?")
_TITLE = re.compile(r"^\((ch-[a-z-]+)\)=\n# (.+)$", re.MULTILINE)
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("config-inited", name_sections)
    app.connect("autodoc-process-docstring", rewrite, priority=400)  # napoleon reads it at 500
    app.connect("doctree-read", mark_english)


def name_sections(app: Sphinx, config: Config) -> None:
    """Tell napoleon the sections that are not Google's, as they are called in the edition."""
    config.napoleon_custom_sections = [(_("Convention"), "params_style"), _("Call")]


def rewrite(app: Sphinx, what: str, name: str, obj: Any, options: object, lines: list[str]) -> None:
    """Make a docstring of the package into what napoleon and reStructuredText understand."""
    if inspect.isclass(obj) and hasattr(obj, "function"):
        del lines[1:]  # the twin of a function, whose docstring it repeats
    lines[:] = [line for header, block in _sections(lines) for line in _section(header, block)]


def _sections(lines: Iterable[str]) -> Iterator[tuple[re.Match[str] | None, list[str]]]:
    """The docstring cut at the headers of its sections; what has none belongs to no section."""
    header, block = None, []
    for line in lines:
        if line[:1].strip():
            found = _HEADER.fullmatch(line)
            if found or header:
                yield header, block
                header, block = found, []
        if not (header and line == header[0]):
            block.append(line)
    yield header, block


def _section(header: re.Match[str] | None, block: list[str]) -> list[str]:
    match header and header[1]:
        case "Formula":
            title = _(f"Formula{header[2] or ''}")
            code = [".. code-block:: none", "    :class: formula", ""]
            return [f".. rubric:: {title}", "", *code, *block]
        case "Chapter":
            return [f":{_('Chapter')}: {_chapter_link(header[3].rstrip('.'))}", "", *block]
        case "References":
            return [header[0], *_references(block)]
        case "Example":
            return [header[0], *block]
        case "Convention":
            return [f"{_('Convention')}:", *map(_indent_unnamed, map(_prose, block))]
        case "Call":
            return [f"{_('Call')}:", *map(_prose, block)]
        case _:
            return [*([header[0]] if header else []), *map(_prose, block)]


def _prose(line: str) -> str:
    """A line whose asterisks are asterisks, and whose quoted values are code."""
    return re.sub(r'"(\w+)"', r'``"\1"``', line.replace("*", r"\*"))


def _indent_unnamed(line: str) -> str:
    """Indent the lines that continue an item: an item starts with its name and a colon."""
    return line if re.match(r"    [A-Z][a-z]+: ", line) else f"    {line}"


def _references(block: list[str]) -> Iterator[str]:
    """Each reference, which ends with the full stop of a line, as an item with its link."""
    start = True
    for line in block:
        linked = _ARXIV.sub(r"`arXiv \1 <https://arxiv.org/abs/\1>`__", line.strip())
        yield f"    {'* ' if start else '  '}{linked}" if linked else ""
        start = linked.endswith(".")


def _chapter_link(name: str) -> str:
    """A link to the chapter whose English title is, or begins with, ``name``."""
    for title, label in _english_titles().items():
        if title.lower().partition(":")[0] == name.lower():
            return f":ref:`{label}`"
    raise ValueError(f"Chapter: no chapter of the book is called {name!r}")


@cache
def _english_titles() -> dict[str, str]:
    texts = (
        cell.source
        for path in chapters()
        for cell in edition(nbformat.read(path, as_version=4), "en").cells
    )
    return {title: label for text in texts for label, title in _TITLE.findall(text)}


def mark_english(app: Sphinx, doctree: nodes.document) -> None:
    """Say of the docstrings' own words, not of their labels, that they are English."""
    containers = doctree.findall(nodes.container)
    whole = [node for node in containers if "docstring" in node["classes"]]  # of a package
    for content in [*doctree.findall(desc_content), *whole]:
        for text in content.findall(nodes.paragraph):
            text["classes"].append("language-en")  # docutils writes it as the attribute `lang`


def listed(directives: str) -> str:
    """What autodoc is told to show, as a list for a page without it: names and first lines."""
    module = re.search(r"currentmodule:: (\S+)", directives)
    names = re.findall(r"auto(?:function|class|module):: (\S+)", directives)
    items = []
    for name in (f"{module[1]}.{name}" if module else name for name in names):
        summary = inspect.getdoc(pydoc.locate(name)).partition("\n")[0]
        items.append(f"- `help({name})`: {summary}")
    return "\n".join(items)
