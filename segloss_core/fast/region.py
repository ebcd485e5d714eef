"""The sums of overlaps, with the probabilities in the buffer that becomes the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_range
from ..inputs import Pixels
from ..sums import sum_by_class
from .blocks import blocks
from .dispatch import Kernel


class OverlapSums(Kernel):
    """The sums of min(p, y), p, y and again p, (4, B, C); of class ids min(p, y) is p y.

    Targets other than class ids are seen here for the first time, so this is where their values
    are checked.
    """

    takes_soft = True

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
                low, high = torch.aminmax(y)
                if not (low >= 0 and high <= 1):
                    check_range("target", pixels.labels, 0, 1)
                overlap, actual = torch.minimum(here, y).sum(-1), y.sum(-1)
            sums[:, block.at[0]].add_(torch.stack([overlap, mass, actual, mass]))
        return sums, p

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        by_overlap, by_p, _, by_mass = slope.to(buffer.dtype).unbind()
        by_mass = by_p + by_mass
        for block in blocks(pixels):
            p, y = buffer[block.at], block.labels
            overlap, mass = by_overlap[block.at[0]], by_mass[block.at[0]]
            if pixels.has_ids:  # softmax: p_k (g_k - sum_c g_c p_c), g the slope by p
                own = p.gather(1, y)
                own = own.mul_(overlap.gather(1, y.squeeze(1)).unsqueeze(1))
                mean = (mass.unsqueeze(1) @ p).add_(own)
                p.mul_(mass.unsqueeze(-1) - mean).scatter_add_(1, y, own)
            else:  # sigmoid: p (1 - p) g, in g the overlap counts where p < y
                inside, outside = (x.unsqueeze(-1) for x in (overlap + mass, mass))
                by_sigmoid = torch.where(p < y, inside, outside)
                torch.ops.aten.sigmoid_backward.grad_input(by_sigmoid, p, grad_input=p)
        return buffer
