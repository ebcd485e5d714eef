"""The same values on a GPU, where the logits are read once: kernels in Triton.

There memory and the number of launches cost time, and so does waiting for the device. A kernel
reads the logits in their own dtype and keeps them in registers; backward reads them again, so that
nothing of their size is stored but the gradient. Nothing waits, and sums are the same at every run.

They are not yet timed on a GPU; their values are checked under Triton's interpreter. So they are
used only if the environment variable SEGLOSS_TRITON is 1 before torch is asked for a loss. Without
this package, or without Triton, all of it are the formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..fast.dispatch import Kernel
from ..fast.lovasz import HingeBySort, SoftmaxByBins, SoftmaxBySort
from ..fast.pixel import FocalForm
from ..fast.region import OverlapSums
from ..inputs import Pixels
from .distance import two_nearest
from .lovasz import HingeSort, SoftmaxBins, SoftmaxSort
from .pixel import PixelLoss
from .region import RegionSums

__all__ = ["serves", "twin", "two_nearest"]

# For each kernel of a CPU what does the same on a GPU.
TWINS: dict[type[Kernel], Callable[[Any], Kernel]] = {
    FocalForm: PixelLoss,
    OverlapSums: RegionSums,
    HingeBySort: HingeSort,
    SoftmaxBySort: SoftmaxSort,
    SoftmaxByBins: SoftmaxBins,
}

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def serves(x: Tensor) -> bool:
    """Whether the kernels were compiled for the device of x: an Nvidia GPU from Ampere on."""
    if not x.is_cuda or torch.version.cuda is None:
        return False
    return torch.cuda.get_device_capability(x.device) >= (8, 0)


def twin(kernel: Kernel, pixels: Pixels) -> Kernel | None:
    """The kernel for these pixels; None: the formula is to do it."""
    found = TWINS.get(type(kernel))
    x = pixels.input
    if found is None or x.dtype not in DTYPES or x.numel() == 0:
        return None
    return None if pixels.mode == "multiclass" and pixels.soft else found(kernel)
