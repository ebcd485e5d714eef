"""Overlap of hard masks: the Dice coefficient and the Jaccard index, to report, not to train."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .checks import (
    check_bool,
    check_choice,
    check_count,
    check_group,
    check_tensor,
    expect,
    expect_shape,
)
from .inputs import (
    MODES,
    Mode,
    check_hard,
    class_count,
    find_valid,
    hard_mask,
    without_one_channel,
)
from .overlap import Regions
from .ranks import ProcessGroup, sum_over_ranks
from .reduction import Classes, Reduction, reduce_classes
from .sums import ratio, sum_by_class, sum_dtype

Index = Callable[[Tensor, Tensor, Tensor], Tensor]


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

    Convention:
        Normaliser: the number of classes counted, with `per_image` then that of images.
        Empty: a class without a target pixel scores 1 if none is predicted either, else 0. With
        nothing valid the result is 0.

    Example:
        >>> import torch
        >>> pred, target = torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1]])
        >>> dice_score(pred, target)
        tensor(0.8000)

    References:
        Lee R. Dice: Measures of the Amount of Ecologic Association Between Species, 1945.

    Chapter: overlap measures.
    """
    counts = _counts(pred, target, mode, num_classes, ignore_index, mask, process_group)
    return _score(_dice, counts, mode, classes, per_image, reduction, process_group)


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

    Convention:
        Normaliser: the number of classes counted, with `per_image` then that of images.
        Empty: a class without a target pixel scores 1 if none is predicted either, else 0. With
        nothing valid the result is 0.

    Example:
        >>> import torch
        >>> pred, target = torch.tensor([[0, 1, 1, 1]]), torch.tensor([[0, 0, 1, 1]])
        >>> jaccard_index(pred, target)
        tensor(0.6667)

    References:
        Paul Jaccard: The Distribution of the Flora in the Alpine Zone, 1912.

    Chapter: overlap measures.
    """
    counts = _counts(pred, target, mode, num_classes, ignore_index, mask, process_group)
    return _score(_jaccard, counts, mode, classes, per_image, reduction, process_group)


def overlap_counts(
    pred: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    num_classes: int | None = None,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """TP, FP, FN and TN of hard masks for each class: counts that add over batches and ranks.

    Their sum gives `dice_from_counts` and `jaccard_from_counts` of a data set, the same
    numbers as one call with all of its images. `torch.distributed.all_reduce(counts)` adds up what
    several ranks have counted.

    Args:
        num_classes: C, which multiclass mode asks for, so that counts add. Default: none.

    Returns:
        TP, FP, FN and TN over the valid pixels, as integers (4, C), or (4,) in binary mode.

    Example:
        >>> import torch
        >>> batches = [(torch.rand(4, 2, 5) > 0.5, torch.rand(4, 2, 5) > 0.5) for _ in range(3)]
        >>> counts = 0
        >>> for pred, target in batches:
        ...     counts = counts + overlap_counts(pred, target)
        >>> of_all = jaccard_index(*(torch.cat(masks) for masks in zip(*batches)))
        >>> jaccard_from_counts(counts) == of_all
        tensor(True)

    Chapter: overlap measures.
    """
    if mode == "multiclass":
        num_classes = check_count("num_classes", num_classes)
    counts = _counts(pred, target, mode, num_classes, ignore_index, mask, None).sum(1)
    return counts.squeeze(-1) if mode == "binary" else counts


def dice_from_counts(
    counts: Tensor, *, classes: Classes = "present", reduction: Reduction = "mean"
) -> Tensor:
    """The Dice coefficient of the data set whose `overlap_counts` were added up.

    Args:
        counts: Integers (4, C), or (4,) of a binary mask: TP, FP, FN and TN.

    Returns:
        A float32 scalar in [0, 1], or with reduction "none" the score of each class.

    Example:
        >>> import torch
        >>> dice_from_counts(torch.tensor([2, 1, 0, 1]))  # 4 / 5
        tensor(0.8000)

    Chapter: overlap measures.
    """
    return _of_data_set(_dice, counts, classes, reduction)


def jaccard_from_counts(
    counts: Tensor, *, classes: Classes = "present", reduction: Reduction = "mean"
) -> Tensor:
    """The Jaccard index of the data set whose `overlap_counts` were added up.

    Args:
        counts: Integers (4, C), or (4,) of a binary mask: TP, FP, FN and TN.

    Returns:
        A float32 scalar in [0, 1], or with reduction "none" the score of each class.

    Example:
        >>> import torch
        >>> jaccard_from_counts(torch.tensor([2, 1, 0, 1]))  # 2 / 3
        tensor(0.6667)

    Chapter: overlap measures.
    """
    return _of_data_set(_jaccard, counts, classes, reduction)


def _dice(tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
    return _or_perfect(2 * tp, 2 * tp + fp + fn)  # eq-dice-coefficient


def _jaccard(tp: Tensor, fp: Tensor, fn: Tensor) -> Tensor:
    return _or_perfect(tp, tp + fp + fn)  # eq-iou


def _or_perfect(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and 1 where both masks are empty."""
    return torch.where(denominator > 0, ratio(numerator, denominator), 1)


