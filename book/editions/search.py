"""The search of the book: its index, written as a script, and the page that reads it.

Sphinx's own index holds words, so a word that is typed with another space, spelling or name is not
in it. The index written here holds the text of every section, which is little for a book: the
script of the search page (``book/_static/search.js``) reads all of it at every letter typed. It is
a script that sets a variable, for a page opened from a folder may not fetch a file.

Beside the text it knows names. An entry of the glossary may have a second definition, which lists
its other names (``: Also: Dice score, DSC``); those of all editions are joined. ``_config.yml``
adds questions that a page answers in other words than those of its title.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

from .config import LANGUAGES
from .edition import edition
from .storage import read

INDEX = "search-index.js"
UNUSED = ("searchtools.js", "language_data.js")  # what Sphinx's own search would run

# An entry of the glossary as it is written: the term, what it means, its other names.
_ENTRY = re.compile(r"^(\w.*)\n: (.+(?:\n .+)*)(?:\n: [^:,]+: (.+))?$", re.MULTILINE)
_REFERENCE = re.compile(r"\{ref\}`(?:[^`<]*<)?([^`<>]+)>?`")
_BRACKETS = re.compile(r"(.+?) ?\((.+)\)")


def setup(app: Sphinx) -> None:
    app.add_config_value("search_glossary", "", "env", types=[str])
    app.add_config_value("search_questions", {}, "html", types=[dict])
    app.connect("builder-inited", replace_sphinx_search)
    app.connect("doctree-read", anchor_glossary)
    app.connect("html-collect-pages", write_search_page)
    app.connect("build-finished", drop_sphinx_search)


def replace_sphinx_search(app: Sphinx) -> None:
    """Keep Sphinx from writing an index and a search page of its own."""
    if app.builder.format == "html":
        app.builder.search = False


def drop_sphinx_search(app: Sphinx, exception: Exception | None) -> None:
    """Delete the scripts of Sphinx's search, which its theme brings along unasked."""
    for name in UNUSED:
        Path(app.outdir, "_static", name).unlink(missing_ok=True)


def write_search_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Write the index, and offer Sphinx the page that loads it."""
    if app.builder.name == "html":
        text = json.dumps(index(app), ensure_ascii=False, separators=(",", ":"))
        script = f"const searchIndex = {text};\n"
        target = Path(app.outdir, "_static", INDEX)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(script, encoding="utf-8")
        digest = hashlib.sha256(script.encode()).hexdigest()[:8]
        yield "search", {"search_index": f"_static/{INDEX}?v={digest}"}, "search.html"


# What is found: sections, entries of the reference, entries of the glossary.


@dataclass
class Entry:
    """A place that a result leads to, by the first of its anchors."""

    anchors: list[str]
    heading: str
    texts: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Its paragraphs in one line, without those that are formulas with a word or two."""
        return " ".join(
            text for text in self.texts if len(re.findall(r"\w", text)) > (15 if "…" in text else 0)
        )


def index(app: Sphinx) -> dict[str, Any]:
    """All that the search knows, in reading order.

    ``pages``: address, number and questions of each. ``entries``: page, anchor, heading and text.
    ``names``: the names of each thing in the glossary, with the entries that define and explain it.
    """
    env = app.env
    pages, entries, places = [], [], {}
    for docname in _in_reading_order(env, app.config.root_doc):
        number = ".".join(map(str, env.toc_secnumbers.get(docname, {}).get("", ())))
        questions = app.config.search_questions.get(docname, {}).get(app.config.language, [])
        pages.append([app.builder.get_target_uri(docname), number, questions])
        for position, entry in enumerate(_entries(resolved(app, docname))):
            places |= {(docname, anchor): len(entries) for anchor in entry.anchors}
            anchor = entry.anchors[0] if position else ""  # the page itself opens at its top
            entries.append([len(pages) - 1, anchor, entry.heading, entry.text()])
    return {"pages": pages, "entries": entries, "names": list(_names(app, places))}


@cache
def resolved(app: Sphinx, docname: str) -> nodes.document:
    """A page with all its references; to be read, not to be changed."""
    return app.env.get_and_resolve_doctree(docname, app.builder)


def _in_reading_order(env: BuildEnvironment, docname: str) -> Iterator[str]:
    yield docname
    for child in env.toctree_includes.get(docname, ()):
        yield from _in_reading_order(env, child)


# Headings, which stand apart, and what cannot be read in a line: code, its output, formulas.
_NOT_READ = (nodes.title, nodes.FixedTextElement, addnodes.desc_signature)


_LETTER = re.compile(r"[^\W\d_]")  # which cells of a table lack that hold a number


def _entries(doctree: nodes.document) -> list[Entry]:
    """The places of a page in reading order, each with what it says before the next one."""
    entries: list[Entry] = []

    def collect(node: nodes.Element, here: Entry | None) -> None:
        for child in node.children:
            if (entry := _opened(child)) is not None:
                entries.append(entry)
                collect(child, entry)
            elif isinstance(child, nodes.TextElement):
                if here and not isinstance(child, _NOT_READ) and not _is_entry_term(child):
                    text = readable(child)
                    if not isinstance(node, nodes.entry) or _LETTER.search(text):
                        here.texts.append(text)
            elif isinstance(child, nodes.Element):
                if here:
                    here.anchors += child["ids"]
                collect(child, here)

    collect(doctree, None)
    return entries


