"""How nbval runs the chapters: ``pytest --nbval --nbval-current-env book``."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = 60  # seconds a busy machine may take to send an output
