import pytest
import torch
from hypothesis import settings

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
