"""The packages that segloss_core is compared with, as far as their losses need them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

INSTALL = "pip install --no-deps --group peers"


def losses_of(package: str) -> Any:
    """The subpackage `losses`, without the package's own __init__, which may need much more."""
    try:
        if package == "segmentation_models_pytorch" and package not in sys.modules:
            spec = importlib.util.find_spec(package)
            bare = types.ModuleType(package)
            bare.__path__ = list(spec.submodule_search_locations or ()) if spec else []
            sys.modules[package] = bare
        return importlib.import_module(f"{package}.losses")
    except ImportError as error:
        raise ImportError(f"{package} is not installed ({INSTALL})") from error