def _opened(node: nodes.Node) -> Entry | None:
    """The entry that starts with a node, if one does."""
    match node:
        case nodes.section():
            return Entry([*node["ids"]], readable(node[0]))
        case addnodes.desc() if anchors := node[0]["ids"]:
            return Entry([*anchors], anchors[0].rpartition(".")[2])
        case nodes.definition_list_item() if _is_entry_term(node[0]):
            return Entry([*node[0]["ids"]], readable(node[0]))
    return None


def _is_entry_term(node: nodes.Node) -> bool:
    return isinstance(node, nodes.term) and bool(node["ids"])


# Text in a line. Of a formula, what a reader can take for a word.

_SYMBOLS = {
    "approx": "≈", "cap": "∩", "cdot": "·", "cup": "∪", "ge": "≥", "in": "∈", "infty": "∞",
    "le": "≤", "ne": "≠", "partial": "∂", "pm": "±", "tfrac12": "½", "times": "×", "to": "→",
    "exp": "exp", "log": "log ", "max": "max", "min": "min", "{": "{", "}": "}", ",": "",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]+(?:12)?|.) ?")
_INDEX = re.compile(r"([_^])(\w)")
_SMALL = {"_": dict(zip("0123456789", "₀₁₂₃₄₅₆₇₈₉", strict=True)), "^": {"2": "²", "3": "³"}}


def readable(node: nodes.Node) -> str:
    """The text of a node in one line, with formulas as letters or, where too long, as dots."""
    match node:
        case nodes.Text():
            text = node.astext()
        case nodes.math():
            text = _letters(node.astext())
        case nodes.FixedTextElement() | nodes.image() | nodes.system_message():
            text = ""
        case _:
            text = "".join(map(readable, node.children))
    line = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text))
    return line if isinstance(node, nodes.Text) else line.strip()


def _letters(formula: str) -> str:
    r"""A formula as letters, ``\hat p_1\ge\beta`` as p̂₁≥β; dots for one that needs more."""
    formula = re.sub(r"\\(?:text|mathrm|operatorname)\{([^{}]*)\}", r"\1", formula)
    formula = re.sub(r"\\hat ?\{?(\w)\}?", "\\1\u0302", formula)
    letters = _INDEX.sub(lambda sign: _SMALL[sign[1]].get(sign[2], sign[0]), formula)
    letters = _COMMAND.sub(_symbol, letters)
    too_much = len(letters) > 14 or re.search(r"\\|\^|_\{", letters)
    return "…" if too_much else letters


def _symbol(command: re.Match[str]) -> str:
    name = command[1].removeprefix("var")
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {name.upper()}")
    except KeyError:
        return command[0]


# Names: what the glossary calls things, in all editions together.


def anchor_glossary(app: Sphinx, doctree: nodes.document) -> None:
    """Give every entry of the glossary an anchor, and mark the line of its other names."""
    if app.env.docname != app.config.search_glossary:
        return
    for number, item in enumerate(doctree.findall(nodes.definition_list_item)):
        term, _, *other_names = item.children
        # The last name is in Latin letters, which all editions share, wherever there is such a one.
        name = nodes.make_id(_names_of_term(term.astext())[-1]) or str(number)
        term["ids"].append(f"term-{name}")
        for line in other_names:
            line["classes"].append("other-names")


def _names_of_term(term: str) -> list[str]:
    """A term, and the names that stand in brackets after it."""
    if match := _BRACKETS.fullmatch(term):
        return [match[1], *_listed(match[2])]
    return [term]


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def glossary_entries(texts: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    """The names of every entry in these texts, its term first, and the label that it leads to."""
    for text in texts:
        for term, definition, others in _ENTRY.findall(text):
            labels = _REFERENCE.findall(definition)
            yield [*_names_of_term(term), *_listed(others)], labels[-1] if labels else ""


def compact(name: str) -> str:
    """What of a name counts: its letters and digits, without case and accents."""
    letters = (
        letter if "가" <= letter <= "힣" else unicodedata.normalize("NFD", letter)[0]
        for letter in name.lower()
    )
    return re.sub(r"[\W_]", "", "".join(letters))


def _names(app: Sphinx, places: dict[tuple[str, str], int]) -> Iterator[list[Any]]:
    """Per entry of this edition's glossary: its place, that of what it leads to, its names."""
    glossary, spoken = app.config.search_glossary, app.config.language
    if glossary not in app.env.found_docs:
        return
    notebook = read(Path(app.env.doc2path(glossary)))
    entries = {
        lang: list(glossary_entries(cell.source for cell in edition(notebook, lang).cells))
        for lang in LANGUAGES
    }
    for lang in LANGUAGES:
        check_once(lang, entries[lang])
    twins = [names for lang in LANGUAGES if lang != spoken for names, _ in entries[lang]]
    labels = app.env.get_domain("std").labels
    terms = [places[page, a] for page, a in places if page == glossary and a.startswith("term-")]
    for place, (own, label) in zip(terms, entries[spoken], strict=True):
        known = set(map(compact, own))
        joined = [*own, *(n for names in twins if known & set(map(compact, names)) for n in names)]
        target = places.get(labels[label][:2], -1) if label in labels else -1
        yield [place, target, list(dict.fromkeys(joined))]


def check_once(lang: str, entries: list[tuple[list[str], str]]) -> None:
    """A name that stands for two things would lead to either."""
    taken: dict[str, str] = {}
    for names, _ in entries:
        for name in names:
            other = taken.setdefault(compact(name), names[0])
            if other != names[0]:
                raise ExtensionError(
                    f"glossary ({lang}): {name!r} is a name of both {other!r} and {names[0]!r}"
                )
