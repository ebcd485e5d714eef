"""Run each notebook once; both editions, the downloads and the refresh read that one result.

The result is kept in a jupyter-cache. Its key is made of the code cells alone, so prose can be
edited without running anything, together with a digest of all that the code stands on: the
core, the book's own modules and data, and the installed versions.
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
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from nbformat import NotebookNode

from . import BUILD, ROOT
from .storage import NotebookError, read

CACHE = BUILD / "cache"
TIMEOUT = 300  # seconds for one cell


def environment_digest() -> str:
    """A digest of everything outside a notebook that its outputs depend on."""
    files = [
        *ROOT.glob("segloss_core/**/*.py"),
        *ROOT.glob("book/*.py"),
        *ROOT.glob("examples/*.py"),
        *(path for path in ROOT.glob("book/data/**/*") if path.is_file()),
        *ROOT.glob("benchmarks/results/*.json"),
    ]
    digest = hashlib.sha256(platform.python_version().encode())
    for package in ("torch", "numpy", "matplotlib", "ipykernel"):
        digest.update(f"{package} {version(package)}\n".encode())
    for path in sorted(files):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def execution_key(path: Path, environment: str) -> str:
    """Changes exactly when the stored result of a notebook is out of date."""
    digest = hashlib.sha256(environment.encode())
    for cell in _code_only(read(path), environment).cells:
        digest.update(cell.source.encode() + b"\0")
    return digest.hexdigest()


def executed(path: Path) -> NotebookNode:
    """The bilingual notebook at ``path`` with the outputs of its code, run now if need be."""
    [notebook] = execute([path])
    return notebook


def execute(paths: Iterable[Path]) -> list[NotebookNode]:
    """The notebooks at ``paths`` with their outputs; those not in the cache run side by side."""
    cache = get_cache(CACHE)
    environment = environment_digest()
    sources = [(path, read(path)) for path in paths]
    codes = [_code_only(notebook, environment) for _, notebook in sources]
    missing = [
        (path, code)
        for (path, _), code in zip(sources, codes, strict=True)
        if not _is_cached(cache, code)
    ]
    if missing:
        with ProcessPoolExecutor() as pool:
            for (path, _), (done, error) in zip(missing, pool.map(_run, missing), strict=True):
                if error is not None:
                    raise NotebookError(f"{path.name} does not run.\n{error}")
                bundle = CacheBundleIn(done, path.as_posix())
                cache.cache_notebook_bundle(bundle, overwrite=True)
    return [
        _with_outputs(notebook, cache.merge_match_into_notebook(code)[1])
        for (_, notebook), code in zip(sources, codes, strict=True)
    ]


def _code_only(notebook: NotebookNode, environment: str) -> NotebookNode:
    """What decides the outputs of a notebook: its code, and what that code stands on."""
    cells = [
        nbformat.v4.new_code_cell(cell.source, id=cell.id)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "environment": environment}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _is_cached(cache, code: NotebookNode) -> bool:
    try:
        cache.match_cache_notebook(code)
    except KeyError:
        return False
    return True


def _run(job: tuple[Path, NotebookNode]) -> tuple[NotebookNode, str | None]:
    path, code = job
    os.environ["OMP_NUM_THREADS"] = "1"  # notebooks side by side must not share their cores
    result = single_nb_execution(
        code,
        cwd=str(path.parent),
        timeout=TIMEOUT,
        allow_errors=False,
        coalesce_streams=True,  # a line that was printed in pieces is one line
        extra_arguments=["--log-level=ERROR"],  # a notice about kernels on other machines
    )
    error = None if result.err is None else re.sub(r"\x1b\[[0-9;]*m", "", str(result.err))
    return result.nb, error


def _with_outputs(notebook: NotebookNode, code: NotebookNode) -> NotebookNode:
    """``notebook`` with the outputs and execution counts of ``code``, cell by cell."""
    done = iter(code.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            result = next(done)
            cell.outputs = result.outputs
            cell.execution_count = result.execution_count
    return notebook
