"""The lines of the page "In your framework" run, each in its framework, on a tiny random model."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOWN = sorted((ROOT / "examples" / "frameworks").glob("*.py"))
LOSS = "criterion"  # plugged in by all the others
RUNS = Path(__file__).with_name("framework_runs.py")


@pytest.mark.parametrize("path", [p for p in SHOWN if p.stem != LOSS], ids=lambda p: p.stem)
def test_it_runs(path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, RUNS, path.stem],
        capture_output=True, text=True, timeout=540, env=environment,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip(f"{done.stdout.splitlines()[-1]} (pip install --no-deps --group frameworks)")
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.stem)
def test_what_is_shown_is_ten_lines_besides_imports_and_fits_a_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    _, *body = ast.parse(text).body
    imports = (ast.Import, ast.ImportFrom)
    numbers = {n for node in body if not isinstance(node, imports) for n in lines_of(node)}
    shown = [line for n, line in enumerate(text.splitlines(), 1) if n in numbers and line.strip()]
    assert ast.get_docstring(ast.parse(text))
    assert len(shown) <= 10
    assert max(map(len, text.splitlines())) <= 78


def lines_of(node: ast.stmt) -> range:
    return range(node.lineno, node.end_lineno + 1)
