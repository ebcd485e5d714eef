"""The Lovász extension of the Jaccard loss: hinge for logits, softmax for probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import Vector, check_bool, check_count, check_group
from .fast import HingeBySort, Kernel, SoftmaxByBins, SoftmaxBySort, evaluate
from .inputs import BINARY_MODES, BinaryMode, Pixels, prepare
from .module import LossModule, options_of
from .overlap import Regions, add_regions, target_size
from .ranks import ProcessGroup, gather_over_ranks, sum_over_ranks
from .reduction import Classes, Reduction, fill_empty, not_below_0, reduce_classes
from .steps import bin_steps, jaccard_steps
from .sums import total


def lovasz_hinge_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: BinaryMode = "binary",
    classes: Classes = "present",
    weight: Vector | None = None,
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """Lovász extension of the Jaccard loss at the hinge errors of the logits.

    Formula:
        m_i = max(0, 1 - z_i (2 y_i - 1)), sorted so that m_1 >= m_2 >= ...
        L = sum_i m_i (J_i - J_(i-1)),  J_i = 1 - IoU if the first i pixels are wrong

    Logits of -1 and 1 give 2 (1 - IoU) of the mask they stand for.

    Args:
        mode: "binary" or "multilabel". Default "binary".

    Convention:
        Normaliser: the number of classes counted, or the sum of their weights.
        Empty: a class without a target pixel costs the mean of its hinge errors max(0, 1 + z).
        Target: hard, so that floats are 0 or 1.
        Ranks: each rank gathers the errors of all, so that memory grows with their number.
        Probabilities: z is log p - log(1 - p).

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[1.0, 1.0, -1.0]]), torch.tensor([[0, 1, 0]])
        >>> lovasz_hinge_loss(z, y)  # 2 (1 - 1/2)
        tensor(1.)

    References:
        Jiaqian Yu, Matthew B. Blaschko: The Lovász Hinge, 2015, arXiv 1512.07797.
        Maxim Berman, Amal Rannen Triki, Matthew B. Blaschko: The Lovász-Softmax loss, 2018,
        arXiv 1705.08790.

    Chapter: Lovász losses.
    """
    pixels = prepare(
        input, target, mode, from_logits, ignore_index, mask, modes=BINARY_MODES, hard=True
    )

    def errors_of(pixels: Pixels) -> tuple[Tensor, Tensor]:
        z = pixels.logits
        sign = torch.where(z.isnan(), torch.nan, 2 * pixels.labels - 1)  # so the slope is NaN too
        # Even an infinite error times a step of 0 is to be 0.
        largest = torch.finfo(z.dtype).max
        errors = pixels.select(F.hardtanh(1 - z * sign, 0, largest))  # eq-lovasz-hinge
        return errors, errors

    # A kernel sorts class by class, a formula all of them at once.
    kernel = HingeBySort(per_image)
    losses = _class_losses(errors_of, kernel, pixels, per_image, process_group)
    return reduce_classes(*losses, classes, weight, reduction)


class LovaszHingeLoss(LossModule):
    """:func:`lovasz_hinge_loss` as a module."""

    @options_of(lovasz_hinge_loss)
    def __init__(self) -> None: ...


def lovasz_softmax_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Literal["multiclass"] = "multiclass",
    bins: int | None = None,
    classes: Classes = "present",
    weight: Vector | None = None,
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """Lovász extension of the Jaccard loss of each class at the errors of its probabilities.

    Formula, for each class c:
        m_i = |p_ic - [y_i = c]|, sorted so that m_1 >= m_2 >= ...,  p = softmax(z)
        L = sum_i m_i (J_i - J_(i-1)),  J_i = 1 - IoU if the first i pixels are wrong

    Args:
        mode: There is no other. Default "multiclass".
        bins: Round the errors to this many levels for the order, at least 1. Time then grows
            with the number of pixels alone, and a class's loss is off by at most 1 / bins.
            Default: the exact order, by sorting.

    Convention:
        Normaliser: the number of classes counted, or the sum of their weights.
        Empty: a class without a target pixel costs its mean predicted probability.
        Target: integer class ids.
        Ranks: each rank gathers the errors of all, so that memory grows with their number; with
        `bins` only histograms are exchanged.

    Example:
        >>> import torch
        >>> p = torch.tensor([[[0.9, 0.6, 0.2], [0.1, 0.4, 0.8]]])
        >>> lovasz_softmax_loss(p, torch.tensor([[0, 1, 1]]), from_logits=False)
        tensor(0.3833)

    References:
        Maxim Berman, Amal Rannen Triki, Matthew B. Blaschko: The Lovász-Softmax loss, 2018,
        arXiv 1705.08790.

    Chapter: Lovász losses.
    """
    pixels = prepare(
        input, target, mode, from_logits, ignore_index, mask, modes=("multiclass",), hard=True
    )
    bins = None if bins is None else check_count("bins", bins)

    def errors_of(pixels: Pixels) -> tuple[Tensor, Tensor]:
        p, label = pixels.probabilities, pixels.labels
        errors = p.scatter(1, label, 1 - p.gather(1, label))  # eq-lovasz-errors
        return pixels.select(errors), p

    kernel: Kernel | None = SoftmaxBySort(per_image)
    if bins is not None:
        kernel = None if per_image else SoftmaxByBins(bins)
    losses = _class_losses(errors_of, kernel, pixels, per_image, process_group, bins)
    return reduce_classes(*losses, classes, weight, reduction)


class LovaszSoftmaxLoss(LossModule):
    """:func:`lovasz_softmax_loss` as a module."""

    @options_of(lovasz_softmax_loss)
    def __init__(self) -> None: ...


def _class_losses(
    errors_of: Callable[[Pixels], tuple[Tensor, Tensor]],
    kernel: Kernel | None,
    pixels: Pixels,
    per_image: bool,
    process_group: ProcessGroup | None,
    bins: int | None = None,
) -> tuple[Tensor, Regions]:
    """Losses of the classes, from the errors and from that whose mean fills an empty class."""
    check_bool("per_image", per_image)
    check_group(process_group)

    def of_region(rows: Tensor) -> Tensor:
        return rows if per_image else rows.sum(0, keepdim=True)

    def formula(pixels: Pixels) -> Tensor:
        errors, filling = errors_of(pixels)
        if bins is None:
            losses = _lovasz_extension(errors, pixels, per_image, process_group)
        else:
            losses = _binned_extension(errors, pixels, per_image, process_group, bins)
        mass = of_region(total(filling))
        return torch.stack(
            [losses.to(mass.dtype).expand_as(mass), mass, of_region(target_size(pixels.of_class))]
        )

    found, mass, actual = evaluate(formula, kernel if process_group is None else None, pixels)
    rows, valid = torch.stack([actual, mass]), of_region(pixels.valid_count())
    sums = add_regions(rows, valid, per_image, process_group)
    regions = Regions.of(sums, pixels.mode, pixels.dtype, per_image, process_group)
    losses = not_below_0(found if per_image else found[0])  # steps of bins round
    return fill_empty(losses, regions), regions


def _lovasz_extension(
    errors: Tensor, pixels: Pixels, per_image: bool, process_group: ProcessGroup | None
) -> Tensor:
    """Errors (B, C, N), 0 under void, to losses (C,) or (B, C): one sort for all classes."""
    key, y = errors.detach(), (pixels.of_class > 0).to(torch.uint8)
    if pixels.valid is not None:  # void pixels come last, where they change no weight
        key = torch.where(pixels.valid, key, -1)
    if not per_image:
        errors, y = (_whole_batch(x, process_group) for x in (errors, y))
        key = _whole_batch(key, process_group, fill=-1)
    order = key.argsort(-1, descending=True)
    y = y.gather(-1, order)
    count = torch.int32 if y.shape[-1] < 2**31 else torch.int64  # half of the memory, or all
    union = y.sum(-1, keepdim=True, dtype=count) + (1 - y).cumsum(-1, dtype=count)
    rank = torch.arange(1, y.shape[-1] + 1, dtype=count, device=y.device)
    steps = jaccard_steps(y.to(errors.dtype), union, rank)
    losses = errors * torch.zeros_like(steps).scatter(-1, order, steps)
    return losses.sum(-1)  # eq-lovasz


def _whole_batch(x: Tensor, process_group: ProcessGroup | None, fill: float = 0) -> Tensor:
    """(B, C, N) as (C, B N), with the pixels of all ranks."""
    return gather_over_ranks(x.transpose(0, 1).flatten(1), process_group, fill)


def _binned_extension(
    errors: Tensor, pixels: Pixels, per_image: bool, process_group: ProcessGroup | None, bins: int
) -> Tensor:
    """The same with a histogram in place of the sort; all pixels of a bin turn wrong together.

    The pixels of a bin share the growth of J evenly, along the straight line from the counts
    before to the counts after. No weight leaves its bin, so the loss moves by one bin at most.
    """
    label = pixels.labels
    level = (errors.detach() * bins).long().clamp(0, bins - 1)  # that of NaN too
    own = label * bins + level.gather(1, label)  # bin of the label's own error, in (C bins)
    one = pixels.select(torch.ones_like(label))

    shape = (*errors.shape[:2], bins)
    empty = level.new_zeros(shape)
    everything = empty.scatter_add(-1, level, one.expand_as(level))
    foreground = empty.flatten(1).scatter_add(1, own.squeeze(1), one.squeeze(1)).view(shape)
    counts = torch.stack([foreground, everything - foreground])
    if not per_image:
        counts = sum_over_ranks(counts.sum(1, keepdim=True), process_group)

    fn_step, fp_step = (x.to(errors.dtype).expand(shape) for x in bin_steps(counts))
    steps = fp_step.gather(-1, level)
    steps = steps.scatter(1, label, fn_step.flatten(1).gather(1, own.squeeze(1)).unsqueeze(1))
    losses = (errors * steps).sum(-1)
    return losses if per_image else sum_over_ranks(losses.sum(0), process_group)
