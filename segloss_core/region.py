"""Losses on overlaps: Dice, Jaccard and Tversky."""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import Vector, check_bool, check_number
from .inputs import Mode, prepare
from .module import LossModule, options_of
from .overlap import region_sums
from .ranks import ProcessGroup
from .reduction import Classes, Reduction, fill_empty, reduce_classes
from .sums import ratio


def dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    squared: bool = False,
    smooth: float = 0.0,
    classes: Classes = "present",
    weight: Vector | None = None,
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """One minus the Dice coefficient of each class, averaged over the classes.

    Formula:
        DL = 1 - (2 TP + s) / (2 TP + FP + FN + s)
        TP = sum min(p, y),  FP = sum relu(p - y),  FN = sum relu(y - p)

    For hard targets TP is sum p y and the denominator sum p + sum y. `squared` is V-Net's form,
    1 - (2 sum p y + s) / (sum p^2 + sum y^2 + s).

    Args:
        squared: Square p and y in the denominator, and take sum p y for TP. Default False.
        smooth: s, non-negative. Default 0.

    Convention:
        Normaliser: the number of classes counted, or the sum of their weights.
        Empty: a class without a target pixel costs its mean predicted probability, or with
        smooth > 0 what the formula says.

    Example:
        >>> import torch
        >>> p, y = torch.tensor([[0.5, 1.0, 0.0]]), torch.tensor([[0, 1, 1]])
        >>> dice_loss(p, y, from_logits=False)  # 1 - 2 / 3.5
        tensor(0.4286)

    References:
        Fausto Milletari, Nassir Navab, Seyed-Ahmad Ahmadi: V-Net, 2016, arXiv 1606.04797.
        Zifu Wang, Teodora Popordanoska, Jeroen Bertels, Robin Lemmens, Matthew B. Blaschko: Dice
        Semimetric Losses, 2023, arXiv 2303.16296 (soft targets).

    Chapter: Dice loss.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask, look=False)
    check_bool("squared", squared)
    smooth = check_number("smooth", smooth)
    overlap, predicted, regions = region_sums(pixels, per_image, process_group, squared)
    dice = ratio(2 * overlap + smooth, predicted + regions.actual + smooth)  # eq-dice
    losses = fill_empty(1 - dice, regions, smooth)
    return reduce_classes(losses, regions, classes, weight, reduction)


class DiceLoss(LossModule):
    """:func:`dice_loss` as a module."""

    @options_of(dice_loss)
    def __init__(self) -> None: ...


def jaccard_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    smooth: float = 0.0,
    classes: Classes = "present",
    weight: Vector | None = None,
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """One minus the Jaccard index (intersection over union) of each class, averaged.

    Formula:
        JL = 1 - (TP + s) / (TP + FP + FN + s)
        TP = sum min(p, y),  FP = sum relu(p - y),  FN = sum relu(y - p)

    For hard targets TP is sum p y and the denominator sum p + sum y - sum p y.

    Args:
        smooth: s, non-negative. Default 0.

    Convention:
        Normaliser: the number of classes counted, or the sum of their weights.
        Empty: a class without a target pixel costs its mean predicted probability, or with
        smooth > 0 what the formula says.

    Example:
        >>> import torch
        >>> p, y = torch.tensor([[0.5, 1.0, 0.0]]), torch.tensor([[0, 1, 1]])
        >>> jaccard_loss(p, y, from_logits=False)  # 1 - 1 / 2.5
        tensor(0.6000)

    References:
        Md Atiqur Rahman, Yang Wang: Optimizing Intersection-Over-Union in Deep Neural Networks for
        Image Segmentation, 2016.
        Zifu Wang, Xuefei Ning, Matthew B. Blaschko: Jaccard Metric Losses, 2023, arXiv 2302.05666
        (soft targets).

    Chapter: overlap measures.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask, look=False)
    smooth = check_number("smooth", smooth)
    overlap, predicted, regions = region_sums(pixels, per_image, process_group)
    union = predicted + regions.actual - overlap
    jaccard = ratio(overlap + smooth, union + smooth)  # eq-jaccard
    losses = fill_empty(1 - jaccard, regions, smooth)
    return reduce_classes(losses, regions, classes, weight, reduction)


class JaccardLoss(LossModule):
    """:func:`jaccard_loss` as a module."""

    @options_of(jaccard_loss)
    def __init__(self) -> None: ...


def tversky_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 1.0,
    smooth: float = 0.0,
    classes: Classes = "present",
    weight: Vector | None = None,
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """One minus the Tversky index of each class, to the power gamma, averaged over the classes.

    Formula:
        TI = (TP + s) / (TP + alpha FP + beta FN + s),  TL = (1 - TI)^gamma
        TP = sum min(p, y),  FP = sum relu(p - y),  FN = sum relu(y - p)

    alpha weighs false positives and beta false negatives. alpha = beta = 1/2 is Dice (where this s
    is half of the s of Dice), alpha = beta = 1 is Jaccard.

    Args:
        alpha: Weight of false positives, non-negative. Default 0.5.
        beta: Weight of false negatives, non-negative. Default 0.5.
        gamma: Positive exponent of the focal Tversky loss; the paper writes the exponent as
            1 / gamma, so its gamma = 4/3 is 0.75 here. Default 1.
        smooth: s, non-negative. Default 0.

    Convention:
        Normaliser: the number of classes counted, or the sum of their weights.
        Empty: a class without a target pixel costs its mean predicted probability, or with
        smooth > 0 what the formula says.
        Gamma: for gamma < 1 the slope is infinite at TI = 1; there it is taken as 0.

    Example:
        >>> import torch
        >>> p, y = torch.tensor([[0.5, 1.0, 0.0]]), torch.tensor([[0, 1, 1]])
        >>> tversky_loss(p, y, alpha=0.3, beta=0.7, from_logits=False)  # 1 - 1 / 1.85
        tensor(0.4595)

    References:
        Seyed Sadegh Mohseni Salehi, Deniz Erdogmus, Ali Gholipour: Tversky loss function for image
        segmentation using 3D fully convolutional deep networks, 2017, arXiv 1706.05721.
        Nabila Abraham, Naimul Mefraz Khan: A Novel Focal Tversky loss function, 2018,
        arXiv 1810.07842 (gamma).

    Chapter: Tversky loss.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask, look=False)
    alpha, beta = check_number("alpha", alpha), check_number("beta", beta)
    gamma, smooth = check_number("gamma", gamma), check_number("smooth", smooth)
    tp, predicted, regions = region_sums(pixels, per_image, process_group)
    fp, fn = predicted - tp, regions.actual - tp
    tversky = ratio(tp + smooth, tp + alpha * fp + beta * fn + smooth)  # eq-tversky
    losses = fill_empty(_power(1 - tversky, gamma), regions, smooth)  # eq-focal-tversky
    return reduce_classes(losses, regions, classes, weight, reduction)


class TverskyLoss(LossModule):
    """:func:`tversky_loss` as a module."""

    @options_of(tversky_loss)
    def __init__(self) -> None: ...


def _power(x: Tensor, exponent: float) -> Tensor:
    """x^exponent for x >= 0, with slope 0 where x is 0 (or below it by rounding)."""
    if exponent == 1:
        return x
    return torch.where(x <= 0, 0, torch.where(x <= 0, 1, x) ** exponent)
