"""Sums over the pixels, and quotients of sums."""

from __future__ import annotations

import torch
from torch import Tensor


def total(x: Tensor) -> Tensor:
    """The sum over the pixels: (B, C). Torch adds pairwise, so it costs no digits here."""
    dtype = torch.int32 if x.dtype == torch.bool else None  # torch copies a mask to this type
    return x.sum(-1, dtype=dtype).to(sum_dtype(x))


def sum_by_class(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The sum over the pixels of each label, from (B, 1, N) to (B, C); no one-hot tensor."""
    zeros = x.new_zeros(len(labels), classes, dtype=sum_dtype(x))
    return zeros.scatter_add(1, labels.squeeze(1), x.to(zeros.dtype).expand_as(labels).squeeze(1))


def ratio(numerator: Tensor, denominator: Tensor | float) -> Tensor:
    """The quotient, and 0 (with gradient 0) where the denominator is 0."""
    if not isinstance(denominator, Tensor):
        return numerator / (denominator or torch.inf)
    denominator = denominator.to(numerator.dtype)  # of counts, infinity has torch's default dtype
    return numerator / denominator.masked_fill(denominator == 0, torch.inf)


def sum_dtype(x: Tensor) -> torch.dtype:
    """What to sum in one after the other, which would cost float32 its last digits."""
    return torch.float32 if x.device.type == "mps" else torch.float64
