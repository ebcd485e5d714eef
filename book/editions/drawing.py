"""Drawings with links: an SVG template of `book/_templates`, in the language of the edition.

A page writes the directive ``{drawing} NAME.svg``. The template gets the edition's language as
``lang``, and ``page(label)``, the title and the address of what bears that label. The picture is
part of the page: it follows its theme, its text can be selected and searched, its links reached by
keyboard.
"""

from docutils import nodes
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from .config import ROOT

TEMPLATES = ROOT / "book" / "_templates"


class DrawingNode(nodes.General, nodes.Element):
    """Stands for the drawing until all labels are known."""


class Drawing(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        [name] = self.arguments
        self.env.note_dependency(str(TEMPLATES / name))
        return [DrawingNode(name=name)]


def setup(app: Sphinx) -> None:
    app.add_directive("drawing", Drawing)
    app.connect("doctree-resolved", draw)


def draw(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    labels = app.env.get_domain("std").labels

    def page(label: str) -> dict[str, str]:
        if label not in labels:
            raise ExtensionError(f"{node['name']}: no page has the label {label!r}")
        target, anchor, title = labels[label]
        uri = app.builder.get_relative_uri(docname, target)
        return {"title": title, "href": f"{uri}#{anchor}"}

    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True
    )
    for node in list(doctree.findall(DrawingNode)):
        template = templates.get_template(node["name"])
        svg = template.render(lang=app.config.language, page=page)
        node.replace_self(nodes.raw("", svg, format="html"))
