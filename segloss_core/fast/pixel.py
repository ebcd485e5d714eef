"""Pixel losses of the form w q^gamma (-log p), p of the label and q = 1 - p, in one pass.

gamma = 0 is cross entropy. Value and gradient come from the same block of probabilities.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..inputs import Pixels
from .dispatch import Block, Kernel, Pull, blocks, scale_gradient

# Takes the divisor of the sum and the pixel weights, (B, 1 or C, N).
PixelKernel = Callable[[Tensor, Tensor | None], Kernel]
Pair = tuple[float | Tensor, float | Tensor]


def sigmoid_power(
    gamma: float, pair: Pair | None, divisor: Tensor, pixel_weight: Tensor | None
) -> Kernel:
    """w is the pixel weight times the number of the pair for y = 0 or for y = 1; tensors are
    (C, 1), or (1 or B, C, 1)."""

    def step(block: Block, factor: float, slope: Tensor | None) -> Tensor:
        sign = torch.rsub(block.y, 1, alpha=2)  # 1 where y = 0, -1 where y = 1
        z = block.x * sign  # the logit of q
        q = z.sigmoid()
        rare = torch.minimum(q, 1 - q)  # of p and q
        losses = z.clamp_(min=0).sub_(rare.neg_().log1p_())  # -log p = max(z, 0) - log(1 - rare)
        weight = block.weight(pixel_weight)
        if pair is not None:
            low, high = (_of_images(w, block) for w in pair)
            own = low + (high - low) * block.y
            weight = own if weight is None else own.mul_(weight)
        if gamma > 0:
            power = q**gamma  # eq-focal-grad
            q = (1 - q).mul_(losses).mul_(gamma).add_(q).mul_(power)
            losses.mul_(power)
        if weight is not None:
            losses.mul_(weight)
            sign.mul_(weight)
        if slope is not None:
            torch.mul(q, sign.mul_(factor), out=slope)
        return losses.sum()

    return _sum_over_blocks(step, divisor)


def softmax_power(
    gamma: float, class_weight: Tensor | None, divisor: Tensor, pixel_weight: Tensor | None
) -> Kernel:
    """w is the pixel weight times the label's entry of the class weights, (C,)."""

    def step(block: Block, factor: float, slope: Tensor | None) -> Tensor:
        x, label = block.x, block.y
        e = (x - block.top).exp_()
        log_own = x.gather(1, label).sub_(block.top)
        if gamma > 0:
            own = log_own.exp()
            rest = e.scatter_(1, label, 0).sum(1, keepdim=True)
            every = own + rest
        else:
            every = e.sum(1, keepdim=True)
        losses = every.log().sub_(log_own)  # -log p
        push = torch.ones_like(losses)  # minus the slope by log p
        if gamma > 0:  # eq-focal-softmax-grad
            q = (rest / every).clamp_(min=torch.finfo(e.dtype).tiny)
            losses = torch.where(q < 0.5, -torch.log1p(-q), losses)
            power = q**gamma
            push = power + gamma * power * losses * (1 - q) / q
            losses = power * losses
        weight = block.weight(pixel_weight)
        if class_weight is not None:
            of_label = class_weight[label]
            weight = of_label if weight is None else of_label.mul_(weight)
        if weight is not None:
            losses.mul_(weight)
            push.mul_(weight)
        if slope is not None:
            push.mul_(factor)
            torch.mul(e, push / every, out=slope)
            if gamma > 0:
                slope.scatter_(1, label, -push * q)  # p - 1 = -q
            else:
                slope.scatter_add_(1, label, -push)
        return losses.sum()

    return _sum_over_blocks(step, divisor)


def _sum_over_blocks(
    step: Callable[[Block, float, Tensor | None], Tensor], divisor: Tensor
) -> Kernel:
    """A step gives the sum of a block's losses, and writes the slope of each times the factor."""

    def kernel(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull]:
        x, n = pixels.input, divisor.item()
        factor = 1 / n if n > 0 else 0.0
        gradient = torch.empty_like(x) if differentiable else None
        total = 0.0
        for block in blocks(pixels):
            slope = None if gradient is None else gradient[block.at]
            total += step(block, factor, slope).item()
        return x.new_full((), total * factor), scale_gradient(gradient)

    return kernel


def _of_images(weight: float | Tensor, block: Block) -> float | Tensor:
    several = isinstance(weight, Tensor) and weight.ndim == 3 and weight.shape[0] > 1
    return weight[block.at[0]] if isinstance(weight, Tensor) and several else weight
