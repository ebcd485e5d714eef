"""Losses that are a sum over pixels: the cross-entropy family."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import Vector, check_bool, check_choice, check_number, refuse
from .fast import FocalForm, tiles
from .inputs import BINARY_MODES, HUGE, BinaryMode, Mode, Pixels, prepare
from .module import LossModule, options_of
from .reduction import Reduction, reduce_pixels
from .sums import ratio, total

LOG_2 = math.log(2)

Normalizer = Literal["pixels", "positives"]


def cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    weight: Vector | None = None,
    pos_weight: float | Vector | None = None,
    label_smoothing: float = 0.0,
    pixel_weight: Tensor | None = None,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy of every pixel, binary or over classes.

    Formula:
        CE = -(y log p + (1 - y) log(1 - p)),  p = sigmoid(z)    (binary, multilabel)
        CE = -sum_c y_c log p_c,               p = softmax(z)    (multiclass)

    Args:
        pos_weight: Factor of the positive term: a number or (C,); binary and multilabel.
            Default: 1.
        label_smoothing: Share s in [0, 1] of the target that is spread evenly over the classes;
            y becomes (1 - s) y + s / C, with C = 2 in binary and multilabel mode. Default 0.

    Convention:
        Normaliser: the number of valid pixels (and channels); with `weight` the sum of their class
        weights, but for class probabilities, as in torch. `pos_weight` does not enter.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1]])
        >>> cross_entropy_loss(z, y)
        tensor(0.4100)

    Chapter: cross entropy.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask)
    label_smoothing = check_number("label_smoothing", label_smoothing, high=1)
    by_class, positive = _class_weight(pixels, weight), _positive_weight(pixels, pos_weight)

    def losses(pixels: Pixels) -> Tensor:
        return pixel_cross_entropy(pixels, by_class, positive, label_smoothing)  # eq-ce

    divisor = _weight_sum(pixels, by_class)
    form = None if label_smoothing > 0 else cross_entropy_form(pixels, by_class, positive)
    return reduce_pixels(losses, pixels, reduction, pixel_weight, divisor, form)


def pixel_cross_entropy(
    pixels: Pixels,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross entropy of each pixel, (B, 1, N) or (B, C, N)."""
    if pixels.mode == "multiclass":
        z, y = pixels.logits, pixels.labels
        if pixels.has_ids and weight is not None and weight.requires_grad:
            y = torch.zeros_like(z).scatter(1, y, 1)  # ids have no slope by the weights in torch
        y = y.squeeze(1) if y.shape[1] == 1 else y
        softmax = F.cross_entropy(z, y, weight, reduction="none", label_smoothing=label_smoothing)
        return softmax.unsqueeze(1)
    return _binary_losses(pixels, _pair(pixels, weight, pos_weight), smoothing=label_smoothing)


def cross_entropy_form(
    pixels: Pixels, weight: Tensor | None = None, pos_weight: Tensor | None = None
) -> FocalForm:
    if pixels.mode == "multiclass":
        return FocalForm(class_weight=weight)
    return FocalForm(pair=_pair(pixels, weight, pos_weight))


