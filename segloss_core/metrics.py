"""Overlap of hard masks: the Dice coefficient and the Jaccard index, to report, not to train."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .checks import (
    check_choice,
    check_count,
    check_tensor,
    expect,
    expect_shape,
    peek,
    refuse,
)
from .inputs import MODES, Mode, find_valid, hard_mask
from .overlap import Regions, add_regions
from .ranks import max_over_ranks
from .reduction import Classes, Reduction, reduce_classes
from .sums import ratio, sum_by_class, total

if TYPE_CHECKING:  # torch may be built without it
    from torch.distributed import ProcessGroup


def dice_score(
    pred: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    num_classes: int | None = None,
    classes: Classes = "present",
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """The Dice coefficient (F1 score) of hard masks for each class, averaged.

    Formula:
        DC = 2 TP / (2 TP + FP + FN)

    Args:
        pred: Hard prediction: a bool or {0, 1} mask (binary, multilabel), or class ids
            (multiclass); in the target's shape.
        target: Binary: (B, *) or (B, 1, *), bool or {0, 1}. Multiclass: class ids (B, *).
            Multilabel: (B, C, *), bool or {0, 1}.
        mode: "binary", "multiclass" or "multilabel". Default "binary".
        num_classes: C, in multiclass mode. Default: one more than the largest id in pred and
            target (of all ranks); give it for `classes` "all" and under torch.compile.
        classes: Which classes are averaged: "present" (those with a target pixel), "all", or a
            list of class ids. Default "present".
        per_image: Take each image by itself, then average the images, instead of taking the whole
            batch as one region. Default False.
        ignore_index: Target pixels with this value are void. Default: none are.
        mask: Bool, (B, *) or the target's shape; False marks void pixels. Default: none are.
        reduction: "mean", "sum" or "none". Default "mean".
        process_group: A torch.distributed group, which every rank calls with its share of the
            batch; each gets the value of the whole batch. Default: this process alone.

    Returns:
        A float32 scalar in [0, 1], or with reduction "none" the score of each class, (C,), or
        (B, C) if `per_image`, and only the columns of `classes` if that is a list.

    Raises:
        TypeError, ValueError: A wrong dtype, shape, device, option or value, by name. Values are
            not looked at under torch.compile, torch.export and vmap.

    Convention:
        Normaliser: the mean divides by the number of classes counted, with `per_image` then by
        the number of images that count any.
        Empty: "present" leaves out a class without a target pixel. In binary mode, or where such a
        class is asked for, it scores 1 if none is predicted either, else 0. With nothing valid the
        result is 0.
        Void: void pixels have no effect, whatever pred holds there.
        Dtype: sums are taken in float64.

    Example:
        >>> import torch
        >>> pred, target = torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1]])
        >>> dice_score(pred, target)
        tensor(0.8000)

    References:
        Lee R. Dice: Measures of the Amount of Ecologic Association Between Species, 1945.

    Chapter: overlap measures.
    """
    overlap, predicted, regions = _hard_sums(
        pred, target, mode, num_classes, per_image, ignore_index, mask, process_group
    )
    score = _score(2 * overlap, predicted + regions.actual)  # eq-dice-coefficient
    return reduce_classes(score, regions, classes, None, reduction)


def jaccard_index(
    pred: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    num_classes: int | None = None,
    classes: Classes = "present",
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """The Jaccard index (intersection over union) of hard masks for each class, averaged.

    Formula:
        IoU = TP / (TP + FP + FN)

    Args:
        pred: Hard prediction: a bool or {0, 1} mask (binary, multilabel), or class ids
            (multiclass); in the target's shape.
        target: Binary: (B, *) or (B, 1, *), bool or {0, 1}. Multiclass: class ids (B, *).
            Multilabel: (B, C, *), bool or {0, 1}.
        mode: "binary", "multiclass" or "multilabel". Default "binary".
        num_classes: C, in multiclass mode. Default: one more than the largest id in pred and
            target (of all ranks); give it for `classes` "all" and under torch.compile.
        classes: Which classes are averaged: "present" (those with a target pixel), "all", or a
            list of class ids. Default "present".
        per_image: Take each image by itself, then average the images, instead of taking the whole
            batch as one region. Default False.
        ignore_index: Target pixels with this value are void. Default: none are.
        mask: Bool, (B, *) or the target's shape; False marks void pixels. Default: none are.
        reduction: "mean", "sum" or "none". Default "mean".
        process_group: A torch.distributed group, which every rank calls with its share of the
            batch; each gets the value of the whole batch. Default: this process alone.

    Returns:
        A float32 scalar in [0, 1], or with reduction "none" the score of each class, (C,), or
        (B, C) if `per_image`, and only the columns of `classes` if that is a list.

    Raises:
        TypeError, ValueError: A wrong dtype, shape, device, option or value, by name. Values are
            not looked at under torch.compile, torch.export and vmap.

    Convention:
        Normaliser: the mean divides by the number of classes counted, with `per_image` then by
        the number of images that count any.
        Empty: "present" leaves out a class without a target pixel. In binary mode, or where such a
        class is asked for, it scores 1 if none is predicted either, else 0. With nothing valid the
        result is 0.
        Void: void pixels have no effect, whatever pred holds there.
        Dtype: sums are taken in float64.

    Example:
        >>> import torch
        >>> pred, target = torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1]])
        >>> jaccard_index(pred, target)
        tensor(0.6667)

    References:
        Paul Jaccard: The Distribution of the Flora in the Alpine Zone, 1912.

    Chapter: overlap measures.
    """
    overlap, predicted, regions = _hard_sums(
        pred, target, mode, num_classes, per_image, ignore_index, mask, process_group
    )
    score = _score(overlap, predicted + regions.actual - overlap)  # eq-iou
    return reduce_classes(score, regions, classes, None, reduction)


def _hard_sums(
    pred: Tensor,
    target: Tensor,
    mode: Mode,
    num_classes: int | None,
    per_image: bool,
    ignore_index: int | None,
    mask: Tensor | None,
    process_group: ProcessGroup | None,
) -> tuple[Tensor, Tensor, Regions]:
    """The counts of two hard masks in place of the sums of probabilities."""
    check_choice("mode", mode, MODES)
    masks = {"pred": pred, "target": target}
    for name, x in masks.items():
        check_tensor(name, x)
        if x.is_floating_point() or x.is_complex():
            raise TypeError(f"{name}: expected bool or integers, a hard mask, got {x.dtype}")
    check_tensor("pred", pred, target.device)
    least = 2 if mode == "multilabel" else 1
    expect(target.ndim >= least, "target", f"at least {least} dimensions", target.shape)
    expect_shape("pred", pred, target.shape)
    valid = find_valid(target, mode, ignore_index, mask, target.shape)

    C = math.inf
    if mode != "multiclass":
        refuse("num_classes", num_classes, mode)
    elif num_classes is None:
        C = _largest_id(masks, valid, process_group) + 1
    else:
        C = check_count("num_classes", num_classes)
    p, y = (hard_mask(name, x, mode, valid, C) for name, x in masks.items())
    one = (torch.ones_like(y) if valid is None else valid).float()
    if mode == "multiclass":
        overlap = sum_by_class(one * (p == y), y, int(C))
        predicted, actual = sum_by_class(one, p, int(C)), sum_by_class(one, y, int(C))
    else:
        overlap, predicted, actual = (total(x.float()) for x in (p * y, p, y))
    rows = torch.stack([overlap, predicted, actual])
    overlap, predicted, actual, count = add_regions(rows, total(one), per_image, process_group)
    sums = (actual, predicted, count)
    regions = Regions.of(sums, mode, torch.float32, per_image, process_group)
    return overlap, predicted, regions


def _largest_id(
    masks: dict[str, Tensor], valid: Tensor | None, process_group: ProcessGroup | None
) -> int:
    largest = 0
    for name, x in masks.items():
        ids = hard_mask(name, x, "multiclass", valid, math.inf)
        value = peek(ids.amax()) if ids.numel() else 0
        if value is None:
            raise ValueError("num_classes: expected an int under torch.compile, got None")
        largest = max(largest, int(value))
    return max_over_ranks(largest, masks["target"].device, process_group)


def _score(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and 1 where both masks are empty."""
    return torch.where(denominator > 0, ratio(numerator, denominator), 1)
