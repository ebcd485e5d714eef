"""Losses that are a sum over pixels: the cross-entropy family."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import (
    Vector,
    call,
    check_bool,
    check_choice,
    check_function,
    check_number,
    refuse,
)
from .fast import FocalForm, tiles
from .inputs import BINARY_MODES, HUGE, BinaryMode, Mode, Pixels, finite, prepare
from .module import LossModule, options_of
from .reduction import Reduction, reduce_pixels
from .sums import ratio, total

LOG_2 = math.log(2)

Normalizer = Literal["pixels", "positives"]

# A true label's loss from log p and log(1 - p), p its probability.
Term = Callable[[Tensor, Tensor], Tensor]


def cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    weight: Vector | None = None,
    pos_weight: float | Vector | None = None,
    label_smoothing: float = 0.0,
    top_k: float | None = None,
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

    divisor: Callable[[Pixels], Tensor | int] = Pixels.valid_total
    if by_class is not None:
        divisor = partial(_weight_sum, weight=by_class)
    form = cross_entropy_form(pixels, by_class, positive, label_smoothing)
    return reduce_pixels(losses, pixels, reduction, pixel_weight, top_k, divisor, form)


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
    pair = _pair(pixels, weight, pos_weight)
    return _binary_losses(pixels, pair, smoothing=label_smoothing)


def cross_entropy_form(
    pixels: Pixels,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> FocalForm:
    if pixels.mode == "multiclass":
        return FocalForm(class_weight=weight, smoothing=label_smoothing)
    return FocalForm(pair=_pair(pixels, weight, pos_weight), smoothing=label_smoothing)


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
    top_k: float | None = None,
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
    return reduce_pixels(losses, pixels, reduction, pixel_weight, top_k, form=form)


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
    top_k: float | None = None,
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

    form = FocalForm(pair=pair)
    return reduce_pixels(losses, pixels, reduction, pixel_weight, top_k, form=form)


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
    top_k: float | None = None,
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
        Normaliser: the number of valid pixels (and channels), or of positives, whatever alpha is;
        `top_k` leaves the number of positives as it is.

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

    def term(log_p: Tensor, log_q: Tensor) -> Tensor:
        # As exp(gamma log q) the slope of q^gamma stays finite at q = 0, for gamma < 1 too.
        return (gamma * log_q).exp() * -log_p

    def losses(pixels: Pixels) -> Tensor:
        if mode != "multiclass":
            return _binary_losses(pixels, pair, term if gamma > 0 else None)  # eq-focal
        return _softmax_losses(pixels, weight, term)  # eq-focal-softmax

    divisor: Callable[[Pixels], Tensor | int] = Pixels.valid_total
    if normalizer == "positives":
        positives = _positives(pixels).clamp(min=1)

        def divisor(_: Pixels) -> Tensor:
            return positives

    form = FocalForm(gamma, weight, pair)
    return reduce_pixels(losses, pixels, reduction, pixel_weight, top_k, divisor, form)


class FocalLoss(LossModule):
    """:func:`focal_loss` as a module."""

    @options_of(focal_loss)
    def __init__(self) -> None: ...


def pixel_loss(
    input: Tensor,
    target: Tensor,
    *,
    term: Term,
    mode: Mode = "binary",
    weight: Vector | None = None,
    top_k: float | None = None,
    pixel_weight: Tensor | None = None,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    """A loss of single pixels that you write down, under the rules of all others.

    Formula:
        L = y t(log p, log(1 - p)) + (1 - y) t(log(1 - p), log p),  p = sigmoid(z)
                                                                    (binary, multilabel)
        L = sum_c y_c t(log p_c, log(1 - p_c)),  p = softmax(z)     (multiclass)

    Args:
        term: t, the loss of a true label from log p and log(1 - p), where p is the probability of
            that label; both are finite. It is made of torch's operations, number by number, and
            defined once: the first call tries it. ``lambda log_p, log_q: -log_p`` is cross entropy,
            ``lambda log_p, log_q: 1 - log_p.exp()`` the absolute error.

    Convention:
        Normaliser: as that of `cross_entropy_loss`.
        Slope: where p is exactly 0 or 1, it is to be finite too: ``(1e-7 - log_p).pow(0.3)``.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1]])
        >>> pixel_loss(z, y, term=lambda log_p, log_q: (1 - (0.7 * log_p).exp()) / 0.7)  # GCE
        tensor(0.3353)

    References:
        Zhilu Zhang, Mert R. Sabuncu: Generalized Cross Entropy Loss for Training Deep Neural
        Networks with Noisy Labels, 2018, arXiv 1805.07836 (the example).

    Chapter: One map of all losses.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask)
    by_class = _class_weight(pixels, weight)
    check_function("term", term, _logs, [_some_logits(pixels)])

    checked = partial(call, "term", term)

    def losses(pixels: Pixels) -> Tensor:
        if mode == "multiclass":
            return _softmax_losses(pixels, by_class, checked)
        return _binary_losses(pixels, _pair(pixels, by_class, None), checked)

    divisor = partial(_weight_sum, weight=by_class)
    return reduce_pixels(losses, pixels, reduction, pixel_weight, top_k, divisor)


