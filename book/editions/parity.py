"""Hold the two languages together.

`problems` compares what twins must share whatever the language: headings, labels, formulas,
references, code and numbers. The lock file `parity.lock` remembers a hash of either side of each
pair, so that when one side alone is changed its writer is told which twin to look at.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from nbformat import NotebookNode

from . import ROOT, chapters
from .edition import LANGUAGES, language
from .storage import read, write_whole

LOCK = ROOT / "book" / "parity.lock"

_MARKDOWN = (
    MarkdownIt("commonmark")
    .enable("table")
    .use(dollarmath_plugin, double_inline=True)
    .use(myst_role_plugin)
    .use(myst_block_plugin)
    .use(colon_fence_plugin)
)
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_TARGET = re.compile(r".*<([^<>]+)>", re.DOTALL)  # of a role's "text <target>"


class Pair(NamedTuple):
    """A Korean text, its English twin, and where they stand."""

    place: str
    ko: str
    en: str


def pairs(notebook: NotebookNode) -> list[Pair]:
    """Every pair of texts in a notebook: markdown cells, captions and alternative texts.

    Raises ValueError, in words for the writer, where texts have no twin.
    """
    found = list(_pairs_or_complaints(notebook))
    if complaints := [item for item in found if isinstance(item, str)]:
        raise ValueError("\n".join(complaints))
    return [item for item in found if isinstance(item, Pair)]


def _pairs_or_complaints(notebook: NotebookNode) -> Iterator[Pair | str]:
    """The pairs, and for each text without a twin a sentence that says where it should stand."""
    waiting: tuple[str, str] | None = None  # place and text of a Korean cell without its twin yet
    for number, cell in enumerate(notebook.cells):
        place, spoken = f"cell {number} ({_first_words(cell.source)})", language(cell)
        if waiting and spoken == "en":
            yield Pair(*waiting, cell.source)
            waiting = None
            continue
        if waiting:
            yield _without_english(waiting[0])
            waiting = None
        if cell.cell_type == "code":
            yield from _pairs_in_metadata(cell.metadata, f"code cell {number}")
        elif spoken == "ko":
            waiting = place, cell.source
        elif spoken == "en":
            yield f"{place}: its Korean twin, tagged 'ko', is missing directly before it"
        else:
            yield f"{place}: tag it 'ko' or 'en'; so far it carries neither"
    if waiting:
        yield _without_english(waiting[0])


def _without_english(place: str) -> str:
    return f"{place}: its English twin, tagged 'en', is missing directly after it"


def _pairs_in_metadata(metadata: object, place: str) -> Iterator[Pair | str]:
    if not isinstance(metadata, dict):
        return
    if set(metadata) & set(LANGUAGES):
        missing = [lang for lang in LANGUAGES if not metadata.get(lang)]
        if missing:
            yield f"{place}: the text in {missing[0]!r} is missing"
        else:
            yield Pair(place, *(metadata[lang] for lang in LANGUAGES))
        return
    for key, value in metadata.items():
        yield from _pairs_in_metadata(value, f"{place}, {key}")


def _first_words(text: str) -> str:
    lines = [line.strip("# ") for line in text.splitlines()]
    words = [line for line in lines if line and not re.fullmatch(r"\(.*\)=", line)]
    return repr((words or [""])[0][:40])


def shared_parts(text: str) -> Counter[tuple[str, str]]:
    """What a text must have in common with its twin, as (kind, content), counted."""
    parts: Counter[tuple[str, str]] = Counter()
    for token in _walk(_MARKDOWN.parse(text)):
        if token.type == "heading_open":
            parts["heading", token.tag] += 1
        elif token.type == "myst_target":
            parts["label", token.content] += 1
        elif token.type.startswith("math_"):
            formula = " ".join(token.content.split()).rstrip(" .,;")  # the sentence's punctuation
            parts["formula", formula] += 1
            if token.info:
                parts["label", token.info] += 1
        elif token.type == "myst_role":
            target = _TARGET.fullmatch(token.content)
            parts["reference", target[1] if target else token.content] += 1
        elif token.type == "link_open":
            parts["link", str(token.attrs["href"])] += 1
        elif token.type in ("code_inline", "fence", "code_block"):
            parts["code", token.content] += 1
        elif token.type == "text":
            parts.update(("number", number) for number in _NUMBER.findall(token.content))
    return parts


def _walk(tokens: list[Token]) -> Iterator[Token]:
    """Every token, those inside directives too."""
    for token in tokens:
        if token.type in ("fence", "colon_fence") and token.info.startswith("{"):
            body = "\n".join(
                line for line in token.content.splitlines() if not re.match(r":[\w-]+:", line)
            )
            yield from _walk(_MARKDOWN.parse(body))
        else:
            yield token
            yield from _walk(token.children or [])


def problems(notebook: NotebookNode) -> list[str]:
    """What the twins of a notebook do not share though they must, in words for the writer."""
    found = []
    for item in _pairs_or_complaints(notebook):
        if isinstance(item, str):
            found.append(item)
            continue
        korean, english = shared_parts(item.ko), shared_parts(item.en)
        for (kind, content), count in (korean - english).items():
            found.append(f"{item.place}: {count} × {kind} {content!r} in the Korean text only")
        for (kind, content), count in (english - korean).items():
            found.append(f"{item.place}: {count} × {kind} {content!r} in the English text only")
    return found


def without_twin() -> list[str]:
    """The texts of all chapters that have no twin, in words for the writer."""
    return [
        f"{name}, {item}"
        for name, notebook in _notebooks().items()
        for item in _pairs_or_complaints(notebook)
        if isinstance(item, str)
    ]


def _hash(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def read_lock() -> dict[str, list[list[str]]]:
    return json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}


def unsynced(name: str, notebook: NotebookNode, lock: dict[str, list[list[str]]]) -> list[str]:
    """The pairs of the notebook ``name`` of which one side alone was changed since the lock."""
    known = {tuple(pair) for pair in lock.get(name, [])}
    korean = {ko for ko, _ in known}
    english = {en for _, en in known}
    found = []
    for place, ko, en in pairs(notebook):
        pair = (_hash(ko), _hash(en))
        if pair in known:
            continue
        if pair[0] in korean:
            found.append(f"{place}: the English text was changed; look at its Korean twin")
        elif pair[1] in english:
            found.append(f"{place}: the Korean text was changed; look at its English twin")
    return found


def accept() -> None:
    """Write the lock anew: the writer has looked at both sides of every pair."""
    lock = {
        name: [[_hash(ko), _hash(en)] for _, ko, en in pairs(notebook)]
        for name, notebook in _notebooks().items()
    }
    write_whole(LOCK, json.dumps(lock, indent=1) + "\n")


def review() -> list[str]:
    """Accept pairs changed on both sides; return what is wrong with the others.

    That is: texts without a twin, what twins do not share, and pairs of which one side alone was
    changed.
    """
    notebooks, lock = _notebooks(), read_lock()
    found = [f"{name}, {line}" for name, nb in notebooks.items() for line in problems(nb)]
    if not found:
        found = [
            f"{name}, {line}" for name, nb in notebooks.items() for line in unsynced(name, nb, lock)
        ]
    if not found:
        accept()
    return found


def _notebooks() -> dict[str, NotebookNode]:
    return {path.name: read(path) for path in chapters()}
