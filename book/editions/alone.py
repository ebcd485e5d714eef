"""A notebook that can be taken alone: its first cell unpacks what it imports.

Who downloads one chapter, or opens it in Colab, has neither the packages of the repository nor the
modules and data that stand beside the chapters. They travel packed in the first cell, in the
folders they have in the repository, and the notebook runs in that copy of ``book/``. So nothing
need have been published, and a notebook runs the code it was written with. Packages by others are
installed by pip where they are missing.
"""

import ast
import base64
import functools
import hashlib
import io
import json
import lzma
import re
import sys
import zipfile
from collections.abc import Container, Iterable, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from string import Template

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell

from .config import NOTEBOOKS, ROOT

_SETUP = Template("""\
# @title Run this cell first: it unpacks the modules and data that this notebook imports
def _set_up(folder, packages, archive):
    import base64
    import importlib
    import io
    import lzma
    import os
    import subprocess
    import sys
    import zipfile
    from importlib.util import find_spec
    from pathlib import Path

    if Path.cwd().parent.name != folder:  # it is, when the cell is run a second time
        unpacked = lzma.decompress(base64.b85decode(archive))
        zipfile.ZipFile(io.BytesIO(unpacked)).extractall(folder)
        Path(folder, "book").mkdir(exist_ok=True)
        os.chdir(Path(folder, "book"))
        sys.path[:0] = [str(Path("..", name).resolve()) for name in $places]

    def missing():
        importlib.invalidate_caches()
        return [package for name, package in packages.items() if find_spec(name) is None]

    if missing():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *missing()])
    if missing():
        raise ModuleNotFoundError(
            "this notebook needs " + ", ".join(missing()) + ", and pip could not install it here. "
            "Where there is a network, run\\n    pip install " + " ".join(missing())
        )


_set_up(
    "$folder",
    $packages,
    "$archive",
)""")


def alone(notebook: NotebookNode) -> NotebookNode:
    """Return ``notebook`` behind a cell that brings what its code imports; the input stays."""
    python = TransformerManager().transform_cell  # of a cell with magics
    code = [python(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    files, packages = needs("\n".join(code))
    if not files:
        return notebook
    archive = _packed(files)
    setup = new_code_cell(
        _SETUP.substitute(
            # By its content: two notebooks of different versions can lie side by side.
            folder=f"{NOTEBOOKS['name']}-{hashlib.sha256(archive).hexdigest()[:8]}",
            places=json.dumps([*NOTEBOOKS["modules"], "."]),
            packages=json.dumps(packages),
            archive=base64.b85encode(archive).decode(),
        ),
        metadata={"cellView": "form", "jupyter": {"source_hidden": True}},  # Colab, JupyterLab
        id="set-up",
    )
    return from_dict({**notebook, "cells": [setup, *notebook.cells]})


def needs(code: str) -> tuple[dict[str, Path], dict[str, str]]:
    """What ``code`` imports, itself or through the book's own modules.

    Returns the files of this repository by their place in it, and the packages by others
    as ``{module: name for pip}``.
    """
    files: dict[str, Path] = {}
    packages: dict[str, str] = {}
    queue, seen = [code], set(sys.stdlib_module_names)
    while queue:
        source = queue.pop()
        for name in imports(source) - seen:
            seen.add(name)
            if own := _own_files(name):
                files |= own
                queue += [path.read_text(encoding="utf-8") for path in own.values()]
            elif others := _distributions().get(name):
                packages[name] = others[0]
            # What is neither, the notebook ran without: an optional import.
        files |= _data_named_in(source)
    files |= _data_spelled_in(code, seen)
    return dict(sorted(files.items())), dict(sorted(packages.items()))


@functools.cache  # reads what every installed package says of itself
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def imports(source: str) -> set[str]:
    """The top-level modules that ``source`` imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).partition(".")[0])
    return names


def _own_files(name: str) -> dict[str, Path]:
    """The files of a module that chapters import, or of a package of the repository."""
    modules = [ROOT / folder / f"{name}.py" for folder in NOTEBOOKS["modules"]]
    package = sorted((ROOT / name).rglob("*.py")) if name in NOTEBOOKS["packages"] else []
    left = [ROOT / folder for folder in NOTEBOOKS["without"]]
    package = [path for path in package if not any(path.is_relative_to(place) for place in left)]
    return _by_place([path for path in modules if path.is_file()] or package)


def _data_named_in(source: str) -> dict[str, Path]:
    """The data that a source names, with the credits that belong to them."""
    named = [path for name in NOTEBOOKS["data"] for path in _named(ROOT / name, source)]
    return _by_place([*named, *(ROOT / name for name in NOTEBOOKS["credits"])]) if named else {}


def _data_spelled_in(code: str, modules: Container[str]) -> dict[str, Path]:
    """Of the data in a folder with the name of a module, "module/this.that.json", what a notebook
    with that module spells: each part of the name is a word in its own code."""
    words = set(re.findall(r"""["'](\w+)["']""", code))
    files = [path for name in NOTEBOOKS["data"] for path in sorted((ROOT / name).glob("*/*.*.*"))]
    return _by_place(
        path
        for path in files
        if path.parent.name in modules and words.issuperset(path.stem.split("."))
    )


def _named(path: Path, source: str) -> list[Path]:
    """The files at or below ``path`` that a source names; all of them where it names, as part of a
    path, a folder and nothing in it."""
    if path.is_file():
        return [path] if re.search(rf"""["'/]{re.escape(path.name)}["']""", source) else []
    found = [file for entry in sorted(path.glob("*")) for file in _named(entry, source)]
    part = rf"""/ ?["']?{re.escape(path.name)}["'/]|["']{re.escape(path.name)}/"""
    if not found and re.search(part, source):
        found = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return found


def _by_place(paths: Iterable[Path]) -> dict[str, Path]:
    return {path.relative_to(ROOT).as_posix(): path for path in paths}


def _packed(files: dict[str, Path]) -> bytes:
    """The files as an archive, the same bytes wherever and whenever it is made.

    They are compressed as one, for modules are alike: half of what a zip archive by itself takes.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, path in _by_place([ROOT / "LICENSE", *files.values()]).items():
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)
