"""Losses that are a sum over pixels: the cross-entropy family."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .inputs import BinaryMode, Mode, Pixels, check_number, prepare, refuse
from .module import LossModule, options_of
from .reduction import Reduction, reduce_pixels

BINARY_MODES: tuple[BinaryMode, ...] = ("binary", "multilabel")


def cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    weight: Tensor | None = None,
    pos_weight: float | Tensor | None = None,
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
        input: Logits z, floating point: (B, *) or (B, 1, *) in binary mode, else (B, C, *).
        target: Binary: as input or without the channel, bool, {0, 1} or floats in [0, 1].
            Multiclass: (B, *) integer class ids, or (B, C, *) float probabilities.
            Multilabel: (B, C, *), bool, {0, 1} or floats in [0, 1].
        mode: "binary" (a sigmoid), "multiclass" (softmax over dimension 1) or "multilabel"
            (a sigmoid per channel). Default "binary".
        weight: Class weights (C,), non-negative; multiclass and multilabel. Default: all 1.
        pos_weight: Factor of the positive term, a number or (C,); binary and multilabel.
            Default: 1.
        label_smoothing: Share s in [0, 1] of the target that is spread evenly over the classes;
            y becomes (1 - s) y + s / C, with C = 2 in binary and multilabel mode. Default 0.
        pixel_weight: Factor of each pixel's loss, non-negative, (B, *). Default: all 1.
        ignore_index: Target pixels with this value are void. Default: none are.
        mask: Bool, (B, *) or the target's shape; False marks void pixels. Default: none are.
        from_logits: False if input holds probabilities. Default True.
        reduction: "mean", "sum" or "none". Default "mean".

    Returns:
        A scalar, or with reduction "none" the loss of each pixel in the target's shape
        ((B, *) in multiclass mode), 0 on void pixels.

    Raises:
        TypeError, ValueError: A wrong dtype, shape, device, option or value, by name. Values are
            not looked at under torch.compile, torch.export and vmap.

    Convention:
        Normaliser: the mean divides by the number of valid pixels (and channels), with `weight`
        by the sum of their class weights; float class probabilities always by the number, as in
        torch. `pixel_weight` and `pos_weight` do not enter the normaliser.
        Empty: with nothing valid the loss is 0 and so is its gradient.
        Void: void pixels have no effect on value or gradient, even with inf or NaN under them.
        Dtype: half and bfloat16 are computed in and returned as float32; float64 stays.
        Probabilities: log p is log(p + 1e-12), so value and gradient are finite at 0 and 1.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1]])
        >>> cross_entropy_loss(z, y)
        tensor(0.4100)

    Chapter: cross entropy.
    """
    pixels = prepare(
        input, target, mode=mode, from_logits=from_logits, ignore_index=ignore_index, mask=mask
    )
    z, y = pixels.logits, pixels.target
    weight = _class_weight(pixels, weight)
    check_number("label_smoothing", label_smoothing, high=1)
    if mode == "multiclass":  # eq-ce-softmax
        refuse("pos_weight", pos_weight, mode)
        losses = F.cross_entropy(
            z, y, weight, reduction="none", label_smoothing=label_smoothing
        ).unsqueeze(1)
    else:  # eq-ce
        pos_weight = None if pos_weight is None else pixels.per_class("pos_weight", pos_weight)
        y = y + label_smoothing * (0.5 - y)
        losses = F.binary_cross_entropy_with_logits(
            z, y, weight, pos_weight=pos_weight, reduction="none"
        )
    return reduce_pixels(losses, pixels, reduction, pixel_weight, _weight_sum(pixels, weight))


class CrossEntropyLoss(LossModule):
    """:func:`cross_entropy_loss` as a module."""

    @options_of(cross_entropy_loss)
    def __init__(self) -> None: ...


def weighted_cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    *,
    beta: float | Tensor,
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

    beta > 1 makes missed foreground dearer, beta < 1 false alarms; beta is torch's `pos_weight`.

    Args:
        input: Logits z, floating point: (B, *) or (B, 1, *) in binary mode, else (B, C, *).
        target: Binary: as input or without the channel; multilabel: (B, C, *).
            Bool, {0, 1} or floats in [0, 1].
        beta: Factor of the positive term, non-negative: a number, or (C,) for one per channel.
        mode: "binary" (a sigmoid) or "multilabel" (a sigmoid per channel). Default "binary".
        pixel_weight: Factor of each pixel's loss, non-negative, (B, *). Default: all 1.
        ignore_index: Target pixels with this value are void. Default: none are.
        mask: Bool, (B, *) or the target's shape; False marks void pixels. Default: none are.
        from_logits: False if input holds probabilities. Default True.
        reduction: "mean", "sum" or "none". Default "mean".

    Returns:
        A scalar, or with reduction "none" the loss of each pixel in the target's shape,
        0 on void pixels.

    Raises:
        TypeError, ValueError: A wrong dtype, shape, device, option or value, by name. Values are
            not looked at under torch.compile, torch.export and vmap.

    Convention:
        Normaliser: the mean divides by the number of valid pixels (and channels), not by beta.
        Empty: with nothing valid the loss is 0 and so is its gradient.
        Void: void pixels have no effect on value or gradient, even with inf or NaN under them.
        Dtype: half and bfloat16 are computed in and returned as float32; float64 stays.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1]])
        >>> weighted_cross_entropy_loss(z, y, beta=3.0)
        tensor(0.5370)

    Chapter: weighted cross entropy.
    """
    pixels = prepare(
        input,
        target,
        mode=mode,
        modes=BINARY_MODES,
        from_logits=from_logits,
        ignore_index=ignore_index,
        mask=mask,
    )
    losses = F.binary_cross_entropy_with_logits(  # eq-wce
        pixels.logits,
        pixels.target,
        pos_weight=pixels.per_class("beta", beta),
        reduction="none",
    )
    return reduce_pixels(losses, pixels, reduction, pixel_weight)


class WeightedCrossEntropyLoss(LossModule):
    """:func:`weighted_cross_entropy_loss` as a module."""

    @options_of(weighted_cross_entropy_loss)
    def __init__(self) -> None: ...


def _class_weight(pixels: Pixels, weight: Tensor | None) -> Tensor | None:
    """Class weights as the torch loss of the mode takes them: (C,), or (C, 1) for multilabel."""
    if weight is None:
        return None
    if pixels.mode == "binary":
        refuse("weight", weight, pixels.mode)
    weight = pixels.class_vector("weight", weight)
    return weight if pixels.mode == "multiclass" else weight.unsqueeze(-1)


def _weight_sum(pixels: Pixels, weight: Tensor | None) -> Tensor | None:
    """The sum of the class weights of the valid pixels, where it replaces their number."""
    if weight is None or (pixels.mode == "multiclass" and pixels.soft):
        return None
    if pixels.mode == "multiclass":
        return pixels.select(weight[pixels.target].unsqueeze(1)).sum()
    return pixels.select(weight.expand_as(pixels.target)).sum()