def _of_data_set(index: Index, counts: Tensor, classes: Classes, reduction: Reduction) -> Tensor:
    check_tensor("counts", counts)
    ok = counts.ndim in (1, 2) and len(counts) == 4
    expect(ok, "counts", "shape (4,) or (4, C)", counts.shape, "sums of overlap_counts")
    mode: Mode = "binary" if counts.ndim == 1 else "multilabel"
    rows = counts.reshape(4, 1, -1)
    return _score(index, rows, mode, classes, False, reduction, None)


def _score(
    index: Index,
    counts: Tensor,
    mode: Mode,
    classes: Classes,
    per_image: bool,
    reduction: Reduction,
    process_group: ProcessGroup | None,
) -> Tensor:
    """The index from the counts of each image, (4, B, C)."""
    check_bool("per_image", per_image)
    if not per_image:
        counts = sum_over_ranks(counts.sum(1), process_group)
    tp, fp, fn, tn = counts.to(sum_dtype(counts))
    score = index(tp, fp, fn)
    left = process_group if per_image else None
    regions = Regions(tp + fn, score, tp + fp + fn + tn, mode, torch.float32, left)
    return reduce_classes(score, regions, classes, None, reduction)


def _counts(
    pred: Tensor,
    target: Tensor,
    mode: Mode,
    num_classes: int | None,
    ignore_index: int | None,
    mask: Tensor | None,
    process_group: ProcessGroup | None,
) -> Tensor:
    """TP, FP, FN and TN of each image and class, (4, B, C), in int64."""
    masks = hard_masks(pred, target, mode, num_classes, ignore_index, mask, process_group)
    p, y, valid = masks.pred, masks.target, masks.valid
    one = torch.ones_like(y, dtype=torch.bool) if valid is None else valid
    if mode == "multiclass":
        overlap, predicted, actual = (
            sum_by_class(x, labels, int(masks.classes)).long()
            for x, labels in ((one & (p == y), y), (one, p), (one, y))
        )
    else:
        overlap, predicted, actual = (x.sum(-1) for x in (p * y, p, y))
    count = one.sum(-1).expand_as(actual)
    rest = count - predicted - actual + overlap
    return torch.stack([overlap, predicted - overlap, actual - overlap, rest])


class HardMasks(NamedTuple):
    """A checked pair of masks: (B, 1, N) class ids, or 0 and 1 (B, C, N); 0 under void pixels."""

    pred: Tensor
    target: Tensor
    valid: Tensor | None
    classes: float  # infinite where each channel is one
    shape: torch.Size  # as the caller sees it


def hard_masks(
    pred: Tensor,
    target: Tensor,
    mode: Mode,
    num_classes: int | None,
    ignore_index: int | None,
    mask: Tensor | None,
    process_group: ProcessGroup | None,
) -> HardMasks:
    check_choice("mode", mode, MODES)
    check_group(process_group)
    pred, target = check_hard("pred", pred, mode), check_hard("target", target, mode)
    check_tensor("pred", pred, target.device)
    least = 2 if mode == "multilabel" else 1
    expect(target.ndim >= least, "target", f"at least {least} dimensions", target.shape)
    if mode != "multilabel" and pred.ndim != target.ndim:  # a channel stands beside none
        pred, target = without_one_channel(pred), without_one_channel(target)
    expect_shape("pred", pred, target.shape)
    valid = find_valid(target, mode, ignore_index, mask, target.shape)

    masks = {"pred": pred, "target": target}
    C = class_count(masks, valid, mode, num_classes, process_group)
    p = hard_mask("pred", pred, mode, valid, C)
    y = hard_mask("target", target, mode, valid, C)
    return HardMasks(p, y, valid, C, target.shape)
