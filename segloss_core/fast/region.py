"""The sums of overlaps, with the probabilities in the buffer that becomes the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from ..inputs import Pixels
from .dispatch import Block, Pull, blocks


def overlap_sums(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull]:
    """The sums of p y, p, y and again p, (4, B, C)."""
    p = torch.empty_like(pixels.input)
    images, classes, _ = p.shape
    sums = p.new_zeros(4, images, classes, dtype=torch.float64)
    one = p.new_ones(())
    for block in blocks(pixels):
        here = probabilities(block, pixels, out=p[block.at])
        mass = here.sum(-1)
        if pixels.has_ids:
            own = here.gather(1, block.y)
            overlap = sum_by_class(own, block.y, classes)
            actual = sum_by_class(one if block.keep is None else block.keep, block.y, classes)
        else:
            overlap, actual = (here * block.y).sum(-1), block.y.sum(-1)
        sums[:, block.at[0]].add_(torch.stack([overlap, mass, actual, mass]))

    def pull(grad_output: Tensor) -> Tensor:
        by_overlap, by_p, _, by_mass = grad_output.to(p.dtype).unbind()
        by_mass = by_p + by_mass
        for block in blocks(pixels):
            here = p[block.at]
            overlap, mass = by_overlap[block.at[0]], by_mass[block.at[0]]
            if pixels.has_ids:  # softmax: p_k (g_k - sum_c g_c p_c), g the slope by p
                own = here.gather(1, block.y)
                own = own.mul_(overlap.gather(1, block.y.squeeze(1)).unsqueeze(1))
                mean = (mass.unsqueeze(1) @ here).add_(own)
                here.mul_(mass.unsqueeze(-1) - mean).scatter_add_(1, block.y, own)
            else:  # sigmoid: p (1 - p) g
                slope = (block.y * overlap.unsqueeze(-1)).add_(mass.unsqueeze(-1))
                torch.ops.aten.sigmoid_backward.grad_input(slope, here, grad_input=here)
        return p

    return sums, pull


def probabilities(block: Block, pixels: Pixels, out: Tensor) -> Tensor:
    """Into `out`, 0 under void pixels."""
    if pixels.mode == "multiclass":
        e = block.centred().exp_()
        every = e.sum(1, keepdim=True)
        share = every.reciprocal() if block.keep is None else block.keep / every
        return torch.mul(e, share, out=out)
    torch.sigmoid(block.logits(), out=out)
    return out if block.keep is None else out.mul_(block.keep)


def sum_by_class(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The sum of x over the pixels of each label, from (b, 1, n) to (b, C)."""
    zeros = x.new_zeros(len(labels), classes, dtype=torch.float64)
    return zeros.scatter_add_(1, labels.squeeze(1), x.double().expand_as(labels).squeeze(1))
