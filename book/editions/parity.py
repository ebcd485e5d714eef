"""Hold the languages together.

`problems` compares what twins must share whatever the language: headings, labels, formulas,
references, code and numbers. The lock file `parity.lock` remembers a hash of either side of each
pair, so that when one side alone is changed its writer is told which twin to look at. It has a
line for each pair, below the name of its notebook: so branches that edit different chapters can be
merged.
"""

import hashlib
import re
from collections import Counter, namedtuple
from collections.abc import Iterator

from markdown_it.token import Token
from nbformat import NotebookNode

from .config import LANGUAGES, ROOT, chapters
from .edition import language
from .myst import MARKDOWN, directive, target
from .storage import NotebookError, read, write_whole

LOCK = ROOT / "book" / "parity.lock"

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


# A text in each language, under the name of that language; its place, and its key in the lock.
Pair = namedtuple("Pair", ["place", *LANGUAGES, "key"])

Hashes = tuple[str, ...]
"""Of the texts of a pair, in the order of the languages."""

Lock = dict[str, dict[str, Hashes]]
"""The hashes of every pair, by the name of its notebook and its key."""


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
    first, *others = LANGUAGES
    twins: list[NotebookNode] = []  # the cells of a pair, as far as they have come
    begin = ""  # where the first of them stands
    for place, cell in [*zip(places(notebook), notebook.cells, strict=True), ("", None)]:
        spoken = language(cell) if cell else None
        if twins and spoken == LANGUAGES[len(twins)]:
            twins.append(cell)
            if len(twins) == len(LANGUAGES):
                yield Pair(begin, *(twin.source for twin in twins), twins[0].id)
                twins = []
            continue
        if twins:
            missing = LANGUAGES[len(twins)]
            yield f"{begin}: its twin, tagged {missing!r}, is missing directly after it"
            twins = []
        if cell is None:
            return
        if cell.cell_type == "code":
            yield from _pairs_in_metadata(cell.metadata, place, cell.id)
        elif spoken == first:
            begin, twins = place, [cell]
        elif spoken in others:
            before = LANGUAGES[LANGUAGES.index(spoken) - 1]
            yield f"{place}: its twin, tagged {before!r}, is missing directly before it"
        else:
            yield f"{place}: tag it with its language, one of {', '.join(map(repr, LANGUAGES))}"


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
    for token in _walk(MARKDOWN.parse(text)):
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
            parts["reference", target(token.content)[0]] += 1
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
        if found := directive(token):
            yield from _walk(MARKDOWN.parse(found.body))
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
        parts = {lang: shared_parts(getattr(item, lang)) for lang in LANGUAGES}
        for lang in LANGUAGES:
            for (kind, content), count in parts[lang].items():
                least = min(each[kind, content] for each in parts.values())
                if count > least:
                    only = f"{count - least} × {kind} {content!r} in the {lang!r} text only"
                    found.append(f"{item.place}: {only}")
    return found


def without_twin() -> list[str]:
    """The texts of all chapters that have no twin, in words for the writer."""
    return [
        f"{name}, {item}"
        for name, notebook in _notebooks().items()
        for item in _pairs_or_complaints(notebook)
        if isinstance(item, str)
    ]


def _hashes(pair: Pair) -> Hashes:
    texts = (getattr(pair, lang).strip() for lang in LANGUAGES)
    return tuple(hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts)


def read_lock() -> Lock:
    lock: Lock = {}
    name = ""
    lines = LOCK.read_text(encoding="utf-8").splitlines() if LOCK.exists() else []
    for line in lines:
        if line.startswith(" "):
            key, *hashes = line.split()
            lock[name][key] = tuple(hashes)
        elif line.endswith(".ipynb"):
            name = line
            lock[name] = {}
        else:
            raise NotebookError(
                f"{LOCK.name} has a line that names no notebook: {line!r}. Was a merge conflict "
                f"left in it? Look at the texts of both branches, then run `make parity`."
            )
    return lock


def _write_lock(lock: Lock) -> None:
    lines = []
    for name, known in sorted(lock.items()):
        lines += [name, *(f"  {key} {' '.join(hashes)}" for key, hashes in known.items())]
    write_whole(LOCK, "\n".join(lines) + "\n")


def unsynced(name: str, notebook: NotebookNode, lock: Lock) -> list[tuple[Pair, Hashes]]:
    """The pairs of the notebook ``name`` of which some texts alone were changed since the lock,
    each with its hashes there."""
    known = lock.get(name, {})
    found = []
    for pair in pairs(notebook):
        now = _hashes(pair)
        # By one of its texts where its cell has got another id.
        alike = (before for before in known.values() if _changed(now, before) < len(now))
        before = known.get(pair.key) or next(alike, now)
        if 0 < _changed(now, before) < len(now):
            found.append((pair, before))
    return found


def _changed(now: Hashes, before: Hashes) -> int:
    return sum(new != old for new, old in zip(now, before, strict=True))


def accept() -> None:
    """Write the lock anew: the writer has looked at both sides of every pair."""
    _write_lock(
        {
            name: {pair.key: _hashes(pair) for pair in pairs(notebook)}
            for name, notebook in _notebooks().items()
        }
    )


def review() -> tuple[list[str], list[str]]:
    """Accept pairs changed on both sides; return what is wrong, and which twins to look at.

    Wrong are texts without a twin and what twins do not share; then nothing is accepted. A twin is
    to be looked at where another alone was changed; the pair stays in the lock as it was.
    """
    notebooks, lock, notices = _notebooks(), read_lock(), []
    wrong = [f"{name}, {line}" for name, nb in notebooks.items() for line in problems(nb)]
    if wrong:
        return wrong, []
    accepted: Lock = {}
    for name, notebook in notebooks.items():
        accepted[name] = {pair.key: _hashes(pair) for pair in pairs(notebook)}
        for pair, before in unsynced(name, notebook, lock):
            accepted[name][pair.key] = before
            sides = list(zip(LANGUAGES, _hashes(pair), before, strict=True))
            changed = " and ".join(repr(lang) for lang, new, old in sides if new != old)
            left = " and ".join(repr(lang) for lang, new, old in sides if new == old)
            words = f"the text in {changed} was changed; look at its twin in {left}"
            notices.append(f"{name}, {pair.place}: {words}")
    _write_lock(accepted)
    return [], notices


def _notebooks() -> dict[str, NotebookNode]:
    return {path.name: read(path) for path in chapters()}
