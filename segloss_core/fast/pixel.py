"""Pixel losses of the form w q^gamma (-log p), p of the label and q = 1 - p, in one pass.

gamma = 0 is cross entropy. Value and gradient come from the same block of probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..inputs import HUGE, Pixels
from .blocks import Block, blocks
from .dispatch import Kernel

LOG_2 = math.log(2)


@dataclass(frozen=True)
class FocalForm(Kernel):
    """The sum of these losses over the pixels, divided by a number."""

    gamma: float = 0.0
    class_weight: Tensor | None = None  # (C,), the label's entry is in w; of several classes
    pair: tuple[Tensor, Tensor] | None = None  # w for y = 0 and y = 1, beside (B, C, N)
    smoothing: float = 0.0  # the share of y that is spread over the classes; for gamma = 0
    divisor: Tensor | float | None = 1.0  # None: the number of valid pixels

    @property
    def is_for_cpu(self) -> bool:
        return self.smoothing == 0  # else torch's own cross entropy is as fast

    @property
    def tensors(self) -> Sequence[Tensor]:
        every = (self.class_weight, *(self.pair or ()), self.divisor)
        return [x for x in every if isinstance(x, Tensor)]

    def smallest(self, pixels: Pixels) -> int:
        if self.gamma > 0:
            return 2**13
        return 2**15 if pixels.mode == "multiclass" else 2**18

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor | None]:
        divisor = float(pixels.valid_total() if self.divisor is None else self.divisor)
        factor = 1 / divisor if divisor > 0 else 0.0
        gradient = torch.empty_like(pixels.input) if differentiable else None
        of_block, parts = self._sigmoid, 2
        if pixels.mode == "multiclass":
            of_block, parts = self._softmax, 1
        total = 0.0
        for block in blocks(pixels, parts):
            slopes = None if gradient is None else gradient[block.at]
            total += of_block(block, factor, slopes).item()
        return pixels.input.new_full((), total * factor), gradient

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        return buffer if slope == 1 else buffer.mul_(slope)

    def _sigmoid(self, block: Block, factor: float, slopes: Tensor | None) -> Tensor:
        """The sum of the losses; into `slopes` go theirs times the factor."""
        sign = torch.rsub(block.labels, 1, alpha=2)  # 1 where y = 0, -1 where y = 1
        z = block.logits * sign  # the logit of q
        q = torch.sigmoid(z, out=slopes)
        p = 1 - q
        # -log p is max(z, 0) - log(max(p, q)), for log1p takes as long as three logarithms. What
        # rounding took from p is (1 - p) - q.
        losses = z.clamp_(0, HUGE if self.gamma > 0 else None)
        losses.sub_(torch.maximum(p, q).log_()).sub_((1 - p).sub_(q))
        weight = block.weight
        if self.pair is not None:
            low, high = (block.own_images(w) if w.ndim == 3 else w for w in self.pair)
            own = torch.rsub(block.labels, 1).mul_(low).add_(block.labels * high)
            weight = own if weight is None else own.mul_(weight)
        if self.gamma > 0:
            power = q**self.gamma  # eq-focal-grad
            q.add_(p.mul_(losses).mul_(self.gamma)).mul_(power)
            losses.mul_(power)
        if weight is not None:
            losses.mul_(weight)
            sign.mul_(weight)
        if slopes is not None:
            slopes.mul_(sign.mul_(factor))
        return losses.sum()

    def _softmax(self, block: Block, factor: float, slopes: Tensor | None) -> Tensor:
        """The sum of the losses; into `slopes` go theirs times the factor."""
        label, centred = block.labels, block.centred
        log_own, e = centred.gather(1, label), centred.exp_()
        if self.gamma > 0:
            own = log_own.exp()
            # A tensor of zeros is scattered twice as fast as a number.
            rest = e.scatter_(1, label, torch.zeros_like(own)).sum(1, keepdim=True)
            every = own + rest
        else:
            every = e.sum(1, keepdim=True)
        losses = every.log().sub_(log_own)  # -log p
        # push is minus the slope by log p, times the factor.
        if self.gamma > 0:  # eq-focal-grad-softmax
            q = (rest / every).clamp_(min=torch.finfo(e.dtype).tiny)
            # -log p is -log(1 - q), which keeps its digits where q is at most 1/2. The sum of both
            # ranges is faster than a choice.
            losses.sub_(LOG_2).clamp_(0, HUGE).sub_(torch.log1p(-q.clamp(max=0.5)))
            power = q**self.gamma
            push = (losses * self.gamma).mul_(1 - q).div_(q).add_(1).mul_(power).mul_(factor)
            losses.mul_(power)
        else:
            push = torch.full_like(losses, factor)
        weight = block.weight
        if self.class_weight is not None:
            of_label = self.class_weight.index_select(0, label.flatten()).view_as(label)
            weight = of_label if weight is None else of_label.mul_(weight)
        if weight is not None:
            losses.mul_(weight)
            push.mul_(weight)
        if slopes is not None:
            torch.mul(e, push / every, out=slopes)
            if self.gamma > 0:
                slopes.scatter_(1, label, -push * q)  # p - 1 = -q
            else:
                slopes.scatter_add_(1, label, -push)
        total = losses.sum()
        # An infinite loss of a void pixel times 0 is NaN.
        return total if math.isfinite(total) else block.select(losses).sum()
