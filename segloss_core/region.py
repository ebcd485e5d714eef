"""Losses on the sums of a region: Dice, Jaccard, Tversky, and any score of their counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from .checks import Vector, call, check_bool, check_choice, check_function, check_number
from .inputs import Mode, Pixels, prepare
from .module import LossModule, options_of
from .overlap import Regions, region_sums
from .ranks import ProcessGroup
from .reduction import (
    Classes,
    Reduction,
    class_weights,
    counted_classes,
    fill_empty,
    not_below_0,
    reduce_classes,
)
from .sums import ratio

# A score, 1 at best, from TP, FP, FN and TN.
Index = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
# A loss from a score.
Transform = Callable[[Tensor], Tensor] | Literal["log", "log_cosh"]


def dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    squared: bool = False,
    smooth: float = 0.0,
    transform: Transform | None = None,
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
    loss = _loss_of_score(transform, pixels, regions)
    return _reduce_scores(dice, loss, smooth, regions, classes, weight, reduction)


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
    transform: Transform | None = None,
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
    loss = _loss_of_score(transform, pixels, regions)
    return _reduce_scores(jaccard, loss, smooth, regions, classes, weight, reduction)


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
    transform: Transform | None = None,
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
    loss = _loss_of_score(transform, pixels, regions)
    if gamma != 1:
        if transform is not None:
            raise ValueError(f"gamma: expected 1 beside a transform, got {gamma} (it is one, too)")
        loss = partial(_power_of_error, gamma=gamma)  # eq-focal-tversky
    return _reduce_scores(tversky, loss, smooth, regions, classes, weight, reduction)


class TverskyLoss(LossModule):
    """:func:`tversky_loss` as a module."""

    @options_of(tversky_loss)
    def __init__(self) -> None: ...


def mcc_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    classes: Classes = "present",
    weight: Vector | None = None,
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """One minus the Matthews correlation coefficient (phi) of each class, averaged.

    Formula:
        ML = 1 - (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))
        TP = sum min(p, y),  FP = sum relu(p - y),  FN = sum relu(y - p)

    TN are the other pixels. Unlike an overlap it counts them: exchanging p with 1 - p and y with
    1 - y changes nothing. It lies in [0, 2]; a prediction that knows nothing costs 1.

    Convention:
        Normaliser: the number of classes counted, or the sum of their weights.
        Empty: a class without a target pixel costs its mean predicted probability p, a class
        without any other pixel the mean of 1 - p.

    Example:
        >>> import torch
        >>> p, y = torch.tensor([[0.9, 0.8, 0.3, 0.2]]), torch.tensor([[1, 1, 0, 0]])
        >>> mcc_loss(p, y, from_logits=False)  # 1 - 2.4 / sqrt(2.2 * 1.8 * 4)
        tensor(0.3970)

    References:
        Kumar Abhishek, Ghassan Hamarneh: Matthews Correlation Coefficient Loss for Deep
        Convolutional Networks: Application to Skin Lesion Segmentation, 2021, arXiv 2010.13454.

    Chapter: overlap measures.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask, look=False)
    tp, predicted, regions = region_sums(pixels, per_image, process_group)
    # In shares of the pixels (TP TN - FP FN) / N^2 is tp - p y, of numbers that overflow nowhere.
    tp, p, y = (ratio(x, regions.valid) for x in (tp, predicted, regions.actual))
    # The first root has a finite slope at p = 0 and 1, too. Without another side of the target the
    # quotient is replaced, and a denominator of 1 keeps its second derivative from being NaN.
    p_margin, y_margin = (not_below_0(x * (1 - x)) for x in (p, y))
    spread = (p_margin + pixels.eps**2).sqrt() * torch.where(y_margin > 0, y_margin, 1).sqrt()
    mcc = (tp - p * y) / spread  # eq-mcc
    mcc = torch.where(y < 1, mcc, p)
    return _reduce_scores(mcc, _one_minus, 0, regions, classes, weight, reduction)


class MCCLoss(LossModule):
    """:func:`mcc_loss` as a module."""

    @options_of(mcc_loss)
    def __init__(self) -> None: ...


