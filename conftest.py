"""Before any test imports Triton: its kernels are interpreted where there is no GPU to run them."""

import importlib.util
import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

# Triton is for Linux; the package does without these where it is not installed.
collect_ignore = [] if importlib.util.find_spec("triton") else ["segloss_core/gpu"]
