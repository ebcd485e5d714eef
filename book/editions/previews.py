"""What a reference leads to, shown beside it: the head of a section, a figure, an equation, a cited
work, an entry of the reference or the glossary.

All that any page of the edition refers to is written into one script, which the page loads at the
first reference that a reader points at (``book/_static/previews.js``). It is a script that sets a
variable, for a page opened from a folder may not fetch a file.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from .search import resolved

DATA = "previews-data.js"


def setup(app: Sphinx) -> None:
    app.connect("html-collect-pages", write_previews)


def write_previews(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Write the script; there is no page to add."""
    if app.builder.name == "html":
        text = json.dumps(previews(app), ensure_ascii=False, separators=(",", ":"))
        target = Path(app.outdir, "_static", DATA)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"window.bookPreviews = {text};\n", encoding="utf-8")
    return iter(())


def previews(app: Sphinx) -> dict[str, str]:
    """A piece of HTML for each place that is referred to, by its address within the edition."""
    names = {app.builder.get_target_uri(name): name for name in sorted(app.env.found_docs)}
    docs = {page: resolved(app, name) for page, name in names.items()}
    wanted = {place for page, doctree in docs.items() for place in _places(page, doctree)}
    found = {}
    for page, doctree in docs.items():
        _number_as(app, names[page])
        for node in doctree.findall(nodes.Element):
            for anchor in {f"{page}#{name}" for name in node["ids"]} & wanted:
                if html := _shown(app, node):
                    found[anchor] = html
        if page in wanted and (section := next(doctree.findall(nodes.section), None)):
            found[page] = _shown(app, section)
    return found


def _places(page: str, doctree: nodes.document) -> Iterator[str]:
    """Where the references of a page lead, within the edition."""
    for link in doctree.findall(nodes.reference):
        if "refid" in link:
            yield f"{page}#{link['refid']}"
        elif link.get("internal") and "refuri" in link:
            path, anchor = urldefrag(link["refuri"])
            if path:
                path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
            path = path or page
            yield f"{path}#{anchor}" if anchor else path


def _number_as(app: Sphinx, docname: str) -> None:
    """Let the builder number what it writes next as it does on a page."""
    builder, env = app.builder, app.env
    builder.current_docname = docname
    builder.secnumbers = env.toc_secnumbers.get(docname, {})
    builder.fignumbers = env.toc_fignumbers.get(docname, {})


def _shown(app: Sphinx, node: nodes.Element) -> str:
    """What is shown of a place; nothing for one that does not speak for itself."""
    match node:
        case nodes.section():
            title = nodes.paragraph("", "", nodes.strong("", "", *_copied(node[0].children)))
            first = next(iter(node.findall(nodes.paragraph)), None)
            parts: list[nodes.Node] = [title, *([first] if first is not None else [])]
        case nodes.figure() | nodes.math_block():
            parts = [node]
        case nodes.citation():
            parts = list(node.findall(nodes.paragraph))[:1]
        case nodes.term() if isinstance(node.parent, nodes.definition_list_item):
            meaning = next(iter(node.parent.findall(nodes.definition)), None)
            parts = [] if meaning is None else list(meaning.children)
        case addnodes.desc_signature():
            name = nodes.paragraph("", "", nodes.literal("", node.astext().partition("(")[0]))
            said = next(iter(node.parent.findall(nodes.paragraph)), None)
            parts = [name, *([said] if said is not None else [])]
        case nodes.raw() if isinstance(node.parent, nodes.section):  # a drawing
            return _shown(app, node.parent)
        case _:
            return ""
    return "".join(_html(app, part) for part in parts)


def _copied(children: list[nodes.Node]) -> list[nodes.Node]:
    return [child.deepcopy() for child in children]


def _html(app: Sphinx, node: nodes.Node) -> str:
    """A node as it stands on the page, without what a note cannot hold: anchors and links."""
    html = app.builder.render_partial(node.deepcopy())["fragment"]
    html = re.sub(r'<a class="headerlink"[^>]*>.*?</a>|</?a\b[^>]*>', "", html)
    html = re.sub(r' id="[^"]*"|<span class="eqno">.*?</span>(?=\\\[)', "", html)
    # From the root of the edition; the script knows where that is. (Where a page is not built anew,
    # the builder has not looked for its pictures.)
    return re.sub(r'src="[^"]*/([^"/]+)"', r'data-src="_images/\1"', html).strip()
