"""How pixel losses and class losses become one number."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from .inputs import Pixels, check_choice, check_range

Reduction = Literal["mean", "sum", "none"]


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and 0 (with gradient 0) where the denominator is 0."""
    return numerator / torch.where(denominator > 0, denominator, torch.inf)


def reduce_pixels(
    losses: Tensor,
    pixels: Pixels,
    reduction: Reduction,
    pixel_weight: Tensor | None = None,
    normalizer: Tensor | None = None,
) -> Tensor:
    """Pixel losses to the result; the mean divides by `normalizer`, else by the valid pixels."""
    check_choice("reduction", reduction, get_args(Reduction))
    if pixel_weight is not None:
        pixel_weight = pixels.select(pixels.spread("pixel_weight", pixel_weight))
        check_range("pixel_weight", pixel_weight, 0, torch.inf)
        losses = losses * pixel_weight
    losses = pixels.select(losses)
    if reduction == "none":
        return losses.reshape(pixels.shape)
    if reduction == "sum":
        return losses.sum()
    return ratio(losses.sum(), pixels.present().sum() if normalizer is None else normalizer)
