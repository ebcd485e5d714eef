"""The Lovász losses, one class after the other: an integer sort, or a histogram.

Every kernel gives for the classes their loss, the sum of p and that of y, (3, 1 or B, C). A class
without foreground has no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..inputs import Pixels
from .dispatch import BLOCK, Block, Kernel, Pull, blocks, cut
from .region import probabilities, sum_by_class

# Numbers of foreground and background pixels in each bin of errors, (2, ..., bins), to the step of
# the Jaccard loss for one pixel of either kind.
BinSteps = Callable[[Tensor], tuple[Tensor, Tensor]]


def hinge_by_sort(per_image: bool) -> Kernel:
    def kernel(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull]:
        slopes = torch.empty_like(pixels.input)  # the keys of the errors at first
        keys = _as_integers(slopes)
        result = _empty_result(pixels, per_image)
        for block in blocks(pixels):
            errors = (block.logits() * torch.rsub(block.y, 1, alpha=2)).add_(1)
            errors = block.select(errors).clamp_(min=0)
            keys[block.at] = _keys(errors, block.y)
            _add(result[2], block, block.y.sum(-1))
        least = _keys(slopes.new_zeros(1), slopes.new_ones(1))
        for row, images in _regions(pixels, per_image):
            for c in range(pixels.classes):
                objects, here = result[2, row, c], slopes[images, c]
                if objects == 0:
                    q = cut(pixels, (images, slice(c, c + 1))).probabilities.squeeze(1)
                    result[1, row, c] = q.sum()
                    torch.mul(q, 1 - q, out=here)
                    continue
                every = keys[images, c].flatten()
                wrong = (every > least).nonzero().squeeze(1)
                every = every.index_select(0, wrong)
                missed = int((every & 1).sum())
                steps = slopes.new_empty(len(wrong))
                for part in _in_order(every, slopes.dtype, int(objects) - missed):
                    result[0, row, c] += (part.errors * part.steps).sum()
                    steps.index_copy_(
                        0, part.order, part.steps.addcmul_(part.steps, part.y, value=-2)
                    )
                here.copy_(
                    slopes.new_zeros(here.numel()).index_copy_(0, wrong, steps).view_as(here)
                )

        def pull(grad_output: Tensor) -> Tensor:
            for row, images in _regions(pixels, per_image):
                either = torch.where(result[2, row] > 0, grad_output[0, row], grad_output[1, row])
                slopes[images] *= either.to(slopes.dtype).unsqueeze(-1)
            return slopes

        return result, pull

    return kernel


def softmax_by_sort(per_image: bool) -> Kernel:
    def kernel(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull]:
        slopes = torch.empty_like(pixels.input)  # the keys of the errors at first
        keys, one = _as_integers(slopes), slopes.new_ones(())
        result = _empty_result(pixels, per_image)
        for block in blocks(pixels):
            errors = probabilities(block, pixels, out=slopes[block.at])
            _add(result[1], block, errors.sum(-1))
            keep = one.expand(block.y.shape) if block.keep is None else block.keep
            _add(result[2], block, sum_by_class(keep, block.y, pixels.classes))
            own = errors.gather(1, block.y)
            errors.scatter_(1, block.y, keep - own)
            foreground = torch.zeros_like(errors).scatter_(1, block.y, keep)
            keys[block.at] = _keys(errors, foreground)
        for row, images in _regions(pixels, per_image):
            for c in range(pixels.classes):
                here = slopes[images, c]
                if result[2, row, c] == 0:
                    here.zero_()
                    continue
                every = keys[images, c].flatten()
                found = slopes.new_empty(len(every))
                for part in _in_order(every, slopes.dtype):
                    result[0, row, c] += (part.errors * part.steps).sum()
                    # p times the slope by p, for the error of foreground is 1 - p.
                    found.index_copy_(0, part.order, part.errors.sub_(part.y).mul_(part.steps))
                here.copy_(found.view_as(here))
        return result, _softmax_pull(pixels, slopes)

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
        starts = first.index_select(0, labels.flatten())
        taken, foreground = (
            torch.bincount(starts + level(x).flatten(), minlength=C * bins) for x in (own, 1 - own)
        )
        counts = torch.stack([foreground, every - taken]).view(2, C, bins)
        result[2] = counts[0].sum(-1)
        fn_step, fp_step = (x.to(p.dtype).flatten() for x in bin_steps(counts))
        for block in blocks(pixels):
            here = p[block.at]
            errors = 1 - here.gather(1, block.y)
            places = first.index_select(0, block.y.flatten()).add_(level(errors).flatten())
            steps = fn_step.index_select(0, places).view_as(errors)
            if block.keep is not None:
                steps.mul_(block.keep)
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


class _Part(NamedTuple):
    """Some pixels of a region in the order of their errors."""

    order: Tensor  # their places
    errors: Tensor
    y: Tensor
    steps: Tensor  # of the Jaccard loss


def _as_integers(x: Tensor) -> Tensor:
    return x.view(torch.int64 if x.dtype == torch.float64 else torch.int32)


def _keys(errors: Tensor, foreground: Tensor) -> Tensor:
    """Integers in the order of errors >= 0, as their bits are; the last bit is `foreground`.

    The first bit is turned for the sign.
    """
    bits = _as_integers(errors) << 1
    return bits.bitwise_or_(foreground.to(bits.dtype)).bitwise_xor_(torch.iinfo(bits.dtype).min)


def _in_order(keys: Tensor, dtype: torch.dtype, right: int = 0) -> Iterator[_Part]:
    """From the smallest error up, in parts that fit a cache. Integers are sorted by radix.

    `right` is the number of foreground pixels that have no error and are not among them.
    """
    top = torch.iinfo(keys.dtype).min
    keys, order = keys.sort()
    size = 2 * BLOCK["binary"]
    count = torch.arange(size, dtype=keys.dtype)
    hits, left = right, len(keys)  # foreground not yet wrong; pixels with this error or more
    for part, places in zip(torch.split(keys, size), torch.split(order, size), strict=True):
        ones = part & 1
        errors = (part.bitwise_xor_(top) >> 1).bitwise_and_(~top).view(dtype)
        before = ones.cumsum(0, dtype=keys.dtype).sub_(ones).add_(hits)
        union = (before - count[: len(part)]).add_(left)
        hits, left = hits + int(ones.sum()), left - len(part)
        y, steps, union = (x.to(dtype) for x in (ones, before, union))
        steps.div_((union - 1).clamp_(min=1))  # eq-lovasz-steps
        steps.lerp_(torch.ones(()).to(steps), y).div_(union)
        yield _Part(places, errors, y, steps)


def _add(sums: Tensor, block: Block, rows: Tensor) -> None:
    """Rows of a block's images to sums of the images, or of the batch."""
    if len(sums) > 1:
        sums[block.at[0]] += rows
    else:
        sums += rows.sum(0)


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
