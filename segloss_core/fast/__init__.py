"""The same values faster: kernels that go over large CPU tensors block by block.

What costs time there is fresh memory, not arithmetic. A kernel touches one full-size buffer, which
becomes the gradient; all else is of the size of a block and stays in the cache. The losses are
formulas without this package: `evaluate` chooses, and the formula stands behind every kernel for
gradients of gradients.
"""

from .blocks import tiles
from .dispatch import Kernel, evaluate, gpu_room, on_cpu
from .lovasz import HingeBySort, SoftmaxByBins, SoftmaxBySort
from .pixel import FocalForm
from .region import OverlapSums

__all__ = [
    "FocalForm",
    "HingeBySort",
    "Kernel",
    "OverlapSums",
    "SoftmaxByBins",
    "SoftmaxBySort",
    "evaluate",
    "gpu_room",
    "on_cpu",
    "tiles",
]
