"""The steps of the Jaccard loss as pixels turn wrong, the largest error first."""

from __future__ import annotations

import torch
from torch import Tensor

from .sums import ratio, sum_dtype


def jaccard_steps(y: Tensor, union: Tensor, rank: Tensor) -> Tensor:
    """J_i - J_(i-1) of pixels in the order in which they turn wrong, from exact counts.

    y is 1 for foreground, which leaves the intersection I; background joins the union U. So I is
    what remains of the U after a pixel less its rank, from 1.
    """
    hits, union = (union - rank).to(y.dtype), union.to(y.dtype)
    of_background = hits.div_((union - 1).clamp(min=1))
    # vmap has rules for these, but not for clamp_ and lerp_.
    return of_background.lerp(y.new_ones(()), y).div_(union)  # eq-lovasz-steps


def bin_steps(counts: Tensor) -> tuple[Tensor, Tensor]:
    """What one pixel of a bin adds to J, foreground and background, from the counts of both."""
    # From the largest errors down: I and U before and after each bin.
    new_fn, new_fp = counts.flip(-1).to(sum_dtype(counts)).unbind()
    objects = new_fn.sum(-1, keepdim=True)
    hits, union = objects - new_fn.cumsum(-1), objects + new_fp.cumsum(-1)
    union_before = union - new_fp
    growth = ratio(hits + new_fn, union_before) - ratio(hits, union)
    # The means of 1 / U and of I / U^2 along the line.
    fn_step = torch.where(
        new_fp > 0, ratio(torch.log1p(ratio(new_fp, union_before)), new_fp), 1 / union.clamp(min=1)
    )
    fp_step = ratio(growth - new_fn * fn_step, new_fp)
    return fn_step.flip(-1), fp_step.flip(-1)
