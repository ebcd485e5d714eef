"""Hold the two languages together.

`problems` compares what twins must share whatever the language: headings, labels, formulas,
references, code and numbers. The lock file `parity.lock` remembers a hash of either side of each
pair, so that when one side alone is changed its writer is told which twin to look at. It has a
line for each pair, below the name of its notebook: so branches that edit different chapters can be
merged.
"""

import hashlib
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
    """A Korean text, its English twin, where they stand, and what they are called in the lock."""

    place: str
    ko: str
    en: str
    key: str

    @property
    def hashes(self) -> tuple[str, str]:
        return _hash(self.ko), _hash(self.en)


Lock = dict[str, dict[str, tuple[str, str]]]
"""The hashes of a pair, by the name of its notebook and its key."""


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
    waiting: tuple[str, NotebookNode] | None = None  # a Korean cell without its twin yet
    for place, cell in zip(places(notebook), notebook.cells, strict=True):
        spoken = language(cell)
        if waiting and spoken == "en":
            where, korean = waiting
            yield Pair(where, korean.source, cell.source, korean.id)
            waiting = None
            continue
        if waiting:
            yield _without_english(waiting[0])
            waiting = None
        if cell.cell_type == "code":
            yield from _pairs_in_metadata(cell.metadata, place, cell.id)
        elif spoken == "ko":
            waiting = place, cell
        elif spoken == "en":
            yield f"{place}: its Korean twin, tagged 'ko', is missing directly before it"
        else:
            yield f"{place}: tag it 'ko' or 'en'; so far it carries neither"
    if waiting:
        yield _without_english(waiting[0])


def _without_english(place: str) -> str:
    return f"{place}: its English twin, tagged 'en', is missing directly after it"


def _pairs_in_metadata(metadata: object, place: str, key: str) -> Iterator[Pair | str]:
    if not isinstance(metadata, dict):
        return
    if set(metadata) & set(LANGUAGES):
        missing = [lang for lang in LANGUAGES if not metadata.get(lang)]
        if missing:
            yield f"{place}: the text in {missing[0]!r} is missing"
        else:
            yield Pair(place, *(metadata[lang] for lang in LANGUAGES), key)
        return
    for name, value in metadata.items():
        yield from _pairs_in_metadata(value, f"{place}, {name}", f"{key}/{name}")


def places(notebook: NotebookNode) -> list[str]:
    """Where each cell stands, as its writer finds it: its number and its heading in each language.

    Cells are counted from 1, as Sphinx counts them.
    """
    found, above = [], ""
    for number, cell in enumerate(notebook.cells):
        heading = _heading(notebook.cells, number)
        above = heading or above
        first_line, *_ = [*cell.source.strip().splitlines(), ""]
        where = heading or (f"under {above}" if above else first_line[:40])
        found.append(f"{'code ' * (cell.cell_type == 'code')}cell {number + 1} ({where})")
    return found


def _heading(cells: list[NotebookNode], number: int) -> str:
    """The heading of a cell and of its twins, as in ``정의 | Definition``."""
    if cells[number].cell_type == "code":
        return ""
    spoken = language(cells[number])
    first = number - LANGUAGES.index(spoken) if spoken else number
    twins = [
        cells[place]
        for place, lang in enumerate(LANGUAGES if spoken else [None], start=first)
        if 0 <= place < len(cells) and language(cells[place]) == lang
    ]
    return " | ".join(filter(None, (_first_heading(twin.source) for twin in twins)))


def _first_heading(text: str) -> str:
    found = re.search(r"^#{1,6} +(.+?) *$", text, re.MULTILINE)
    return found[1] if found else ""


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


def read_lock() -> Lock:
    lock: Lock = {}
    name = ""
    lines = LOCK.read_text(encoding="utf-8").splitlines() if LOCK.exists() else []
    for line in lines:
        if line.startswith(" "):
            key, korean, english = line.split()
            lock[name][key] = (korean, english)
        else:
            name = line
            lock[name] = {}
    return lock


def _write_lock(lock: Lock) -> None:
    lines = []
    for name, known in sorted(lock.items()):
        lines += [name, *(f"  {key} {' '.join(hashes)}" for key, hashes in known.items())]
    write_whole(LOCK, "\n".join(lines) + "\n")


def _locked(pair: Pair, known: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    """The hashes of a pair in the lock; by one of its texts where its cell has got another id."""
    return known.get(pair.key) or next(
        (hashes for hashes in known.values() if _sides_changed(pair.hashes, hashes) < 2), None
    )


def _sides_changed(now: tuple[str, str], before: tuple[str, str]) -> int:
    return sum(new != old for new, old in zip(now, before, strict=True))


def unsynced(name: str, notebook: NotebookNode, lock: Lock) -> list[Pair]:
    """The pairs of the notebook ``name`` of which one side alone was changed since the lock."""
    known = lock.get(name, {})
    return [
        pair
        for pair in pairs(notebook)
        if (before := _locked(pair, known)) and _sides_changed(pair.hashes, before) == 1
    ]


def accept() -> None:
    """Write the lock anew: the writer has looked at both sides of every pair."""
    _write_lock(
        {
            name: {pair.key: pair.hashes for pair in pairs(notebook)}
            for name, notebook in _notebooks().items()
        }
    )


def review() -> tuple[list[str], list[str]]:
    """Accept pairs changed on both sides; return what is wrong, and which twins to look at.

    Wrong are texts without a twin and what twins do not share; then nothing is accepted. A twin is
    to be looked at where the other side alone was changed; it stays in the lock as it was.
    """
    notebooks, lock, notices = _notebooks(), read_lock(), []
    wrong = [f"{name}, {line}" for name, nb in notebooks.items() for line in problems(nb)]
    if wrong:
        return wrong, []
    accepted: Lock = {}
    for name, notebook in notebooks.items():
        accepted[name] = {pair.key: pair.hashes for pair in pairs(notebook)}
        for pair in unsynced(name, notebook, lock):
            before = _locked(pair, lock[name])
            accepted[name][pair.key] = before
            korean, english = "Korean", "English"
            if pair.hashes[0] == before[0]:
                korean, english = english, korean
            notices.append(
                f"{name}, {pair.place}: the {korean} text was changed; look at its {english} twin"
            )
    _write_lock(accepted)
    return [], notices


def _notebooks() -> dict[str, NotebookNode]:
    return {path.name: read(path) for path in chapters()}
