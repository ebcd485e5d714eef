"""The Lovász losses, one class after the other: an integer sort, or a histogram.

Every kernel gives for the classes their loss, what fills an empty class (`fill_empty`) and the sum
of y, (3, 1 or B, C). A class without foreground has no loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..inputs import Pixels
from ..steps import bin_steps, jaccard_steps
from ..sums import sum_by_class
from .blocks import Block, block_slices, blocks
from .dispatch import Kernel

# Takes errors, y and the steps of the Jaccard loss, gives slopes, and may write into all three.
Slope = Callable[[Tensor, Tensor, Tensor], Tensor]

TILE, BUCKET = 2**17, 45_000  # pixels; torch sorts fewer than 2^15 integers by comparison
FIRST_BITS = 14


@dataclass(frozen=True)
class HingeBySort(Kernel):
    """An empty class is filled by the sum of its errors."""

    per_image: bool

    def smallest(self, pixels: Pixels) -> int:
        return 2**15 if pixels.classes == 1 else 2**16

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor]:
        slopes = torch.empty_like(pixels.input)  # the keys of the errors at first
        result = _empty_result(pixels, self.per_image)
        for block in blocks(pixels):
            y, errors = block.labels, slopes[block.at]
            margins = block.logits * torch.rsub(y, 1, alpha=2)
            torch.clamp(block.select(margins.add_(1)), min=0, out=errors)
            _to_keys(errors, y)
            _add(result[2], block, y.sum(-1))
        for row, images in _regions(pixels, self.per_image):
            for c in range(pixels.classes):
                keys, objects = slopes[images, c : c + 1], int(result[2, row, c])
                if objects > 0:
                    result[0, row, c] = _in_order(keys, objects, _hinge_slope, hinge=True)
                else:
                    errors = _from_keys(_as_integers(keys))
                    result[1, row, c] = errors.sum()
                    keys.copy_(_sign(errors))
        return result, slopes

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        by_loss, by_filling, _ = slope  # one of the two is 0
        return buffer.mul_((by_loss + by_filling).to(buffer.dtype).unsqueeze(-1))


def _hinge_slope(errors: Tensor, y: Tensor, steps: Tensor) -> Tensor:
    return _sign(errors).mul_(y.mul_(-2).add_(1)).mul_(steps)


def _sign(errors: Tensor) -> Tensor:
    """In place, of errors >= 0; NaN, which has none, stays NaN."""
    tiny = torch.finfo(errors.dtype).tiny
    return errors.clamp_(max=tiny).div_(tiny)


class _BySoftmax(Kernel):
    """An empty class is filled by the sum of its probabilities.

    The buffer holds p times the slope of the losses by p.
    """

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        by_loss, by_mass, _ = slope.to(buffer.dtype).unsqueeze(-1)
        for block in blocks(pixels):
            slopes = buffer[block.at].mul_(block.own_images(by_loss))
            p = block.probabilities(out=torch.empty_like(slopes))
            if by_mass.any():
                slopes.addcmul_(p, block.own_images(by_mass))
            slopes.addcmul_(p, slopes.sum(1, keepdim=True), value=-1)
        return buffer


@dataclass(frozen=True)
class SoftmaxBySort(_BySoftmax):
    per_image: bool

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor]:
        slopes = torch.empty_like(pixels.input)  # the keys of the errors at first
        one = slopes.new_ones(())
        result = _empty_result(pixels, self.per_image)
        for block in blocks(pixels):
            label, p = block.labels, block.probabilities(out=slopes[block.at])
            keep = one.expand(label.shape) if block.keep is None else block.keep
            _add(result[1], block, p.sum(-1))
            _add(result[2], block, sum_by_class(keep, label, pixels.classes))
            of_labels = _to_keys(keep - p.gather(1, label), keep)
            _to_keys(p).scatter_(1, label, of_labels)
        for row, images in _regions(pixels, self.per_image):
            for c in range(pixels.classes):
                keys, objects = slopes[images, c : c + 1], int(result[2, row, c])
                if objects > 0:
                    result[0, row, c] = _in_order(keys, objects, _softmax_slope)
                else:
                    keys.zero_()
        return result, slopes


def _softmax_slope(errors: Tensor, y: Tensor, steps: Tensor) -> Tensor:
    return errors.sub_(y).mul_(steps)  # p times the slope by p, for an error of y is 1 - p


@dataclass(frozen=True)
class SoftmaxByBins(_BySoftmax):
    """With the whole batch as one region."""

    bins: int

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor]:
        p, C, bins = torch.empty_like(pixels.input), pixels.classes, self.bins
        result = _empty_result(pixels, per_image=False)
        first = torch.arange(0, C * bins, bins, dtype=torch.int32, device=p.device)
        own = p.new_empty(pixels.target.shape)  # of the labels
        every = torch.zeros(C * bins, dtype=torch.long, device=p.device)
        for block in blocks(pixels):
            here = block.probabilities(out=p[block.at])
            result[1] += here.sum(-1).sum(0)
            own[block.at] = here.gather(1, block.labels)
            cells = self._level(here).add_(first.unsqueeze(-1)).flatten()
            every += torch.bincount(cells, minlength=C * bins)

        # Every probability is a background error, but for those of the labels and of void pixels.
        labels = pixels.target.long()
        if pixels.valid is not None:
            labels, own = labels[pixels.valid], own[pixels.valid]
            every[::bins] -= (~pixels.valid).sum()
        starts = first.index_select(0, labels.flatten())
        taken, foreground = (
            torch.bincount(starts + self._level(x).flatten(), minlength=C * bins)
            for x in (own, 1 - own)
        )
        counts = torch.stack([foreground, every - taken]).view(2, C, bins)
        result[2] = counts[0].sum(-1)
        fn_step, fp_step = (x.to(p.dtype).flatten() for x in bin_steps(counts))
        for block in blocks(pixels):
            here, label = p[block.at], block.labels
            errors = 1 - here.gather(1, label)
            cells = first.index_select(0, label.flatten()).add_(self._level(errors).flatten())
            steps = block.select(fn_step.index_select(0, cells).view_as(errors))
            cells = self._level(here).add_(first.unsqueeze(-1)).flatten()
            slopes = fp_step.index_select(0, cells).view_as(here)
            here.mul_(slopes.scatter_(1, label, -steps))
            losses = here.sum(-1) + sum_by_class(steps, label, C)
            result[0] += losses.sum(0)
        return result, p

    def _level(self, errors: Tensor) -> Tensor:
        return (errors * self.bins).to(torch.int32).clamp_(0, self.bins - 1)


def _as_integers(x: Tensor) -> Tensor:
    return x.view(torch.int64 if x.dtype == torch.float64 else torch.int32)


def _to_keys(errors: Tensor, foreground: Tensor | None = None) -> Tensor:
    """In place: integers that grow as errors >= 0 shrink; the last bit is 0 for foreground.

    The bits of floats >= 0 are ordered as integers are. Shifted, their highest bit is the sign of
    the integer; all others are inverted.
    """
    bits = _as_integers(errors).bitwise_left_shift_(1)
    if foreground is not None:
        bits.bitwise_or_(foreground.to(bits.dtype))
    return bits.bitwise_xor_(torch.iinfo(bits.dtype).max)


def _from_keys(keys: Tensor) -> Tensor:
    """In place: the errors."""
    top = torch.iinfo(keys.dtype).max
    errors = (keys.bitwise_xor_(top) >> 1).bitwise_and_(top)
    return errors.view(torch.float64 if keys.dtype == torch.int64 else torch.float32)


def _in_order(slopes: Tensor, objects: int, slope: Slope, hinge: bool = False) -> float:
    """The loss of a class from the keys of its errors, (B, 1, N), whose place its slopes take.

    Integers are sorted by radix, which is fast where they fit a core's cache: so not the pixels of
    the class, but buckets of them, from the largest errors to the smallest. Void pixels and those
    of the `hinge` without an error have no slope, nor has background behind all foreground.
    """
    tiles = [slopes[at] for at in block_slices(slopes.shape, TILE)]
    keys = [_as_integers(x).flatten() for x in tiles]
    orders, lengths = _buckets(keys)
    by_bucket = [
        torch.split(x.index_select(0, order), n)
        for x, order, n in zip(keys, orders, lengths, strict=True)
    ]
    no_error = torch.iinfo(keys[0].dtype).max - 1  # of foreground, and one more of background
    found: list[Sequence[Tensor]] = [[slopes.new_empty(0)] * len(tiles)]
    loss, start, missed = 0.0, 0, 0  # pixels and foreground of the buckets before
    for of_tiles in zip(*by_bucket, strict=True):
        bucket = torch.cat(of_tiles)
        if missed == objects or (hinge and bucket.amin() >= no_error):
            break
        bucket, order = bucket.sort()
        background, end = bucket & 1, start + len(bucket)
        y = torch.rsub(background, 1).to(slopes.dtype)
        union = background.cumsum(0, dtype=bucket.dtype).add_(objects + start - missed)
        rank = torch.arange(start + 1, end + 1, dtype=bucket.dtype, device=bucket.device)
        start, missed = end, objects + end - int(union[-1])
        steps = jaccard_steps(y, union, rank)
        errors = _from_keys(bucket)
        part = (errors * steps).sum().item()
        if math.isnan(part):  # by an infinite error whose step is 0, if not by NaN
            part = torch.where(steps == 0, 0, errors * steps).sum().item()
        loss += part
        values = slope(errors, y, steps)
        values = torch.zeros_like(values).scatter_add_(0, order, values)  # faster than index_copy_
        found.append(torch.split(values, [len(x) for x in of_tiles]))
    for tile, order, of_buckets in zip(tiles, orders, zip(*found, strict=True), strict=True):
        values = torch.cat(of_buckets)
        every = values.new_zeros(len(order)).scatter_add_(0, order[: len(values)], values)
        tile.copy_(every.view_as(tile))
    return loss


def _buckets(keys: Sequence[Tensor]) -> tuple[list[Tensor], list[list[int]]]:
    """For each tile its pixels, bucket by bucket, and how many each bucket has of them.

    The first bits of a key tell its bucket. Where the buckets end, a sample says, for they are to
    be about equal; many keys that start with the same bits get one of their own.
    """
    count, device = min(sum(map(len, keys)) // BUCKET, 256), keys[0].device
    if count < 2:
        return [torch.arange(len(x), device=device) for x in keys], [[len(x)] for x in keys]
    half, rest = 2 ** (FIRST_BITS - 1), torch.iinfo(keys[0].dtype).bits - FIRST_BITS
    sample = torch.cat([x[::16] for x in keys])
    counts = torch.bincount((sample >> rest).add_(half), minlength=2 * half).double()
    middle = counts.cumsum(0) - counts / 2
    bucket_of = (middle * (count / (len(sample) + 1))).to(torch.uint8)
    buckets = [bucket_of.index_select(0, (x >> rest).add_(half)).sort() for x in keys]
    every = torch.arange(count, dtype=torch.uint8, device=device)
    ends = torch.stack([torch.searchsorted(x, every, right=True) for x, _ in buckets])
    lengths = ends.diff(prepend=ends.new_zeros(len(ends), 1))
    return [order for _, order in buckets], lengths[:, lengths.any(0)].tolist()


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
