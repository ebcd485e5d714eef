"""How pixel losses and class losses become one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from .checks import (
    Vector,
    check_choice,
    check_class_vector,
    check_int,
    check_positive,
    check_range,
    refuse,
)
from .fast import FocalForm, evaluate, on_cpu
from .inputs import Pixels
from .overlap import Regions
from .ranks import sum_over_ranks
from .sums import ratio, sum_dtype

Reduction = Literal["mean", "sum", "none"]
Classes = Literal["present", "all"] | Sequence[int]


def reduce_pixels(
    losses: Callable[[Pixels], Tensor],
    pixels: Pixels,
    reduction: Reduction,
    pixel_weight: Tensor | None = None,
    top_k: float | None = None,
    normalizer: Callable[[Pixels], Tensor | int] = Pixels.valid_total,
    form: FocalForm | None = None,
    weight_map: Tensor | None = None,
) -> Tensor:
    """Pixel losses to the result; the mean divides by what `normalizer` finds in the pixels.

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

    divisor: Tensor | int | None
    if top_k is not None and check_positive("top_k", top_k, high=1) < 1:
        losses_now = weighted(pixels._replace(input=pixels.input.detach())).detach()
        pixels, divisor = _hardest(losses_now, pixels, top_k, normalizer)
    elif normalizer is Pixels.valid_total:
        divisor = None  # counted by who adds up the losses
    else:
        divisor = normalizer(pixels)
    if reduction == "none":
        return weighted(pixels).reshape(pixels.shape)
    divisor = 1 if reduction == "sum" else divisor

    def formula(pixels: Pixels) -> Tensor:
        number = pixels.valid_total() if divisor is None else divisor
        return ratio(weighted(pixels).sum(), number)

    return evaluate(formula, form and replace(form, divisor=divisor), pixels)


def _hardest(
    losses: Tensor, pixels: Pixels, top_k: float, normalizer: Callable[[Pixels], Tensor | int]
) -> tuple[Pixels, Tensor | int]:
    """The pixels of the ceil(top_k n) largest losses, of n valid ones, and their normalizer.

    All others become void. Those equal to the smallest loss that counts share evenly what room is
    left, by a weight, so that the order of pixels does not matter.
    """
    if losses.numel() == 0:
        return pixels, normalizer(pixels)
    if pixels.valid is not None:
        losses = torch.where(pixels.valid, losses, -torch.inf)
    share = top_k * pixels.valid_count().sum().to(sum_dtype(losses))
    count = (share - 1e-6).ceil().clamp(min=1)  # 0.07 times 100 is more than 7
    if on_cpu(losses):
        smallest = losses.flatten().kthvalue(losses.numel() + 1 - int(count)).values
    else:  # where nobody knows the count yet
        smallest = losses.flatten().sort(descending=True).values.gather(0, count.long().view(1) - 1)
    above, equal = (losses > smallest) | losses.isnan(), losses == smallest
    part = (count - above.sum()) / equal.sum()
    weight = torch.where(equal, part.to(losses.dtype), 1)
    weight = weight if pixels.weight is None else weight * pixels.weight
    few, more = above, above | equal
    if pixels.valid is not None:
        few, more = few & pixels.valid, more & pixels.valid
    without, chosen = (normalizer(pixels._replace(valid=valid)) for valid in (few, more))
    return pixels._replace(valid=more, weight=weight), without + part * (chosen - without)


def not_below_0(losses: Tensor) -> Tensor:
    """Losses that rounding may have taken below 0; their gradient stays."""
    return losses - losses.detach().clamp(max=0)


def fill_empty(losses: Tensor, regions: Regions, smooth: float = 0.0) -> Tensor:
    """The loss of an empty class: its mean error (probability), which always has a gradient.

    With `smooth` the formula has a value of its own there, and keeps it.
    """
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
    counted = shares = counted_classes(regions, classes)
    if weight is not None:
        share = class_weights(weight, regions)
        losses, shares = losses * share, counted * share
    if reduction == "none":
        if not isinstance(classes, str):
            losses = torch.stack([losses[..., c] for c in classes], -1)
        return losses.to(regions.dtype)
    # The NaN of a class that does not count would else show in the gradient alone.
    losses = torch.where(counted | losses.isnan(), losses, 0)
    if reduction == "sum":
        return sum_over_ranks(losses.sum(), regions.process_group).to(regions.dtype)
    if regions.mode == "binary":  # the mean of one
        found = losses.squeeze(-1)
    else:
        found = ratio(losses.sum(-1), shares.sum(-1))
    if found.ndim > 0:  # of each image
        images = counted.any(-1).to(found.dtype)
        both = torch.stack([found.sum(), images.sum()])
        found = ratio(*sum_over_ranks(both, regions.process_group).unbind())
    return found.to(regions.dtype)


def class_weights(weight: Vector, regions: Regions) -> Tensor:
    if regions.mode == "binary":
        refuse("weight", weight, regions.mode, "pos_weight or beta weigh the foreground")
    return check_class_vector("weight", weight, regions.mean, regions.mean.shape[-1])


def counted_classes(regions: Regions, classes: Classes) -> Tensor:
    """Which classes count: bool, (C,) or (B, C)."""
    counted = regions.valid > 0
    if isinstance(classes, str):
        check_choice("classes", classes, ("present", "all"))
        if classes == "present" and regions.mode != "binary":
            counted = counted & (regions.actual > 0)
        return counted
    if not isinstance(classes, Sequence):
        raise TypeError(f"classes: expected 'present', 'all' or a list of ints, got {classes!r}")
    ids, count = [check_int("classes", c) for c in classes], counted.shape[-1]
    if not ids or len(set(ids)) < len(ids) or not set(ids) <= set(range(count)):
        raise ValueError(f"classes: expected distinct ids from 0 to {count - 1}, got {classes!r}")
    asked = torch.zeros_like(counted)
    for c in ids:
        asked[..., c] = True
    return counted & asked