class PixelLoss(LossModule):
    """:func:`pixel_loss` as a module."""

    @options_of(pixel_loss)
    def __init__(self) -> None: ...


def _binary_losses(
    pixels: Pixels,
    pair: tuple[Tensor, Tensor] | None,
    term: Term | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """high y t(log p, log q) + low (1 - y) t(log q, log p), p = sigmoid(z) and q = 1 - p.

    The pair is (low, high); None: 1 and 1. Without a term it is that of cross entropy.
    """
    z, y = pixels.logits, pixels.labels
    if not pixels.soft and smoothing == 0:  # one of the two is 0
        z = z * torch.rsub(y, 1, alpha=2)  # the logit of the wrong label
        losses = _softplus(z) if term is None else term(*_logs(finite(-z)))
        return losses if pair is None else losses * torch.lerp(*pair, y)
    z = finite(z)  # what has no share costs nothing, but infinity times 0 is NaN
    if term is None:
        negative, positive = _softplus(z), _softplus(-z)
    else:
        log_p, log_q = _logs(z)
        negative, positive = term(log_q, log_p), term(log_p, log_q)
    if pair is not None:
        negative, positive = pair[0] * negative, pair[1] * positive
    return negative.lerp(positive, y if smoothing == 0 else y + smoothing * (0.5 - y))


def _logs(z: Tensor) -> tuple[Tensor, Tensor]:
    """log p and log(1 - p), p = sigmoid(z)."""
    return F.logsigmoid(z), F.logsigmoid(-z)


def _some_logits(pixels: Pixels) -> Tensor:
    """On which a term shows what it is worth: (1, C, 7), or (1, 1, 7) beside class ids."""
    z = torch.tensor([-1e4, -20, -1, 0, 1, 20, 1e4], dtype=pixels.dtype, device=pixels.input.device)
    return z.repeat(1, 1 if pixels.has_ids else pixels.classes, 1)


def _softmax_losses(pixels: Pixels, weight: Tensor | None, term: Term) -> Tensor:
    """sum_c w_c y_c t(log p_c, log(1 - p_c)): (B, 1, N)."""
    y, log_p, log_q, w = _softmax_logs(pixels, weight)
    return (w * y * term(log_p, log_q)).sum(1, keepdim=True)


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


def _weight_sum(pixels: Pixels, weight: Tensor | None) -> Tensor | int:
    """The sum of the class weights of the valid pixels, or their number where it stands for it."""
    if weight is None or (pixels.mode == "multiclass" and pixels.soft):
        return pixels.valid_total()
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


def _softmax_logs(
    pixels: Pixels, weight: Tensor | None
) -> tuple[Tensor | float, Tensor, Tensor, Tensor | float]:
    """y, log p, log(1 - p) and weight of the classes that matter: (B, C, N), or (B, 1, N) where
    the target names the only one."""
    z = pixels.logits
    z = z - z.amax(1, keepdim=True).detach()  # the digits of differences of large logits
    log_p = z.log_softmax(1)
    if pixels.has_ids:
        label = pixels.labels
        own = log_p.gather(1, label)
        rest = log_p.scatter(1, label, -HUGE).logsumexp(1, keepdim=True)
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
