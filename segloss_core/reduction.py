"""How pixel losses and class losses become one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from .checks import Vector, check_choice, check_class_vector, check_int, check_range, refuse
from .fast import FocalForm, evaluate
from .inputs import Pixels
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
    divisor = 1 if reduction == "sum" else normalizer

    def formula(pixels: Pixels) -> Tensor:
        number = pixels.valid_total() if divisor is None else divisor
        return ratio(weighted(pixels).sum(), number)

    return evaluate(formula, form and replace(form, divisor=divisor), pixels)


def fill_empty(losses: Tensor, regions: Regions, smooth: float = 0.0) -> Tensor:
    """The loss of an empty class: its mean error (probability), which always has a gradient.

    With `smooth` the formula has a value of its own there, and keeps it.
    """
    losses = losses - losses.detach().clamp(max=0)  # rounding may take a loss below 0
    return torch.where(regions.actual > 0, losses, regions.mean) if smooth == 0 else losses


def reduce_classes(
    losses: Tensor,
    regions: Regions,
    classes: Classes,
    weight: Vector | None,
    reduction: Reduction,
) -> Tensor:
    """Losses of the classes, (C,) or (B, C), to the result.

    The mean runs over the counted classes of an image, then over the images that have any. A class
    counts if it has a valid pixel and is asked for: by "all" or in a list, by "present" if it has
    a target pixel; the only class of a binary mask always is.
    """
    check_choice("reduction", reduction, get_args(Reduction))
    chosen = _chosen(classes, losses.shape[-1])
    share = torch.ones_like(losses[..., :1])
    if weight is not None:
        if regions.mode == "binary":
            refuse("weight", weight, regions.mode, "pos_weight or beta weigh the foreground")
        share = check_class_vector("weight", weight, losses, losses.shape[-1])
        losses = losses * share
    if reduction == "none":
        if chosen is not None:
            losses = torch.stack([losses[..., c] for c in chosen], -1)
        return losses.to(regions.dtype)
    counted = regions.valid > 0
    if chosen is not None:
        asked = torch.zeros_like(counted)
        for c in chosen:
            asked[..., c] = True
        counted = counted & asked
    elif classes == "present" and regions.mode != "binary":
        counted = counted & (regions.actual > 0)
    # The NaN of a class that does not count would else show in the gradient alone.
    losses = torch.where(counted | losses.isnan(), losses, 0)
    if reduction == "sum":
        return sum_over_ranks(losses.sum(), regions.process_group).to(regions.dtype)
    if regions.mode == "binary":  # the mean of one
        found = losses.squeeze(-1)
    else:
        found = ratio(losses.sum(-1), (counted * share).sum(-1))
    if found.ndim > 0:  # of each image
        images = counted.any(-1).to(found.dtype)
        both = torch.stack([found.sum(), images.sum()])
        found = ratio(*sum_over_ranks(both, regions.process_group).unbind())
    return found.to(regions.dtype)


def _chosen(classes: Classes, count: int) -> list[int] | None:
    """The ids of a list of classes; None for "present" and "all"."""
    if isinstance(classes, str):
        check_choice("classes", classes, ("present", "all"))
        return None
    if not isinstance(classes, Sequence):
        raise TypeError(f"classes: expected 'present', 'all' or a list of ints, got {classes!r}")
    ids = [check_int("classes", c) for c in classes]
    if not ids or len(set(ids)) < len(ids) or not set(ids) <= set(range(count)):
        raise ValueError(f"classes: expected distinct ids from 0 to {count - 1}, got {classes!r}")
    return ids
