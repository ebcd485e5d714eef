"""A new chapter: the skeleton in both languages, and what of it is still to be written.

The skeleton is ``book/_templates/chapter.md``, a notebook as MyST text. It runs as it stands, so a
writer replaces it piece by piece; every piece that is still the skeleton's says so with a TODO.
"""

import re
import sys

from myst_nb.core.read import read_myst_markdown_notebook
from nbformat import NotebookNode

from . import parity
from .config import LANGUAGES, ROOT, chapters
from .storage import stored

TEMPLATE = ROOT / "book" / "_templates" / "chapter.md"


def skeleton(name: str) -> NotebookNode:
    """The notebook of a chapter called ``name``, with nothing but TODOs in it."""
    text = TEMPLATE.read_text(encoding="utf-8").replace("NAME", name.replace("_", "-"))
    return read_myst_markdown_notebook(text)


def new_chapter(name: str) -> None:
    """Write the skeleton of a new chapter behind the last one, and say what comes next."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        sys.exit(
            f"NAME: got {name!r}, expected small letters, digits and underscores, "
            f"as in `make new-chapter NAME=boundary`"
        )
    numbered = {path: re.fullmatch(r"(\d+)_(.*)", path.stem) for path in chapters()}
    if taken := [path.name for path, match in numbered.items() if match and match[2] == name]:
        sys.exit(f"NAME: {name!r} is taken by book/{taken[0]}")
    last = max(int(match[1]) for match in numbered.values() if match)
    path = ROOT / "book" / f"{last + 1:02d}_{name}.ipynb"
    path.write_text(stored(skeleton(name)), encoding="utf-8")
    page = path.relative_to(ROOT)
    print(
        f"{page} is a draft that runs. What comes next:\n"
        f"  1. name it in _toc.yml:  - file: {page.with_suffix('')}\n"
        f"  2. `make refresh` runs it and lists what is still to be written\n"
        f"  3. `make serve` shows it in both languages"
    )


def unfinished(notebook: NotebookNode) -> list[str]:
    """Every line that still says TODO, and where it stands."""
    texts = [
        (f"{pair.place}, {lang}", getattr(pair, lang))
        for pair in parity.pairs(notebook)
        for lang in LANGUAGES
    ]
    texts += [
        (place, cell.source)
        for place, cell in zip(parity.places(notebook), notebook.cells, strict=True)
        if cell.cell_type == "code"
    ]
    return [
        f"{place}: {line.strip()}"
        for place, text in texts
        for line in text.splitlines()
        if "TODO" in line
    ]