def _pair(
    pixels: Pixels, weight: Tensor | None, pos_weight: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """The weights of y = 0 and of y = 1; None: 1 and 1."""
    if weight is None and pos_weight is None:
        return None
    low = pixels.input.new_ones((), dtype=pixels.dtype) if weight is None else weight
    return low, low if pos_weight is None else low * pos_weight


class CrossEntropyLoss(LossModule):
    """:func:`cross_entropy_loss` as a module."""

    @options_of(cross_entropy_loss)
    def __init__(self) -> None: ...


def weighted_cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    *,
    beta: float | Vector,
    mode: BinaryMode = "binary",
    pixel_weight: Tensor | None = None,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    """Binary cross entropy whose positive term is multiplied by beta.

    Formula:
        WCE = -(beta y log p + (1 - y) log(1 - p)),  p = sigmoid(z)

    beta > 1 makes missed foreground cost more, beta < 1 less; it is torch's `pos_weight`.

    Args:
        beta: Factor of the positive term, non-negative: a number, or (C,) for one per channel.

    Convention:
        Normaliser: the number of valid pixels (and channels), whatever beta is.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1]])
        >>> weighted_cross_entropy_loss(z, y, beta=3.0)
        tensor(0.5370)

    Chapter: weighted cross entropy.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask, modes=BINARY_MODES)
    weight = pixels.per_class("beta", beta)

    def losses(pixels: Pixels) -> Tensor:
        return pixel_cross_entropy(pixels, pos_weight=weight)  # eq-wce

    form = cross_entropy_form(pixels, pos_weight=weight)
    return reduce_pixels(losses, pixels, reduction, pixel_weight, form=form)


class WeightedCrossEntropyLoss(LossModule):
    """:func:`weighted_cross_entropy_loss` as a module."""

    @options_of(weighted_cross_entropy_loss)
    def __init__(self) -> None: ...


def balanced_cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: BinaryMode = "binary",
    beta: float | Vector | None = None,
    eps: float = 1e-4,
    per_image: bool = False,
    pixel_weight: Tensor | None = None,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    """Binary cross entropy with beta on the positive and 1 - beta on the negative term.

    Formula:
        BCE = -(beta y log p + (1 - beta) (1 - y) log(1 - p)),  p = sigmoid(z)

    beta near 1 suits rare foreground. Nothing is divided by 1 - beta.

    Args:
        beta: In [0, 1]: a number, or (C,) for one per channel. Default: the share of negatives
            among the valid pixels (of the channel), clipped to [eps, 1 - eps].
        eps: In [0, 0.5], keeps a measured beta away from 0 and 1, where one of the two terms
            vanishes. Default 1e-4.
        per_image: Measure beta in each image instead of the whole batch. Default False.

    Convention:
        Normaliser: the number of valid pixels (and channels), whatever beta is.
        Empty: without a positive pixel beta is 1 - eps, so that the gradient is small but not 0.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[0.0, 2.0, -1.0, 0.5]]), torch.tensor([[0, 1, 0, 0]])
        >>> balanced_cross_entropy_loss(z, y)  # beta = 3/4
        tensor(0.1476)

    References:
        Saining Xie, Zhuowen Tu: Holistically-Nested Edge Detection, 2015, arXiv 1504.06375.

    Chapter: balanced cross entropy.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask, modes=BINARY_MODES)
    check_bool("per_image", per_image)
    eps = check_number("eps", eps, high=0.5)
    if beta is None:
        b = _share_of_negatives(pixels, per_image).clamp(eps, 1 - eps)
    else:
        b = pixels.per_class("beta", beta, high=1)
    pair = (1 - b).to(pixels.dtype), b.to(pixels.dtype)

    def losses(pixels: Pixels) -> Tensor:
        return _binary_losses(pixels, pair)  # eq-balanced

    form = FocalForm(pair=pair, saves=2)
    return reduce_pixels(losses, pixels, reduction, pixel_weight, form=form)


class BalancedCrossEntropyLoss(LossModule):
    """:func:`balanced_cross_entropy_loss` as a module."""

    @options_of(balanced_cross_entropy_loss)
    def __init__(self) -> None: ...


