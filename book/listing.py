"""Show the source of an imported function, or a script, where the chapter explains it.

The chapter never types again what the package has: the listing is read from the imported object,
or from the file, so it is the code that runs.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any


def without_docstring(source: str) -> str:
    """Return the source of one function or class without its docstring."""
    source = textwrap.dedent(source)
    node = ast.parse(source).body[0]
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) or ast.get_docstring(node) is None:
        return source
    docstring = node.body[0]
    lines = source.splitlines()
    before, after = lines[: docstring.lineno - 1], lines[docstring.end_lineno :]
    while after and not after[0].strip():
        after = after[1:]
    return "\n".join(before + after)


class Listing:
    """Source text that a page highlights and a terminal prints."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"


def _formula_helpers(function: Callable[..., Any] | type) -> list[Callable[..., Any]]:
    """Return the functions of the same module that a line marked with an equation calls.

    The package marks the line that realises an equation with its label, as in ``# eq-ce``.
    """
    text = textwrap.dedent(inspect.getsource(function))
    marked = {number for number, line in enumerate(text.splitlines(), 1) if "# eq-" in line}
    names = [
        node.func.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.lineno in marked
    ]
    module = inspect.getmodule(function)
    found = [getattr(module, name, None) for name in dict.fromkeys(names)]
    return [f for f in found if inspect.isfunction(f) and f.__module__ == function.__module__]


def source(*objects: Callable[..., Any] | type) -> Listing:
    """Return the sources of ``objects`` without their docstrings.

    Each is followed by those functions of its module that compute its marked equations.
    """
    shown: dict[Any, None] = {}
    for item in objects:
        shown |= dict.fromkeys([item, *_formula_helpers(item)])
    parts = (without_docstring(inspect.getsource(item)).rstrip() for item in shown)
    return Listing("\n\n\n".join(parts))


def script(path: str) -> Listing:
    """Return a Python file without the docstring at its top."""
    source = Path(path).read_text(encoding="utf-8")
    lines = source.splitlines()
    first, *_ = ast.parse(source).body
    if ast.get_docstring(ast.parse(source)) is not None:
        lines = lines[first.end_lineno :]
    return Listing("\n".join(lines).strip("\n"))
