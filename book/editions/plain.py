"""A notebook as plain Jupyter and Colab show it: MyST turned into plain Markdown.

Labels go, references become links or names with the numbers that the page shows, figures get
their captions, and what folds on the page is a ``<details>`` here. What can stand on the page
alone, such as a slider, is replaced by a sentence that leads there.
"""

import re
from html import escape
from typing import Any, Protocol

from markdown_it import MarkdownIt
from markdown_it.token import Token
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_markdown_cell

from .myst import MARKDOWN, Directive, directive, target


class Page(Protocol):
    """What has to be known of the page that a notebook comes from; every answer is Markdown."""

    def reference(self, role: str, name: str, words: str | None) -> str:
        """A role, as in ``{role}`words <name>```."""

    def equation(self, label: str) -> str:
        """The number of an equation."""

    def figure(self, label: str) -> str:
        """What a figure is called."""

    def title(self, kind: str) -> str:
        """The title of an admonition that brings none."""

    def elsewhere(self, label: str) -> str:
        """A sentence that leads to the section ``label`` of the page."""

    def block(self, found: Directive) -> str | None:
        """A directive that is not known here; None if it can stand on the page alone."""


ALERTS = {  # admonitions, and the colours that Jupyter has for them
    **dict.fromkeys(("admonition", "note", "seealso", "hint", "tip"), "info"),
    **dict.fromkeys(("important", "attention", "caution", "warning"), "warning"),
    **dict.fromkeys(("danger", "error"), "danger"),
}
VERBATIM = ("fence", "code_block", "math_block", "html_block")
CONTAINERS = ("grid", "grid-item", "grid-item-card", "card", "tab-set", "tab-item", "div")

_INLINE = re.compile(
    r"\{(?P<role>[\w:.-]+)\}(?P<ticks>`+)(?P<content>.+?)(?P=ticks)(?!`)"
    r"|(?P<code>(?P<fence>`+)(?!`).+?(?<!`)(?P=fence)(?!`))",
    re.DOTALL,
)
_PREFIX = re.compile(r"[\s>]*(?:(?:[-*+]|\d+[.)])\s+)?")  # of a block in a list or a quotation
_ONE_LINE = MarkdownIt("commonmark")


def plain(notebook: NotebookNode, page: Page) -> NotebookNode:
    """Return an edition of a notebook in plain Markdown; the input stays as it is."""
    text = _Text(page)
    cells: list[Any] = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cells += _code(cell, text)
        else:
            cells.append({**cell, "source": text.markdown(cell.source)})
    return from_dict({**notebook, "cells": cells})


def _code(cell: NotebookNode, text: "_Text") -> list[Any]:
    """A code cell, folded as on the page, and the caption of what it draws."""
    metadata = {key: value for key, value in cell.metadata.items() if key != "mystnb"}
    tags, page = metadata.get("tags", []), cell.metadata.get("mystnb", {})
    source = cell.source
    if {"hide-input", "hide-cell", "remove-input", "remove-cell"} & set(tags):
        # JupyterLab folds by the first of these, Colab by the second; both show the first line.
        metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
        if (label := page.get("code_prompt_show")) and not source.startswith("%%"):
            source = f"# @title {label}\n{source}"
    if {"hide-output", "hide-cell", "remove-output", "remove-cell"} & set(tags):
        metadata["jupyter"] = {**metadata.get("jupyter", {}), "outputs_hidden": True}
    cells: list[Any] = [{**cell, "source": source, "metadata": metadata}]
    below = []
    if any(_only_moves(output.get("data", {}).get("text/html", "")) for output in cell.outputs):
        below.append(text.page.elsewhere(text.label))
    if (figure := page.get("figure")) and "caption" in figure:
        below.append(f"**{text.page.figure(figure['name'])}.** {text.inline(figure['caption'])}")
    if below:
        cells.append(new_markdown_cell("\n\n".join(below), id=f"{cell.id}-caption"))
    return cells


