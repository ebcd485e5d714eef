"""The package as a whole: what it exposes, what it says of itself, what importing it costs."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import segloss_core as core

PACKAGE = Path(core.__file__).parent
FUNCTIONS = [getattr(core, name) for name in core.__all__ if name[0].islower()]


def test_star_import_exposes_exactly_the_public_names():
    names: dict[str, object] = {}
    exec("from segloss_core import *", names)
    assert set(names) - {"__builtins__"} == set(core.__all__)
    assert core.__all__ == sorted(core.__all__)
    modules = {path.stem for path in PACKAGE.iterdir()}
    public = {name for name in vars(core) if not name.startswith("_")} - modules
    assert public == set(core.__all__)


def test_the_version_can_be_read_without_importing():
    assigned = [
        node.value
        for node in ast.parse((PACKAGE / "__init__.py").read_text()).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__"
    ]
    assert [ast.literal_eval(value) for value in assigned] == [core.__version__]
    assert (PACKAGE / "py.typed").exists()


def test_import_needs_torch_only_and_starts_nothing():
    code = (
        "import sys, torch; before = set(sys.modules); state = torch.get_rng_state();"
        "import segloss_core;"
        "new = {m.split('.')[0] for m in set(sys.modules) - before};"
        "new -= set(sys.stdlib_module_names) | {'segloss_core', 'torch'};"
        "assert not new, new;"
        "assert not torch.cuda.is_initialized();"
        "assert torch.equal(state, torch.get_rng_state())"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_without_triton_all_is_formulas():
    code = (
        "import sys; sys.modules['triton'] = None; import torch, segloss_core as core;"
        "from segloss_core.fast import dispatch;"
        "z, y = torch.zeros(1, 2, 3), torch.zeros(1, 3, dtype=torch.long);"
        "assert core.dice_loss(z, y, mode='multiclass') > 0;"
        "assert (core.unet_weight_map(y) == 1).all();"
        "assert dispatch.TRITON and dispatch._triton_kernels() is None"
    )
    environment = {**os.environ, "SEGLOSS_TRITON": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def entries(doc):
    """The parameters of the Args block of a docstring, each with its text."""
    block = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.S | re.M)
    if block is None:
        return {}
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", block[1], re.S | re.M)
    return {name: " ".join(text.split()) for name, text in found}


# What holds for every loss is said by the package alone.
SHARED = entries(inspect.getdoc(core))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_docstrings_are_complete(function):
    doc = inspect.getdoc(function)
    parameters = inspect.signature(function).parameters
    own = entries(doc)
    assert set(own) | set(SHARED) >= set(parameters)
    assert set(own) <= set(parameters)
    for name, parameter in parameters.items():
        text = own.get(name, SHARED.get(name))
        if parameter.default is not parameter.empty:
            assert "Default" in text, name
        if isinstance(parameter.default, (int, float, str)):
            shown = re.search(r'Default:? "?([\w.-]*\w)', text)
            assert shown, name
            if isinstance(parameter.default, bool):
                assert shown[1] == f"{parameter.default}", name
            else:
                assert shown[1] == f"{parameter.default}" or float(shown[1]) == parameter.default
    sections = ["Example:", ">>> ", "Chapter: "]
    if "loss" in function.__name__:
        sections += ["Formula", "Convention:", "Normaliser:"]
    assert [section for section in sections if section not in doc] == []


def test_what_all_share_is_said_once():
    """An option of its own meaning says that meaning; all others are in the package's docstring."""
    again = {
        (function.__name__, name)
        for function in FUNCTIONS
        for name in entries(inspect.getdoc(function))
        if name in SHARED
    }
    assert again == {
        ("balanced_cross_entropy_loss", "per_image"),
        ("generalized_dice_loss", "weight"),
        ("lovasz_hinge_loss", "mode"),
        ("lovasz_softmax_loss", "mode"),
        ("overlap_counts", "num_classes"),
    }
    for name in ("Void", "Empty", "Dtype", "Numbers", "Ranks", "Checks"):
        assert f"{name}: " in inspect.getdoc(core)


def test_no_private_name_of_torch_is_used():
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"\btorch\.(\w+\.)*_\w", path.read_text()), path.name


def test_nothing_is_printed_or_warned(capsys, recwarn):
    core.dice_loss(torch.randn(2, 3), torch.ones(2, 3))
    assert capsys.readouterr() == ("", "")
    assert not recwarn.list
