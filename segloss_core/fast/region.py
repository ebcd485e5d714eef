"""The sums of overlaps, with the probabilities in the buffer that becomes the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from ..inputs import Pixels
from ..sums import sum_by_class
from .blocks import blocks
from .dispatch import Kernel, UnfitError


class OverlapSums(Kernel):
    """The sums of p y, p, y and again p, (4, B, C), of class ids or of y = 0 and 1.

    The latter are seen here for the first time: no pass over the target goes before this one.
    """

    takes_unseen = True

    def smallest(self, pixels: Pixels) -> int:
        return 2**17 if pixels.has_ids else 2**18

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor]:
        p = torch.empty_like(pixels.input)
        images, classes, _ = p.shape
        sums = p.new_zeros(4, images, classes, dtype=torch.float64)
        one = sums.new_ones(())
        for block in blocks(pixels):
            here, y = block.probabilities(out=p[block.at]), block.labels
            mass = here.sum(-1)
            if pixels.has_ids:
                overlap = sum_by_class(here.gather(1, y), y, classes)
                keep = one.expand_as(y) if block.keep is None else block.keep
                actual = sum_by_class(keep, y, classes)
            else:
                overlap, actual = (here * y).sum(-1), y.sum(-1)
                if not _is_hard(y, actual.sum()):
                    raise UnfitError
            sums[:, block.at[0]].add_(torch.stack([overlap, mass, actual, mass]))
        return sums, p

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        by_overlap, by_size, _, by_mass = slope.to(buffer.dtype).unbind()
        by_mass, classes = by_size + by_mass, pixels.classes
        for block in blocks(pixels):
            p, y = buffer[block.at], block.labels
            overlap, mass = by_overlap[block.at[0]], by_mass[block.at[0]]
            if pixels.has_ids:  # softmax: p_k (g_k - sum_c g_c p_c), g the slope by p
                own = p.gather(1, y)
                own = own.mul_(overlap.gather(1, y.squeeze(1)).unsqueeze(1))
                mean = (mass.unsqueeze(1) @ p).add_(own)
                p.mul_(mass.unsqueeze(-1) - mean).scatter_add_(1, y, own)
            else:  # sigmoid: p (1 - p) g
                if len(overlap) == 1 == classes:  # faster with numbers
                    by_p = torch.add(mass, y, alpha=overlap.item())
                else:
                    by_p = (y * overlap.unsqueeze(-1)).add_(mass.unsqueeze(-1))
                torch.ops.aten.sigmoid_backward.grad_input(by_p, p, grad_input=p)
        return buffer


def _is_hard(y: Tensor, total: Tensor) -> bool:
    """Whether y is 0 and 1 alone: between them y - y^2 is positive, and so is its sum."""
    squares = torch.dot(y.flatten(), y.flatten())
    return bool(squares == total and y.amin() >= 0 and y.amax() <= 1)  # faster than aminmax
