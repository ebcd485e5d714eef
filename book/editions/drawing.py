"""Drawings with links: a template of `book/_templates`, in the language of the edition.

A page writes the directive ``{drawing} NAME.svg``. The template gets the edition's language as
``lang``, ``page(label)``, the title and the address of what bears that label and the number of its
chapter, and ``equation(label)``, the number and the address of an equation. The picture is part of
the page: it follows its theme, its text can be selected and searched, its links reached by
keyboard.

A drawing that moves is ``NAME.html``, with ``NAME.css`` and ``NAME.js`` in `book/_static`: they are
loaded by the pages that have the drawing, and by no other.
"""

import hashlib
from pathlib import Path
from typing import Any

from docutils import nodes
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from .config import ROOT

TEMPLATES = ROOT / "book" / "_templates"
STATIC = ROOT / "book" / "_static"


class DrawingNode(nodes.General, nodes.Element):
    """Stands for the drawing until all labels are known."""


class Drawing(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        [name] = self.arguments
        for path in (TEMPLATES / name, *_moving_parts(name)):
            self.env.note_dependency(str(path))
        return [DrawingNode(name=name)]


def setup(app: Sphinx) -> None:
    app.add_directive("drawing", Drawing)
    app.connect("doctree-resolved", draw)


def draw(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    labels = app.env.get_domain("std").labels
    equations = app.env.domaindata["math"]["objects"]

    def page(label: str) -> dict[str, str]:
        if label not in labels:
            raise ExtensionError(f"{node['name']}: no page has the label {label!r}")
        target, anchor, title = labels[label]
        number = ".".join(map(str, app.env.toc_secnumbers.get(target, {}).get("", ())))
        return {"title": title, "number": number, "href": address(target, anchor)}

    def equation(label: str) -> dict[str, Any]:
        if label not in equations:
            raise ExtensionError(f"{node['name']}: no equation has the label {label!r}")
        target, number = equations[label]
        anchor = nodes.make_id(f"equation-{label}")
        numbers = app.env.toc_fignumbers.get(target, {}).get("displaymath", {})
        number = ".".join(map(str, numbers.get(anchor, [number])))
        return {"number": number, "href": address(target, anchor)}

    def address(target: str, anchor: str) -> str:
        return f"{app.builder.get_relative_uri(docname, target)}#{anchor}"

    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True
    )
    for node in list(doctree.findall(DrawingNode)):
        template = templates.get_template(node["name"])
        html = template.render(lang=app.config.language, page=page, equation=equation)
        parts = [_loaded(path, docname) for path in _moving_parts(node["name"])]
        node.replace_self(nodes.raw("", "\n".join([*parts, html]), format="html"))


def _moving_parts(name: str) -> list[Path]:
    """The style and the script of ``NAME.html``."""
    path = Path(name)
    return sorted(STATIC.glob(f"{path.stem}.*")) if path.suffix == ".html" else []


def _loaded(path: Path, docname: str) -> str:
    """The tag that loads a file of `_static`, anew where the file has changed."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    address = f"{'../' * docname.count('/')}_static/{path.name}?v={digest}"
    if path.suffix == ".css":
        return f'<link rel="stylesheet" href="{address}">'
    return f'<script defer src="{address}"></script>'
