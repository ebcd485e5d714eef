"""The lower part of the tools knows neither Sphinx nor what the book is about."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from book import editions
from book.editions.config import CONFIG, NOTEBOOKS, ROOT

FOLDER = Path(editions.__file__).parent
TABLES = [
    set(re.findall(r"^``(\w+)``", table, re.MULTILINE))
    for table in editions.__doc__.split("Above them stands")
]
LOWER, UPPER = TABLES
BOUND_TO_A_SITE = {"sphinx", "docutils", "jupyter_book", "myst_nb", "bs4", "playwright", "pypdf"}


def imported(path: Path) -> tuple[set[str], set[str]]:
    """The packages that a module imports, and its neighbours."""
    packages, neighbours = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            packages.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            neighbours |= {node.module} if node.module else names
    return packages, neighbours


def test_every_module_stands_in_one_of_the_two_parts() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert modules == LOWER | UPPER
    assert not LOWER & UPPER


@pytest.mark.parametrize("name", sorted(LOWER))
def test_the_lower_part_stands_by_itself(name: str) -> None:
    packages, neighbours = imported(FOLDER / f"{name}.py")
    assert not packages & BOUND_TO_A_SITE
    assert neighbours <= LOWER


@pytest.mark.parametrize("name", sorted(LOWER))
def test_the_lower_part_knows_nothing_of_this_book(name: str) -> None:
    """What it has to know stands in the configuration."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert not re.search(r"segloss|segmentation|\bloss|torch", source, re.IGNORECASE)
    literals = {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not literals & {"ko", "en", *NOTEBOOKS["packages"], *NOTEBOOKS["data"]}


def test_what_notebooks_stand_on_is_there() -> None:
    settings = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["sphinx"]["config"]
    assert settings["notebooks"] == NOTEBOOKS
    for kind in ("packages", "without", "modules", "data", "credits"):
        assert NOTEBOOKS[kind]
        assert all((ROOT / name).exists() for name in NOTEBOOKS[kind])