def generalized_dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    weight: Literal["inverse_square", "inverse"] | Vector = "inverse_square",
    classes: Classes = "present",
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """One minus one Dice coefficient of all classes, their sums added up with weights.

    Formula:
        GDL = 1 - 2 sum_c w_c TP_c / sum_c w_c (2 TP_c + FP_c + FN_c),  w_c = 1 / Y_c^2
        TP = sum min(p, y),  FP = sum relu(p - y),  FN = sum relu(y - p),  Y = sum y

    Dice losses of the classes are averaged after the quotient, these sums are added before it.

    Args:
        weight: w: "inverse_square" (1 / Y^2), "inverse" (1 / Y), or class weights (C,),
            non-negative, a tensor or a list. Default "inverse_square".

    Convention:
        Normaliser: none, all classes are one region; with `per_image` the number of images. With
        reduction "none" it is (1,), or (B, 1).
        Empty: absent classes are left out, by "all" and a list too. Where no class is left, those
        asked for (all of these, or the one of a binary mask) cost their mean probability.

    Example:
        >>> import torch
        >>> p, y = torch.tensor([[0.9, 0.8, 0.3, 0.2]]), torch.tensor([[1, 1, 0, 0]])
        >>> both = torch.stack([1 - p, p], 1)
        >>> generalized_dice_loss(both, y, mode="multiclass", from_logits=False)
        tensor(0.2000)

    References:
        Carole H. Sudre, Wenqi Li, Tom Vercauteren, Sébastien Ourselin, M. Jorge Cardoso:
        Generalised Dice overlap as a deep learning loss function for highly unbalanced
        segmentations, 2017, arXiv 1707.03237.

    Chapter: Dice loss.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask, look=False)
    tp, predicted, regions = region_sums(pixels, per_image, process_group)
    size, counted = regions.actual, counted_classes(regions, classes)
    if isinstance(weight, str):
        check_choice("weight", weight, ("inverse_square", "inverse"))
        w = ratio(torch.ones_like(size), size**2 if weight == "inverse_square" else size)
    else:
        w = class_weights(weight, regions)
    w = torch.where(counted & (size > 0), w, 0)

    def over_classes(x: Tensor) -> Tensor:
        return x.sum(-1, keepdim=True)

    # eq-generalized-dice
    dice = ratio(2 * over_classes(w * tp), over_classes(w * (predicted + size)))
    whole = regions._replace(
        actual=over_classes(w * size),
        mean=ratio(over_classes(counted * regions.mean), over_classes(counted)),
        valid=over_classes(counted * regions.valid),
        mode="binary",  # one region, which always counts where one of its classes does
    )
    return _reduce_scores(dice, _one_minus, 0, whole, "present", None, reduction)


class GeneralizedDiceLoss(LossModule):
    """:func:`generalized_dice_loss` as a module."""

    @options_of(generalized_dice_loss)
    def __init__(self) -> None: ...


def region_loss(
    input: Tensor,
    target: Tensor,
    *,
    index: Index,
    transform: Transform | None = None,
    mode: Mode = "binary",
    classes: Classes = "present",
    weight: Vector | None = None,
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """A loss of a region that you write down, under the rules of all others.

    Formula:
        L = 1 - s(TP, FP, FN, TN)
        TP = sum min(p, y),  FP = sum relu(p - y),  FN = sum relu(y - p)

    TN are the other pixels.

    Args:
        index: s, a score, 1 at best, from TP, FP, FN and TN: float64, (C,) or with `per_image`
            (B, C). It is made of torch's operations, number by number, and defined once: the first
            call tries it. ``lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn)`` is Dice.

    Convention:
        Normaliser: the number of classes counted, or the sum of their weights.
        Empty: a class without a target pixel costs its mean predicted probability; `index` is not
        asked for it.

    Example:
        >>> import torch
        >>> p, y = torch.tensor([[0.9, 0.8, 0.3, 0.2]]), torch.tensor([[1, 1, 0, 0]])
        >>> f2 = lambda tp, fp, fn, tn: 5 * tp / (5 * tp + fp + 4 * fn)
        >>> region_loss(p, y, index=f2, from_logits=False)  # recall counts twice as much
        tensor(0.1667)

    Chapter: One map of all losses.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask, look=False)
    tp, predicted, regions = region_sums(pixels, per_image, process_group)
    check_function("index", index, Tensor.unbind, _some_counts(tp))
    fp, fn = not_below_0(predicted - tp), not_below_0(regions.actual - tp)
    counts = tp, fp, fn, not_below_0(regions.valid - predicted - fn)
    # An empty class is filled; what an index makes of it may be NaN.
    score = call("index", index, *(torch.where(regions.actual > 0, x, 1) for x in counts))
    loss = _loss_of_score(transform, pixels, regions)
    return _reduce_scores(score, loss, 0, regions, classes, weight, reduction)


class RegionLoss(LossModule):
    """:func:`region_loss` as a module."""

    @options_of(region_loss)
    def __init__(self) -> None: ...


def _reduce_scores(
    scores: Tensor,
    loss: Callable[[Tensor], Tensor],
    smooth: float,
    regions: Regions,
    classes: Classes,
    weight: Vector | None,
    reduction: Reduction,
) -> Tensor:
    """Scores of the classes, 1 at best, to the result: what all losses of counts end with."""
    scores = scores - (scores.detach() - 1).clamp(min=0)  # by rounding
    if smooth == 0 and loss is not _one_minus:  # an empty class is filled, whatever it gets here
        scores = torch.where(regions.actual > 0, scores, 0.5)
    losses = fill_empty(loss(scores), regions, smooth)
    return reduce_classes(losses, regions, classes, weight, reduction)


def _loss_of_score(
    transform: Transform | None, pixels: Pixels, regions: Regions
) -> Callable[[Tensor], Tensor]:
    if transform is None:
        return _one_minus
    if isinstance(transform, str):
        check_choice("transform", transform, ("log", "log_cosh"))
        return partial(_log, eps=pixels.eps) if transform == "log" else _log_cosh
    points = (torch.full_like(regions.mean.detach(), x) for x in (0, 0.3, 0.7, 1))
    check_function("transform", transform, lambda x: [x], points)
    return partial(call, "transform", transform)


def _one_minus(score: Tensor) -> Tensor:
    return 1 - score


def _power_of_error(score: Tensor, gamma: float) -> Tensor:
    """(1 - s)^gamma, with slope 0 where s is 1."""
    error = 1 - score
    return torch.where(error <= 0, 0, torch.where(error <= 0, 1, error) ** gamma)


def _log(score: Tensor, eps: float) -> Tensor:
    """-log s, but finite at s = 0, with a slope of 1 / eps."""
    return -torch.log(score + eps * (1 - score))


def _log_cosh(score: Tensor) -> Tensor:
    """log(cosh(1 - s)), which keeps its digits near s = 1."""
    return torch.log1p(2 * torch.sinh((1 - score) / 2) ** 2)


def _some_counts(like: Tensor) -> Iterator[Tensor]:
    """TP, FP, FN and TN of classes that have a pixel, on which an index shows what it is worth."""
    for tp, fp, fn, tn in product((0, 3), repeat=4):
        if tp + fn > 0:
            counts = like.new_tensor([tp, fp, fn, tn])
            yield counts.view(4, *[1] * like.ndim).repeat(1, *like.shape)
