"""The heart of the book: one language of a bilingual notebook."""

from typing import Any

from nbformat import NotebookNode, from_dict

from .config import LANGUAGES


def language(cell: NotebookNode) -> str | None:
    """The language whose tag a cell carries; None for a cell that serves all of them."""
    spoken = [tag for tag in cell.metadata.get("tags", []) if tag in LANGUAGES]
    return spoken[0] if spoken else None


def edition(notebook: NotebookNode, lang: str, *, blank: bool = False) -> NotebookNode:
    """Return the edition of ``notebook`` in the language ``lang``; the input stays as it is.

    Cells of the other languages are dropped, or emptied when ``blank`` is true: the site build
    blanks them, so that the cell numbers in a warning stay those of the source. In all metadata
    of cells a mapping with a key for each language, such as ``{"ko": …, "en": …}``, is replaced by
    its entry for ``lang``: so a code cell, which stands once, holds caption and alternative text of
    its figure in each language.
    """
    if lang not in LANGUAGES:
        raise ValueError(f"lang: got {lang!r}, expected one of {LANGUAGES}")
    cells = []
    for cell in notebook.cells:
        if language(cell) in (None, lang):
            cells.append(_localised(cell, lang))
        elif blank:
            cells.append({**cell, "source": ""})
    return from_dict({**notebook, "cells": cells})


def _localised(cell: NotebookNode, lang: str) -> dict[str, Any]:
    metadata = _pick(cell.metadata, lang)
    if tags := [tag for tag in metadata.pop("tags", []) if tag not in LANGUAGES]:
        metadata["tags"] = tags
    return {**cell, "metadata": metadata}


def _pick(value: Any, lang: str) -> Any:
    """Copy ``value`` with every mapping of all languages in it replaced by the entry for one."""
    if isinstance(value, dict):
        if set(value) == set(LANGUAGES):
            return value[lang]
        return {key: _pick(entry, lang) for key, entry in value.items()}
    if isinstance(value, list):
        return [_pick(entry, lang) for entry in value]
    return value
