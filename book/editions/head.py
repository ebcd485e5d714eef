"""What a page says of itself to those who do not read it: browsers, search engines, feeds; and the
lines at its foot: version, day, licence, how to cite the book.

Absolute addresses can stand there only once the owner has filled in one (``publishing``).
"""

import posixpath
import re
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from . import front
from .config import LANGUAGES, NOTEBOOKS
from .publishing import edition_address
from .search import readable

LONGEST = 200  # letters of a description


def setup(app: Sphinx) -> None:
    app.add_config_value("edition_for_others", "", "html", types=[str])
    app.add_config_value("front_door", {}, "html", types=[dict])
    app.add_config_value("day_of_the_book", "", "html", types=[str])
    app.connect("config-inited", look_at_the_calendar)
    app.connect("html-page-context", link_to_siblings)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", sign)


def look_at_the_calendar(app: Sphinx, config: Config) -> None:
    """All pages are written anew on another day: it stands on each."""
    config.day_of_the_book = front.day_of_the_book().isoformat()


def link_to_siblings(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Give the page's template the links to the same page of every edition."""
    if not app.config.edition_siblings:
        return
    here = app.builder.get_target_uri(pagename)
    up = posixpath.relpath(".", posixpath.dirname(here) or ".")
    context["edition_links"] = [
        {
            "lang": lang,
            "name": app.config.editions[lang]["name"],
            "href": posixpath.join(up, "..", lang, here),
            "current": lang == app.config.language,
        }
        for lang in LANGUAGES
    ]


def describe(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Write the tags of the head: description, card for links, this address and its twins."""
    at, page = edition_address(app.config), app.builder.get_target_uri(pagename)
    context["pageurl"] = f"{at}/{page}" if at else None
    tags = [("property", "og:site_name", app.config.html_title)]
    if doctree is not None:
        title = re.sub(r"<[^>]*>", "", context.get("title", ""))
        name = re.sub(r"^[\d.]+ ", "", title)
        description = first_words(doctree, name, app.config.html_title)
        tags += [
            ("name", "description", description),
            ("property", "og:type", "article"),
            ("property", "og:title", title),
            ("property", "og:description", description),
        ]
        if at:
            tags += [
                ("property", "og:url", f"{at}/{page}"),
                ("property", "og:image", picture_of(app, at, context.get("body", ""))),
                ("name", "twitter:card", "summary_large_image"),
            ]
    lines = [
        f'<meta {kind}="{name}" content="{escape(said, quote=True)}" />'
        for kind, name, said in tags
        if said
    ]
    twins = {link["lang"]: link["href"] for link in context.get("edition_links", ())}
    if at and twins:
        site = at.removesuffix(app.config.language)
        twins = {lang: f"{site}{lang}/{page}" for lang in twins}
        twins["x-default"] = twins[app.config.edition_for_others or LANGUAGES[0]]
    lines += [
        f'<link rel="alternate" hreflang="{lang}" href="{href}" />' for lang, href in twins.items()
    ]
    # A viewport stands in the theme's head already.
    given = re.sub(r'<meta name="viewport"[^>]*>\n?', "", context.get("metatags", ""))
    context["metatags"] = given + "\n".join(lines) + "\n"


def first_words(doctree: nodes.document, title: str, book: str) -> str:
    """The first sentences of a page; of a box that opens it, the first line after the title."""
    for node in doctree.findall(nodes.paragraph):
        text = readable(node)
        if len(text) <= 40 or "…" in text or isinstance(node.parent, nodes.citation):
            continue
        if line := re.match(r"\w+: (.*)", text):
            text = f"{title}: {line[1][0].upper()}{line[1][1:]}"
        if len(text) <= LONGEST:
            return text
        sentences = re.match(rf".{{40,{LONGEST}}}[.?!](?= )", text)
        return sentences[0] if sentences else text[:LONGEST].rpartition(" ")[0] + " …"
    return f"{title} · {book}"


def picture_of(app: Sphinx, at: str, body: str) -> str:
    """The address of the first figure of a page, or of the card of the book."""
    if found := re.search(r'<img [^>]*src="(?:\.\./)*(_images/[^"]+)"', body):
        return f"{at}/{found[1]}"
    site = at.removesuffix(f"/{app.config.language}")
    return f"{site}/cover/{app.config.front_door['card']}"


def sign(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Give the template of the foot (``colophon.html``) what it shows."""
    citation = front.citation()
    context["colophon"] = {
        "version": citation["version"],
        "license": citation["license"],
        "day": app.config.day_of_the_book,
        "bibtex": bibtex(citation, app.config.day_of_the_book[:4], edition_address(app.config)),
    }


def bibtex(citation: dict[str, Any], year: str, address: str) -> str:
    """An entry for those who cite the book, from what ``CITATION.cff`` says."""
    names = [
        f"{{{author['name']}}}"
        if "name" in author
        else f"{author['family-names']}, {author['given-names']}"
        for author in citation["authors"]
    ]
    fields = {
        "author": " and ".join(names),
        "title": f"{{{citation['title']}}}",
        "year": year,
        "version": citation["version"],
        "url": citation.get("url") or citation.get("repository-code") or address,
        "doi": citation.get("doi", ""),
    }
    lines = [f"  {name:7} = {{{said}}}," for name, said in fields.items() if said]
    return "\n".join([f"@misc{{{NOTEBOOKS['name']},", *lines, "}"])
