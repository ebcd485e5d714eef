"""How pixel losses and class losses become one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from .checks import check_choice, check_class_vector, check_range, refuse
from .fast import FocalForm, evaluate
from .inputs import Mode, Pixels
from .overlap import Regions
from .ranks import sum_over_ranks
from .sums import ratio

Reduction = Literal["mean", "sum", "none"]
Classes = Literal["present", "all"] | Sequence[int]


def reduce_pixels(
    losses: Callable[[Pixels], Tensor],
    pixels: Pixels,
    reduction: Reduction,
    pixel_weight: Tensor | None = None,
    normalizer: Tensor | None = None,
    form: FocalForm | None = None,
    weight_map: Tensor | None = None,
) -> Tensor:
    """Pixel losses to the result; the mean divides by `normalizer`, else by the valid pixels.

    `weight_map`, (B, 1 or C, N), multiplies the losses as `pixel_weight` does. A kernel can give
    their sum faster where they are of the `form`.
    """
    check_choice("reduction", reduction, get_args(Reduction))
    weight = weight_map
    if pixel_weight is not None:
        weight = pixels.flatten_map("pixel_weight", pixel_weight)
        check_range("pixel_weight", pixels.select(weight), 0, torch.inf)
        weight = weight if weight_map is None else weight * weight_map
    pixels = pixels._replace(weight=weight)

    def weighted(pixels: Pixels) -> Tensor:
        found = losses(pixels)
        return pixels.select(
            found if pixels.weight is None else found * pixels.weight.to(found.dtype)
        )

    if reduction == "none":
        return weighted(pixels).reshape(pixels.shape)
    if reduction == "sum":
        divisor: Tensor | float = 1
    else:
        divisor = pixels.valid_total() if normalizer is None else normalizer

    def formula(pixels: Pixels) -> Tensor:
        return ratio(weighted(pixels).sum(), divisor)

    return evaluate(formula, form and replace(form, divisor=divisor), pixels)


def fill_empty(losses: Tensor, regions: Regions, smooth: float = 0.0) -> Tensor:
    """The loss of an empty class: its mean predicted probability, which always has a gradient.

    With `smooth` the formula has a value of its own there, and keeps it.
    """
    losses = losses - losses.detach().clamp(max=0)  # rounding may take a loss below 0
    return torch.where(regions.actual > 0, losses, regions.mean) if smooth == 0 else losses


def reduce_classes(
    losses: Tensor,
    regions: Regions,
    classes: Classes,
    weight: Tensor | None,
    reduction: Reduction,
) -> Tensor:
    """Losses of the classes, (C,) or (B, C), to the result.

    The mean runs over the counted classes of an image, then over the images that have any. A class
    counts if it has a valid pixel and is asked for: by "all" or in a list, by "present" if it has
    a target pixel; the only class of a binary mask always is.
    """
    check_choice("reduction", reduction, get_args(Reduction))
    counted = regions.valid > 0
    vector = None
    if weight is not None:
        vector = _class_weight(weight, losses, regions.mode)
    if isinstance(classes, str):
        check_choice("classes", classes, ("present", "all"))
        if classes == "present" and regions.mode != "binary":
            counted = counted & (regions.actual > 0)
    else:
        chosen = _class_list(classes, losses.shape[-1])
        losses, counted = losses[..., chosen], counted[..., chosen]
        vector = None if vector is None else vector[chosen]
    if vector is not None:
        losses = losses * vector
    if reduction == "none":
        return losses.to(regions.dtype)
    losses = torch.where(counted, losses, 0)
    if reduction == "sum":
        return sum_over_ranks(losses.sum(), regions.process_group).to(regions.dtype)
    if regions.mode == "binary":  # the mean of one
        found = losses.squeeze(-1)
    else:
        share = counted.to(losses.dtype) if vector is None else counted * vector
        found = ratio(losses.sum(-1), share.sum(-1))
    if found.ndim > 0:  # of each image
        images = counted.any(-1).to(found.dtype)
        both = torch.stack([found.sum(), images.sum()])
        found = ratio(*sum_over_ranks(both, regions.process_group).unbind())
    return found.to(regions.dtype)


def _class_list(classes: Sequence[int], count: int) -> list[int]:
    if not isinstance(classes, Sequence) or not all(type(c) is int for c in classes):
        raise TypeError(f"classes: expected 'present', 'all' or a list of ints, got {classes!r}")
    if not classes or len(set(classes)) < len(classes) or not set(classes) <= set(range(count)):
        raise ValueError(f"classes: expected distinct ids from 0 to {count - 1}, got {classes!r}")
    return list(classes)


def _class_weight(weight: Tensor, losses: Tensor, mode: Mode) -> Tensor:
    if mode == "binary":
        refuse("weight", weight, mode)
    vector = check_class_vector("weight", weight, losses.device, losses.shape[-1])
    return vector.to(losses.dtype)