def focal_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    alpha: float | Vector | None = None,
    gamma: float = 2.0,
    normalizer: Normalizer = "pixels",
    pixel_weight: Tensor | None = None,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy in which easy pixels count less.

    Formula:
        FL = -(alpha (1 - p)^gamma y log p + (1 - alpha) p^gamma (1 - y) log(1 - p)),
             p = sigmoid(z)                                                (binary, multilabel)
        FL = -sum_c alpha_c (1 - p_c)^gamma y_c log p_c,  p = softmax(z)   (multiclass)

    Args:
        alpha: In [0, 1], weighs y = 1, and 1 - alpha weighs y = 0: a number, or (C,) for one per
            channel. Multiclass: (C,) class weights, non-negative. Default: no weights at all.
        gamma: Focusing exponent, at least 0; 0 gives cross entropy. Default 2.
        normalizer: What the mean divides by: "pixels" (the valid ones), or "positives" (the sum of
            y; in multiclass mode the pixels of any class but 0; at least 1), as in the paper.
            Default "pixels".

    Convention:
        Normaliser: the number of valid pixels (and channels), or of positives, whatever alpha is.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1]])
        >>> focal_loss(z, y, alpha=0.25)
        tensor(0.0652)

    References:
        Tsung-Yi Lin, Priya Goyal, Ross Girshick, Kaiming He, Piotr Dollár: Focal Loss for Dense
        Object Detection, 2017, arXiv 1708.02002.

    Chapter: focal loss.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask)
    gamma = check_number("gamma", gamma)
    check_choice("normalizer", normalizer, get_args(Normalizer))
    weight = pair = None
    if alpha is not None and mode == "multiclass":
        weight = pixels.class_vector("alpha", alpha)
    elif alpha is not None:
        share = pixels.per_class("alpha", alpha, high=1)
        pair = (1 - share, share)

    def losses(pixels: Pixels) -> Tensor:
        if mode != "multiclass":
            return _binary_losses(pixels, pair, gamma)  # eq-focal
        y, log_p, log_q, w = _focal_terms(pixels, weight)  # eq-focal-softmax
        return -(w * (gamma * log_q).exp() * y * log_p).sum(1, keepdim=True)

    form = FocalForm(gamma, weight, pair, saves=8)
    divisor = _positives(pixels).clamp(min=1) if normalizer == "positives" else None
    return reduce_pixels(losses, pixels, reduction, pixel_weight, divisor, form)


class FocalLoss(LossModule):
    """:func:`focal_loss` as a module."""

    @options_of(focal_loss)
    def __init__(self) -> None: ...


def _binary_losses(
    pixels: Pixels,
    pair: tuple[Tensor, Tensor] | None,
    gamma: float = 0.0,
    smoothing: float = 0.0,
) -> Tensor:
    """high y q^gamma (-log p) - low (1 - y) p^gamma log q, p = sigmoid(z) and q = 1 - p.

    The pair is (low, high); None: 1 and 1.
    """
    z, y = pixels.logits, pixels.labels
    if not pixels.soft and smoothing == 0:  # one of the two is 0
        losses = _loss_of_error(z * torch.rsub(y, 1, alpha=2), gamma)
        return losses if pair is None else losses * torch.lerp(*pair, y)
    y = y + smoothing * (0.5 - y)
    low, high = pair or (1, 1)
    positive, negative = high * y, low * (1 - y)
    # An infinite logit on the right side costs nothing, though the other summand is 0 times inf.
    return torch.where(positive == 0, 0, positive * _loss_of_error(-z, gamma)) + torch.where(
        negative == 0, 0, negative * _loss_of_error(z, gamma)
    )


def _loss_of_error(z: Tensor, gamma: float) -> Tensor:
    """q^gamma (-log p), where z is the logit of q, the probability of the wrong label.

    As exp(gamma log q) its slope stays finite at q = 0, for gamma < 1 too.
    """
    if gamma == 0:
        return _softplus(z)
    z = torch.minimum(z, z.new_full((), HUGE))
    return torch.exp(-gamma * _softplus(-z)) * _softplus(z)


def _softplus(z: Tensor) -> Tensor:
    """log(1 + e^z), which is -log p where z is the logit of 1 - p."""
    return F.softplus(z, threshold=40)  # from there on it is z to the last digit


