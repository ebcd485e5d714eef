"""The same values faster: kernels that go over large CPU tensors block by block.

What costs time there is fresh memory, not arithmetic. A kernel touches one full-size buffer, which
becomes the gradient; all else is of the size of a block and stays in the cache. The losses are
formulas without this package: `evaluate` chooses, and the formula stands behind every kernel for
gradients of gradients.
"""

from .dispatch import Kernel, evaluate, on_cpu, parts
from .distance import two_nearest
from .lovasz import hinge_by_sort, softmax_by_bins, softmax_by_sort
from .pixel import PowerOfError
from .region import overlap_sums

__all__ = [
    "Kernel",
    "PowerOfError",
    "evaluate",
    "hinge_by_sort",
    "on_cpu",
    "overlap_sums",
    "parts",
    "softmax_by_bins",
    "softmax_by_sort",
    "two_nearest",
]
