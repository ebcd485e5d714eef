"""Run each notebook once; both editions, the downloads and the refresh read that one result.

Each result is a file under ``_build/cache``, named by a digest of the code cells alone, so prose
can be edited without running anything, together with all that the code stands on: the packages,
modules and data of the repository, and the installed versions. Such a file never changes, and it
appears whole, so any number of builds may look for it and write it at the same time.
"""

import hashlib
import os
import platform
import re
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from .config import BUILD, NOTEBOOKS, ROOT
from .storage import KERNEL, NotebookError, read, write_whole

CACHE = BUILD / "cache"
TIMEOUT = 900  # seconds for one cell, on a machine that has other things to do


def environment_digest() -> str:
    """A digest of everything outside a notebook that its outputs depend on."""
    files = [path for name in NOTEBOOKS["packages"] for path in (ROOT / name).rglob("*.py")]
    files += [path for name in NOTEBOOKS["modules"] for path in (ROOT / name).glob("*.py")]
    for data in (ROOT / name for name in NOTEBOOKS["data"]):
        files += [path for path in (data, *data.rglob("*")) if path.is_file()]
    digest = hashlib.sha256(platform.python_version().encode())
    for package in NOTEBOOKS["versions"]:
        digest.update(f"{package} {version(package)}\n".encode())
    for path in sorted(files):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def execution_key(notebook: NotebookNode, environment: str) -> str:
    """Changes exactly when the stored result of a notebook is out of date."""
    digest = hashlib.sha256(environment.encode())
    for cell in _code_only(notebook).cells:
        digest.update(cell.source.encode() + b"\0")
    return digest.hexdigest()


def executed(path: Path) -> NotebookNode:
    """The bilingual notebook at ``path`` with the outputs of its code, run now if need be."""
    [notebook] = execute([path])
    return notebook


def execute(paths: Iterable[Path]) -> list[NotebookNode]:
    """The notebooks at ``paths`` with their outputs; those without a result run side by side."""
    environment = environment_digest()
    sources = [(path, read(path)) for path in paths]
    results = [CACHE / f"{execution_key(notebook, environment)}.ipynb" for _, notebook in sources]
    missing = [
        (path, _code_only(notebook), result)
        for (path, notebook), result in zip(sources, results, strict=True)
        if not result.exists()
    ]
    if missing:
        with ProcessPoolExecutor() as pool:
            errors = list(pool.map(_run, missing))
        if complaints := [error for error in errors if error is not None]:
            raise NotebookError("\n".join(complaints))
    return [
        _with_outputs(notebook, read(result))
        for (_, notebook), result in zip(sources, results, strict=True)
    ]


def _code_only(notebook: NotebookNode) -> NotebookNode:
    """What of a notebook decides its outputs."""
    cells = [
        nbformat.v4.new_code_cell(cell.source, id=cell.id)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def _run(job: tuple[Path, NotebookNode, Path]) -> str | None:
    """Run a notebook and keep its result; return what is wrong where it does not run."""
    path, code, result = job
    os.environ["OMP_NUM_THREADS"] = "1"  # notebooks side by side must not share their cores
    client = NotebookClient(
        code,
        timeout=TIMEOUT,
        resources={"metadata": {"path": str(path.parent)}},
        coalesce_streams=True,  # a line that was printed in pieces is one line
        extra_arguments=["--log-level=ERROR"],  # a notice about kernels on other machines
        record_timing=False,
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as error:
        words = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
        return f"{path.name} does not run.\n{words}"
    write_whole(result, nbformat.writes(code))
    return None


def _with_outputs(notebook: NotebookNode, code: NotebookNode) -> NotebookNode:
    """``notebook`` with the outputs and execution counts of ``code``, cell by cell."""
    done = iter(code.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            result = next(done)
            cell.outputs = result.outputs
            cell.execution_count = result.execution_count
    return notebook
