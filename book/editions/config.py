"""What ``_config.yml`` says of the book: its languages, and what its notebooks stand on."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
"""The root of the repository: where ``_config.yml`` and ``_toc.yml`` stand."""

BUILD = ROOT / "_build"
"""Everything that is built lives here."""

CONFIG = ROOT / "_config.yml"

_SETTINGS = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["sphinx"]["config"]

EDITIONS: dict[str, dict[str, Any]] = _SETTINGS["editions"]
"""What each edition is called, and its values, by language."""

LANGUAGES = tuple(EDITIONS)
"""In the order in which twins follow each other."""

NOTEBOOKS: dict[str, Any] = _SETTINGS["notebooks"]
"""What the notebooks stand on."""


def chapters() -> list[Path]:
    """Every notebook of the book, in order."""
    return sorted((ROOT / "book").glob("*.ipynb"))
