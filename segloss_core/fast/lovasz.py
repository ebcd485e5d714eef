"""The Lovász losses, one class after the other: an integer sort, or a histogram.

Every kernel gives for the classes their loss, the sum of p and that of y, (3, 1 or B, C). A class
without foreground has no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..inputs import Pixels
from .dispatch import Kernel, Pull, blocks
from .region import probabilities, sum_by_class

# Numbers of foreground and background pixels in each bin of errors, (2, ..., bins), to the step of
# the Jaccard loss for one pixel of either kind.
BinSteps = Callable[[Tensor], tuple[Tensor, Tensor]]


def hinge_by_sort(per_image: bool) -> Kernel:
    def kernel(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull]:
        slopes = torch.zeros_like(pixels.input)
        result = _empty_result(pixels, per_image)
        for row, images in _regions(pixels, per_image):
            for c in range(pixels.classes):
                x, y = pixels.input[images, c], pixels.target[images, c].to(slopes.dtype)
                errors = 1 - x * (2 * y - 1)
                if pixels.valid is not None:
                    valid = pixels.valid[images, c]
                    errors, y = torch.where(valid, errors, 0), torch.where(valid, y, 0)
                result[2, row, c] = objects = y.count_nonzero()
                if objects == 0:
                    q = x.sigmoid()
                    q = q if pixels.valid is None else torch.where(valid, q, 0)
                    result[1, row, c] = q.sum()
                    slopes[images, c] = q * (1 - q)
                    continue
                errors, y = errors.flatten(), y.flatten()
                wrong = (~(errors <= 0)).nonzero().squeeze(1)  # NaN is not lost
                errors, y = errors[wrong], y[wrong]
                result[0, row, c], steps = _sorted_steps(
                    errors, y, int(objects - y.count_nonzero())
                )
                here = errors.new_zeros(x.numel()).index_copy_(0, wrong, steps)
                slopes[images, c] = here.view_as(x)

        def pull(grad_output: Tensor) -> Tensor:
            for row, images in _regions(pixels, per_image):
                either = torch.where(result[2, row] > 0, grad_output[0, row], grad_output[1, row])
                slopes[images] *= either.to(slopes.dtype).unsqueeze(-1)
            return slopes

        return result, pull

    return kernel


def softmax_by_sort(per_image: bool) -> Kernel:
    def kernel(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull]:
        p = torch.empty_like(pixels.input)
        result = _empty_result(pixels, per_image)
        for block in blocks(pixels):
            mass = probabilities(block, pixels, out=p[block.at]).sum(-1)
            if per_image:
                result[1, block.at[0]] += mass
            else:
                result[1] += mass.sum(0)
        for row, images in _regions(pixels, per_image):
            labels = pixels.target[images].squeeze(1)
            if pixels.valid is not None:
                labels = torch.where(pixels.valid[images].squeeze(1), labels, -1)
            for c in range(pixels.classes):
                here, foreground = p[images, c], (labels == c).to(p.dtype)
                result[2, row, c] = objects = foreground.count_nonzero()
                if objects > 0:
                    errors = (foreground - here).abs_()
                    loss, steps = _sorted_steps(errors.flatten(), foreground.flatten())
                    result[0, row, c] = loss
                    here.mul_(steps.view_as(here))
        return result, _softmax_pull(pixels, p)

    return kernel


def softmax_by_bins(bins: int, bin_steps: BinSteps) -> Kernel:
    """With the whole batch as one region."""

    def level(errors: Tensor) -> Tensor:
        return (errors * bins).to(torch.int32).clamp_(0, bins - 1)

    def kernel(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull]:
        p, C = torch.empty_like(pixels.input), pixels.classes
        result = _empty_result(pixels, per_image=False)
        first = torch.arange(0, C * bins, bins, dtype=torch.int32)
        own = p.new_empty(pixels.target.shape)  # of the labels
        every = torch.zeros(C * bins, dtype=torch.long)
        for block in blocks(pixels):
            here = probabilities(block, pixels, out=p[block.at])
            result[1] += here.sum(-1).sum(0)
            own[block.at] = here.gather(1, block.y)
            places = (first.unsqueeze(-1) + level(here)).flatten()
            every += torch.bincount(places, minlength=C * bins)

        # Every probability is a background error, but for those of the labels and of void pixels.
        labels = pixels.target.long()
        if pixels.valid is not None:
            labels, own = labels[pixels.valid], own[pixels.valid]
            every[::bins] -= (~pixels.valid).sum()
        taken, foreground = (
            torch.bincount((first[labels] + level(x)).flatten(), minlength=C * bins)
            for x in (own, 1 - own)
        )
        counts = torch.stack([foreground, every - taken]).view(2, C, bins)
        result[2] = counts[0].sum(-1)
        fn_step, fp_step = (x.to(p.dtype).flatten() for x in bin_steps(counts))
        for block in blocks(pixels):
            here = p[block.at]
            errors = 1 - here.gather(1, block.y)
            steps = fn_step[(first[block.y] + level(errors)).long()]
            if block.valid is not None:
                steps = torch.where(block.valid, steps, 0)
            places = (first.unsqueeze(-1) + level(here)).flatten()
            slopes = fp_step.index_select(0, places).view_as(here)
            here.mul_(slopes.scatter_(1, block.y, -steps))
            losses = here.sum(-1) + sum_by_class(steps, block.y, C)
            result[0] += losses.sum(0)
        return result, _softmax_pull(pixels, p)

    return kernel


def _softmax_pull(pixels: Pixels, slopes: Tensor) -> Pull:
    """`slopes` holds p times the slope of the losses by p, (B, C, N)."""

    def pull(grad_output: Tensor) -> Tensor:
        by_loss, by_mass, _ = grad_output.to(slopes.dtype).unsqueeze(-1)
        for block in blocks(pixels):
            p = probabilities(block, pixels, out=pixels.input.new_empty(slopes[block.at].shape))
            here = slopes[block.at].mul_(block.own_images(by_loss))
            if by_mass.any():
                here.addcmul_(p, block.own_images(by_mass))
            here.addcmul_(p, here.sum(1, keepdim=True), value=-1)
        return slopes

    return pull


def _sorted_steps(errors: Tensor, foreground: Tensor, right: int = 0) -> tuple[Tensor, Tensor]:
    """The loss of errors (M,) >= 0, and its slopes by a prediction; `foreground` is 0 or 1, and
    `right` is the number of foreground pixels that have no error and are not among them.

    Bits of floats >= 0 are ordered as integers are, and integers are sorted by radix. The last bit
    carries the foreground, the first is turned for the sign.
    """
    integer = torch.int64 if errors.dtype == torch.float64 else torch.int32
    top = torch.iinfo(integer).min
    keys = (errors.view(integer) << 1).bitwise_or_(foreground.to(integer)).bitwise_xor_(top)
    keys, order = keys.sort()
    ones = keys & 1
    errors = (keys.bitwise_xor_(top) >> 1).bitwise_and_(~top).view(errors.dtype)
    hits = ones.cumsum(0, dtype=integer).sub_(ones).add_(right)  # foreground not yet wrong
    wrong = torch.ones_like(ones).cumsum_(0).neg_().add_(len(ones) + 1)
    ones, hits, union = (x.to(errors.dtype) for x in (ones, hits, wrong.add_(hits)))
    steps = hits.div_((union - 1).clamp_(min=1))  # eq-lovasz-steps
    steps.lerp_(torch.ones(()).to(steps), ones).div_(union)
    loss = (errors * steps).sum()
    slopes = steps.addcmul_(steps, ones, value=-2)  # the error of foreground is 1 - p
    return loss, torch.empty_like(slopes).index_copy_(0, order, slopes)


def _regions(pixels: Pixels, per_image: bool) -> Iterator[tuple[int, slice]]:
    """What is one region: every image, or the batch."""
    if not per_image:
        yield 0, slice(None)
        return
    for image in range(len(pixels.input)):
        yield image, slice(image, image + 1)


def _empty_result(pixels: Pixels, per_image: bool) -> Tensor:
    images = len(pixels.input) if per_image else 1
    return pixels.input.new_zeros(3, images, pixels.classes, dtype=torch.float64)
