from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from segloss_core.fast import blocks, dispatch, lovasz

# The tensors here are small: a second thread costs more than it brings.
torch.set_num_threads(1)

settings.register_profile("core", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("core")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.__version__ < "2.5":
        skip = pytest.mark.skip(reason="the Dynamo of torch 2.4 cannot follow named tuples")
        for item in items:
            if "compile" in item.name or "export" in item.name:
                item.add_marker(skip)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What a loss is and what its rules are holds for the formulas and for the kernels."""
    ways = {
        "test_values": ["formula", "small blocks"],
        "test_rules": ["formula", "kernel"],
        "test_gradcheck": ["formula", "small blocks"],
        "test_gradgradcheck": ["formula", "small blocks"],
    }
    for name in (metafunc.module.__name__.rpartition(".")[2], metafunc.function.__name__):
        if name in ways:
            metafunc.parametrize("way", ways[name], indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """How losses are evaluated; where nobody asks, as their size says."""
    asked = getattr(request, "param", None)
    with pytest.MonkeyPatch.context() as patch:
        if asked is not None:
            patch.setattr(dispatch, "is_large", lambda *_: asked != "formula")
        if asked == "small blocks":
            for mode in blocks.BLOCK:
                patch.setitem(blocks.BLOCK, mode, 7)
            patch.setattr(lovasz, "TILE", 5)
            patch.setattr(lovasz, "BUCKET", 3)
        yield
