"""The package as a whole: what it exposes, what it says of itself, what importing it costs."""

import ast
import inspect
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


def entries(doc):
    """The parameters of the Args block of a docstring, each with its text."""
    block = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.S | re.M)
    assert block, doc
    found = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", block[1], re.S | re.M)
    return {name: " ".join(text.split()) for name, text in found}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_docstrings_are_complete(function):
    doc = inspect.getdoc(function)
    parameters = inspect.signature(function).parameters
    assert list(entries(doc)) == list(parameters) or set(entries(doc)) == set(parameters)
    for name, parameter in parameters.items():
        if parameter.default is not parameter.empty:
            assert "Default" in entries(doc)[name], name
        if isinstance(parameter.default, (int, float, str)) and parameter.default is not False:
            shown = re.search(r'Default:? "?([\w.-]*\w)', entries(doc)[name])
            assert shown, name
            if not isinstance(parameter.default, bool):
                assert shown[1] == f"{parameter.default}" or float(shown[1]) == parameter.default
    sections = ["Args:", "Returns:", "Raises:", "Example:", ">>> ", "Chapter: "]
    if "loss" in function.__name__:
        sections += ["Formula", "Convention:", "Normaliser:", "Empty:", "Void:", "Dtype:"]
    assert [section for section in sections if section not in doc] == []


def test_shared_options_are_described_in_the_same_words():
    words: dict[str, set[str]] = {}
    for function in FUNCTIONS:
        if function.__name__.endswith("_loss"):
            for name, text in entries(inspect.getdoc(function)).items():
                words.setdefault(name, set()).add(text)
    shared = ["ignore_index", "mask", "pixel_weight", "from_logits", "reduction", "classes"]
    shared += ["process_group"]
    assert {name: len(words[name]) for name in shared} == dict.fromkeys(shared, 1)


def test_no_private_name_of_torch_is_used():
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"\btorch\.(\w+\.)*_\w", path.read_text()), path.name


def test_nothing_is_printed_or_warned(capsys, recwarn):
    core.dice_loss(torch.randn(2, 3), torch.ones(2, 3))
    assert capsys.readouterr() == ("", "")
    assert not recwarn.list