def _only_moves(html: str) -> bool:
    """Whether HTML shows nothing by itself, but is there for a script of the page."""
    words = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", "", html, flags=re.DOTALL).strip()
    shows = re.search(r"<(img|svg|table)\b", html)
    return bool(html) and not shows and (not words or bool(re.search(r"<(input|script)\b", html)))


class _Text:
    """Turns the texts of one notebook into plain Markdown, in their order."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.label = ""  # of the section that the text is in

    def markdown(self, text: str) -> str:
        lines, done, at = text.splitlines(), [], 0
        for token in MARKDOWN.parse(text):
            if not token.map or token.map[0] < at:
                continue
            start, end = token.map
            if (block := self._block(token, lines[start:end])) is not None:
                done += [self._inline_lines(lines[at:start]), block]
                at = end
        done.append(self._inline_lines(lines[at:]))
        return "\n".join(part for part in done if part is not None).strip("\n")

    def _block(self, token: Token, lines: list[str]) -> str | None:
        """What stands for the lines of a block; None where only roles have to be resolved."""
        if token.type == "myst_target":
            self.label = token.content
            return ""
        if found := directive(token):
            block = self._directive(found)
        elif token.type in VERBATIM:
            return "\n".join(lines)
        elif token.type == "math_block_label":
            block = self._equation(token.content, token.info)
        elif token.type == "dl_open":
            block = self._definitions(lines)
        else:
            return None
        return _indented(block, _PREFIX.match(lines[0])[0])

    def _inline_lines(self, lines: list[str]) -> str | None:
        return self.inline("\n".join(lines)) if lines else None

    def inline(self, text: str) -> str:
        """A text without blocks: its roles resolved."""

        def resolved(match: re.Match[str]) -> str:
            if match["code"]:
                return match["code"]
            return self.page.reference(match["role"], *target(match["content"]))

        return _INLINE.sub(resolved, text)

    def _equation(self, formula: str, label: str) -> str:
        number = f"\\tag{{{self.page.equation(label)}}}\n" if label else ""
        return f"$$\n{formula.strip()}\n{number}$$"

    def _definitions(self, lines: list[str]) -> str:
        """A list of terms, each followed by lines that start with a colon."""
        items: list[list[str]] = []
        for line in lines:
            if found := re.match(r"\s*[:~]\s+(.*)", line):
                items[-1].append(found[1])
            elif line.strip() and not line.startswith(" "):
                items.append([line.strip()])
            elif items and line.strip():
                items[-1].append(line.strip())
        return "\n".join(
            _indented(f"**{self.inline(term)}**: " + self.markdown("\n".join(words)), "- ")
            for term, *words in items
        )

    def _directive(self, found: Directive) -> str:
        name, title = found.name, self.inline(found.argument)
        folded = "dropdown" in (name, *found.options.get("class", "").split())
        if folded:
            title = title or self.page.title(name)
            summary = _ONE_LINE.renderInline(escape(title, quote=False))
            return f"<details>\n<summary>{summary}</summary>\n\n{self._body(found)}\n\n</details>"
        if name in ALERTS:
            body = self._body(found)
            if name != "admonition":
                title, body = self.page.title(name), f"{title}\n\n{body}".strip()
            box = f'<div class="alert alert-block alert-{ALERTS[name]}">'
            return f"{box}\n\n**{title}**\n\n{body}\n\n</div>"
        if name in CONTAINERS:
            return f"**{title}**\n\n{self._body(found)}" if title else self._body(found)
        if name == "math":
            return self._equation(found.body, found.options.get("label", ""))
        if name == "raw" and found.argument == "html" and not _only_moves(found.body):
            return found.body
        return self.page.block(found) or self.page.elsewhere(self.label)

    def _body(self, found: Directive) -> str:
        return self.markdown(found.body)


def _indented(block: str, prefix: str) -> str:
    """A block in the place of one that began behind ``prefix``: all lines below are indented."""
    below = re.sub(r"[^\s>]", " ", prefix)
    return "\n".join(
        f"{prefix if number == 0 else below}{line}".rstrip() if line else below.rstrip()
        for number, line in enumerate(block.splitlines())
    )
