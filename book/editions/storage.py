"""How a notebook is stored: readable in git, whatever editor wrote it."""

import hashlib
import os
from copy import deepcopy
from pathlib import Path
from tempfile import NamedTemporaryFile

import nbformat
from nbformat import NotebookNode
from nbformat.reader import NotJSONError

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class NotebookError(Exception):
    """What is wrong with a notebook, in words for its writer."""


def write_whole(path: Path, text: str) -> None:
    """Write a file that others may read or write at the same time: they meet all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=".", delete=False
    ) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def read(path: Path) -> NotebookNode:
    """The notebook at ``path``."""
    try:
        return nbformat.read(path, as_version=4)
    except NotJSONError as error:
        raise NotebookError(
            f"{path.name} is not a notebook any more ({error.__cause__}). "
            f"Was a merge conflict left in it?"
        ) from error


def stored(notebook: NotebookNode) -> str:
    """The text of a notebook's file: outputs without images, nothing of the editor.

    The site draws the figures anew. A cell keeps the id that it was given first, whatever becomes
    of its content; only a copy of a cell, which brings the id of the original, gets its own.
    """
    notebook = deepcopy(notebook)
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    taken: set[str] = set()
    for cell in notebook.cells:
        while cell.id in taken:
            cell.id = hashlib.sha256(f"{cell.id}\n{cell.source}".encode()).hexdigest()[:8]
        taken.add(cell.id)
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)  # time stamps
            for output in cell.outputs:
                _drop_images(output)
    return nbformat.writes(notebook) + "\n"


def _drop_images(output: NotebookNode) -> None:
    for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
        del output.data[kind]
        output.metadata.pop(kind, None)
