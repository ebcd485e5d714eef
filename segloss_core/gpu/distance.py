"""The two nearest instances of every pixel: one launch for each dimension, which ends by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .kernels.distance import sweep
from .launch import launch

BLOCK = 256


def two_nearest(ids: Tensor, steps: Sequence[float], reach: float) -> tuple[Tensor, Tensor]:
    """Squared distances of the pixels (B, *), exact as far as `reach`.

    Of the two nearest in a plane each is among the two nearest of some line in it: else two others
    of that line would be nearer.
    """
    known: Sequence[Tensor | None] = (ids.contiguous(), None, None, None)
    programs, inner = math.ceil(ids.numel() / BLOCK), ids.numel() // len(ids)
    for axis, step in enumerate(steps, 1):
        size = ids.shape[axis]
        inner //= size
        first, second = (ids.new_empty(ids.shape, dtype=torch.float32) for _ in range(2))
        own, other = (ids.new_empty(ids.shape, dtype=torch.int64) for _ in range(2))
        new = (own, first, second, other) if axis < len(steps) else (None, first, second, None)
        how = (ids.numel(), size, inner, int(min(size - 1, reach / step)), float(step))
        launch(sweep, programs, ids, *known, *new, *how, BLOCK=BLOCK)
        known = new
    return first, second