def _class_weight(pixels: Pixels, weight: Vector | None) -> Tensor | None:
    """Class weights as the torch loss of the mode takes them: (C,), or (C, 1) for multilabel."""
    if weight is None:
        return None
    if pixels.mode == "binary":
        refuse("weight", weight, pixels.mode, "pos_weight or beta weigh the foreground")
    vector = pixels.class_vector("weight", weight)
    return vector if pixels.mode == "multiclass" else vector.unsqueeze(-1)


def _positive_weight(pixels: Pixels, pos_weight: float | Vector | None) -> Tensor | None:
    if pos_weight is None:
        return None
    if pixels.mode == "multiclass":
        refuse("pos_weight", pos_weight, pixels.mode, "weight has one number for each class")
    return pixels.per_class("pos_weight", pos_weight)


def _weight_sum(pixels: Pixels, weight: Tensor | None) -> Tensor | None:
    """The sum of the class weights of the valid pixels, where it replaces their number."""
    if weight is None or (pixels.mode == "multiclass" and pixels.soft):
        return None
    if pixels.mode == "multiclass":
        sums = [_weights_of(tile, weight).sum() for tile in tiles(pixels)]
        return torch.stack(sums).sum() if sums else pixels.input.new_zeros(())
    return (weight.squeeze(-1) * pixels.valid_count()).sum()


def _weights_of(pixels: Pixels, weight: Tensor) -> Tensor:
    """The entry of each valid pixel's label: (B, 1, N)."""
    label = pixels.labels
    own = weight.index_select(0, label.flatten()).view_as(label)
    if pixels.valid is None:
        return own
    return own * pixels.valid.view(torch.uint8)  # faster than a choice, and than by bool


def _share_of_negatives(pixels: Pixels, per_image: bool) -> Tensor:
    """Of the valid pixels of a channel: (1, C, 1), or (B, C, 1) for each image.

    In wide numbers, for float32 would leave 1 minus a share near 1 four digits.
    """
    positives, valid = total(pixels.labels), pixels.valid_count()
    if not per_image:
        positives, valid = positives.sum(0, keepdim=True), valid.sum(0, keepdim=True)
    return ratio(valid - positives, valid).unsqueeze(-1)


def _focal_terms(
    pixels: Pixels, weight: Tensor | None
) -> tuple[Tensor | float, Tensor, Tensor, Tensor | float]:
    """y, log p, log(1 - p) and weight of the classes that matter: (B, C, N), or (B, 1, N) where
    the target names the only one."""
    z = pixels.logits
    z = z - z.amax(1, keepdim=True).detach()  # the digits of differences of large logits
    log_p = z.log_softmax(1)
    if pixels.has_ids:
        label = pixels.labels
        own = log_p.gather(1, label).clamp(min=-HUGE)
        rest = log_p.clamp(min=-HUGE).scatter(1, label, -HUGE).logsumexp(1, keepdim=True)
        # The sum over the others keeps the digits of q where p is near 1. Where p is near 0 its
        # slope would be lost among those of the others.
        log_q = torch.where(own < -LOG_2, torch.log1p(-own.clamp(max=-LOG_2).exp()), rest)
        return 1.0, own, log_q, 1.0 if weight is None else weight[label]
    # Only the largest p can be near 1, where log(1 - p) needs the sum over the other classes.
    top = log_p.argmax(1, keepdim=True)
    rest = log_p.scatter(1, top, -torch.inf)
    log_q = torch.log1p(-rest.exp()).scatter(1, top, rest.logsumexp(1, keepdim=True))
    return pixels.labels, log_p, log_q, 1.0 if weight is None else weight.unsqueeze(-1)


def _positives(pixels: Pixels) -> Tensor:
    """The sum of y over the valid pixels; with several classes, of all but class 0."""
    if pixels.has_ids:
        return pixels.select(pixels.labels > 0).sum()
    y = pixels.labels
    return y[:, 1:].sum() if pixels.mode == "multiclass" else y.sum()
