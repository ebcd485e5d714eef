"""Pixel losses of the form w q^gamma (-log p), p of the label and q = 1 - p, in one pass.

gamma = 0 is cross entropy. Value and gradient come from the same block of probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..inputs import Mode, Pixels
from .dispatch import Block, Kernel, Pull, blocks

LOG_2 = math.log(2)

Pair = tuple[float | Tensor, float | Tensor]


@dataclass(frozen=True)
class PowerOfError:
    """What w is made of, beside a weight of each pixel."""

    gamma: float = 0.0
    class_weight: Tensor | None = None  # (C,), the label's entry; of several classes
    pair: Pair | None = None  # for y = 0 and y = 1; tensors are (C, 1), or (1 or B, C, 1)
    saved: int = 1  # tensors of the input's size; as good as none if the formula is a call of torch

    @property
    def tensors(self) -> list[Tensor]:
        every = (self.class_weight, *(self.pair or ()))
        return [weight for weight in every if isinstance(weight, Tensor)]

    def kernel(self, mode: Mode, divisor: Tensor | float, pixel_weight: Tensor | None) -> Kernel:
        """The sum over the pixels divided by a number; pixel weights are (B, 1 or C, N)."""
        if mode == "multiclass":
            step = _softmax_step(self.gamma, self.class_weight, pixel_weight)
        else:
            step = _sigmoid_step(self.gamma, self.pair, pixel_weight)
        return _sum_over_blocks(step, divisor)


# Takes a block and a factor, gives the sum of the losses, and writes the slopes times the factor.
Step = Callable[[Block, float, Tensor | None], Tensor]


def _sigmoid_step(gamma: float, pair: Pair | None, pixel_weight: Tensor | None) -> Step:
    def step(block: Block, factor: float, slope: Tensor | None) -> Tensor:
        sign = torch.rsub(block.y, 1, alpha=2)  # 1 where y = 0, -1 where y = 1
        z = block.logits() * sign  # the logit of q
        q = z.sigmoid()
        p = 1 - q
        # -log p = max(z, 0) - log(max(p, q)), for a log1p costs three logs; (1 - p) - q is what
        # rounding took from p.
        losses = z.clamp_(min=0).sub_(torch.maximum(p, q).log_()).sub_(1 - p).add_(q)
        weight = block.weight(pixel_weight)
        if pair is not None:
            low, high = (_beside(block, w) for w in pair)
            own = low + (high - low) * block.y
            weight = own if weight is None else own.mul_(weight)
        if gamma > 0:
            power = q**gamma  # eq-focal-grad
            q = p.mul_(losses).mul_(gamma).add_(q).mul_(power)
            losses.mul_(power)
        if weight is not None:
            losses.mul_(weight)
            sign.mul_(weight)
        if slope is not None:
            torch.mul(q, sign.mul_(factor), out=slope)
        return losses.sum()

    return step


def _softmax_step(gamma: float, class_weight: Tensor | None, pixel_weight: Tensor | None) -> Step:
    def step(block: Block, factor: float, slope: Tensor | None) -> Tensor:
        label, centred = block.y, block.centred()
        log_own, e = centred.gather(1, label), centred.exp_()
        if gamma > 0:
            own = log_own.exp()
            # A tensor of zeros is scattered twice as fast as a number.
            rest = e.scatter_(1, label, torch.zeros_like(own)).sum(1, keepdim=True)
            every = own + rest
        else:
            every = e.sum(1, keepdim=True)
        losses = every.log().sub_(log_own)  # -log p
        # push is minus the slope by log p, times the factor.
        if gamma > 0:  # eq-focal-grad-softmax
            q = (rest / every).clamp_(min=torch.finfo(e.dtype).tiny)
            # From 1/2 downwards -log p is -log(1 - q), which keeps its digits; a choice is slow.
            losses.sub_(LOG_2).clamp_(min=0).sub_(torch.log1p(-q.clamp(max=0.5)))
            power = q**gamma
            push = (losses * gamma).mul_(1 - q).div_(q).add_(1).mul_(power).mul_(factor)
            losses.mul_(power)
        else:
            push = torch.full_like(losses, factor)
        weight = block.weight(pixel_weight)
        if class_weight is not None:
            of_label = class_weight.index_select(0, label.flatten()).view_as(label)
            weight = of_label if weight is None else of_label.mul_(weight)
        if weight is not None:
            losses.mul_(weight)
            push.mul_(weight)
        if slope is not None:
            torch.mul(e, push / every, out=slope)
            if gamma > 0:
                slope.scatter_(1, label, -push * q)  # p - 1 = -q
            else:
                slope.scatter_add_(1, label, -push)
        return losses.sum()

    return step


def _sum_over_blocks(step: Step, divisor: Tensor | float) -> Kernel:
    def kernel(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull | None]:
        x, n = pixels.input, float(divisor)
        factor = 1 / n if n > 0 else 0.0
        gradient = torch.empty_like(x) if differentiable else None
        total = 0.0
        for block in blocks(pixels):
            slope = None if gradient is None else gradient[block.at]
            total += step(block, factor, slope).item()
        pull = None if gradient is None else _pull(gradient)
        return x.new_full((), total * factor), pull

    return kernel


def _pull(gradient: Tensor) -> Pull:
    return lambda slope: gradient if slope == 1 else gradient.mul_(slope)


def _beside(block: Block, weight: float | Tensor) -> float | Tensor:
    if isinstance(weight, Tensor) and weight.ndim == 3:
        return block.own_images(weight)
    return weight
