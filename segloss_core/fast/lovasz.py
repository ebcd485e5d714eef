"""The Lovász losses, one class after the other: an integer sort, or a histogram.

Every kernel gives for the classes their loss, the sum of p and that of y, (3, 1 or B, C). A class
without foreground has no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..inputs import Pixels
from .dispatch import Block, Kernel, Pull, blocks, cut, places
from .region import probabilities, sum_by_class

# Takes errors, y and the steps of the Jaccard loss, gives slopes, and may write into all three.
Slope = Callable[[Tensor, Tensor, Tensor], Tensor]
# Numbers of foreground and background pixels in each bin of errors, (2, ..., bins), to the step of
# the Jaccard loss for one pixel of either kind.
BinSteps = Callable[[Tensor], tuple[Tensor, Tensor]]

CHUNK, SLAB = 2**17, 45_000  # pixels; torch sorts fewer than 2^15 integers by comparison
FIRST_BITS = 14


def hinge_by_sort(per_image: bool) -> Kernel:
    def slope(errors: Tensor, y: Tensor, steps: Tensor) -> Tensor:
        return y.mul_(-2).add_(1).mul_(errors.sign_()).mul_(steps)

    def kernel(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull]:
        slopes = torch.empty_like(pixels.input)  # the keys of the errors at first
        result = _empty_result(pixels, per_image)
        for block in blocks(pixels):
            errors = (block.logits() * torch.rsub(block.y, 1, alpha=2)).add_(1)
            errors = torch.clamp(block.select(errors), min=0, out=slopes[block.at])
            _to_keys(errors, block.y)
            _add(result[2], block, block.y.sum(-1))
        for row, images in _regions(pixels, per_image):
            for c in range(pixels.classes):
                objects = int(result[2, row, c])
                if objects > 0:
                    keys = slopes[images, c : c + 1]
                    result[0, row, c] = _in_order(keys, objects, slope, hinge=True)
                    continue
                q = cut(pixels, (images, slice(c, c + 1))).probabilities.squeeze(1)
                result[1, row, c] = q.sum()
                torch.mul(q, 1 - q, out=slopes[images, c])

        def pull(grad_output: Tensor) -> Tensor:
            for row, images in _regions(pixels, per_image):
                either = torch.where(result[2, row] > 0, grad_output[0, row], grad_output[1, row])
                slopes[images] *= either.to(slopes.dtype).unsqueeze(-1)
            return slopes

        return result, pull

    return kernel


def softmax_by_sort(per_image: bool) -> Kernel:
    def slope(errors: Tensor, y: Tensor, steps: Tensor) -> Tensor:
        return errors.sub_(y).mul_(steps)  # p times the slope by p, for an error of y is 1 - p

    def kernel(pixels: Pixels, differentiable: bool) -> tuple[Tensor, Pull]:
        slopes = torch.empty_like(pixels.input)  # the keys of the errors at first
        one = slopes.new_ones(())
        result = _empty_result(pixels, per_image)
        for block in blocks(pixels):
            p = probabilities(block, pixels, out=slopes[block.at])
            _add(result[1], block, p.sum(-1))
            keep = one.expand(block.y.shape) if block.keep is None else block.keep
            _add(result[2], block, sum_by_class(keep, block.y, pixels.classes))
            of_labels = _to_keys(keep - p.gather(1, block.y), keep)
            _to_keys(p).scatter_(1, block.y, of_labels)
        for row, images in _regions(pixels, per_image):
            for c in range(pixels.classes):
                objects = int(result[2, row, c])
                if objects > 0:
                    keys = slopes[images, c : c + 1]
                    result[0, row, c] = _in_order(keys, objects, slope)
                else:
                    slopes[images, c] = 0
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
            cells = level(here).add_(first.unsqueeze(-1)).flatten()
            every += torch.bincount(cells, minlength=C * bins)

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
            cells = first.index_select(0, block.y.flatten()).add_(level(errors).flatten())
            steps = fn_step.index_select(0, cells).view_as(errors)
            if block.keep is not None:
                steps.mul_(block.keep)
            cells = level(here).add_(first.unsqueeze(-1)).flatten()
            slopes = fp_step.index_select(0, cells).view_as(here)
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


def _as_integers(x: Tensor) -> Tensor:
    return x.view(torch.int64 if x.dtype == torch.float64 else torch.int32)


def _to_keys(errors: Tensor, foreground: Tensor | None = None) -> Tensor:
    """In place: integers that grow as errors >= 0 shrink; the last bit is 0 for foreground.

    The bits of floats >= 0 are ordered as integers are. All of them are turned but the sign.
    """
    bits = _as_integers(errors).bitwise_left_shift_(1)
    if foreground is not None:
        bits.bitwise_or_(foreground.to(bits.dtype))
    return bits.bitwise_xor_(torch.iinfo(bits.dtype).max)


def _in_order(slopes: Tensor, objects: int, slope: Slope, hinge: bool = False) -> float:
    """The loss of a class from the keys of its errors, (B, 1, N), whose place its slopes take.

    Integers are sorted by radix, which is fast where they fit a core's cache: so not the pixels of
    the class, but slabs of them, from the largest errors to the smallest. Void pixels and those of
    the `hinge` without an error have no slope, nor has background behind all foreground.
    """
    chunks = [slopes[at] for at in places(slopes.shape, CHUNK)]
    keys = [_as_integers(x).flatten() for x in chunks]
    orders, lengths = _slabs(keys)
    by_slab = [
        torch.split(x.index_select(0, order), n)
        for x, order, n in zip(keys, orders, lengths, strict=True)
    ]
    top, one = torch.iinfo(keys[0].dtype).max, slopes.new_ones(())
    found: list[Sequence[Tensor]] = [[slopes.new_empty(0)] * len(chunks)]
    loss, start, missed = 0.0, 0, 0  # pixels and foreground of the slabs before
    for parts in zip(*by_slab, strict=True):
        slab = torch.cat(parts)
        if missed == objects or (hinge and slab.amin() >= top - 1):
            break
        slab, order = slab.sort()
        background = slab & 1
        errors = (slab.bitwise_xor_(top) >> 1).bitwise_and_(top).view(slopes.dtype)
        y = torch.rsub(background, 1).to(slopes.dtype)
        union = background.cumsum(0, dtype=slab.dtype).add_(objects + start - missed)
        left = union - torch.arange(start + 1, start + len(slab) + 1, dtype=slab.dtype)
        start, missed = start + len(slab), objects - int(left[-1])
        union, left = union.to(slopes.dtype), left.to(slopes.dtype)
        steps = left.div_((union - 1).clamp_(min=1)).lerp_(one, y).div_(union)  # eq-lovasz-steps
        loss += (errors * steps).sum().item()
        values = slope(errors, y, steps)
        values = torch.zeros_like(values).scatter_add_(0, order, values)  # faster than index_copy_
        found.append(torch.split(values, [len(x) for x in parts]))
    for chunk, order, parts in zip(chunks, orders, zip(*found, strict=True), strict=True):
        values = torch.cat(parts)
        every = values.new_zeros(len(order)).scatter_add_(0, order[: len(values)], values)
        chunk.copy_(every.view_as(chunk))
    return loss


def _slabs(keys: Sequence[Tensor]) -> tuple[list[Tensor], list[list[int]]]:
    """For each chunk its pixels, slab by slab, and how many each slab has of them.

    The first bits of a key tell its slab. Where the slabs end, a sample says, for they are to be
    about equal; many keys that start with the same bits get one of their own.
    """
    count = min(sum(map(len, keys)) // SLAB, 256)
    if count < 2:
        return [torch.arange(len(x)) for x in keys], [[len(x)] for x in keys]
    half, rest = 2 ** (FIRST_BITS - 1), torch.iinfo(keys[0].dtype).bits - FIRST_BITS
    sample = torch.cat([x[::16] for x in keys])
    counts = torch.bincount((sample >> rest).add_(half), minlength=2 * half)
    middle = counts.cumsum(0).double() - counts / 2
    slab_of = (middle * (count / (len(sample) + 1))).to(torch.uint8)
    slabs = [slab_of.index_select(0, (x >> rest).add_(half)).sort() for x in keys]
    every = torch.arange(count, dtype=torch.uint8)
    ends = torch.stack([torch.searchsorted(x, every, right=True) for x, _ in slabs])
    lengths = ends.diff(prepend=ends.new_zeros(len(ends), 1))
    return [order for _, order in slabs], lengths[:, lengths.any(0)].tolist()


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
