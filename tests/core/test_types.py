"""What a type checker sees of the modules: the keywords of their functions, with their types."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import segloss_core

CALLS = """
from segloss_core import DiceLoss, DistanceWeightedCrossEntropyLoss, FocalLoss

loss: DiceLoss = DiceLoss(mode="multiclass", classes=[1, 2])
DistanceWeightedCrossEntropyLoss(w0=3.0)
DiceLoss(mode="multiclas")
FocalLoss(gama=2.0)
FocalLoss(gamma="2")
"""


def test_modules_have_the_types_of_their_functions(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    path = tmp_path / "calls.py"
    path.write_text(CALLS)
    root = Path(segloss_core.__file__).parents[1]
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path, path],
        env={**os.environ, "MYPYPATH": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout
    errors = [line for line in found.splitlines() if re.match(r"calls\.py:\d+: error:", line)]
    assert len(errors) == 3, found
    assert '"mode"' in errors[0]
    assert '"gama"' in errors[1]
    assert '"gamma"' in errors[2]
