"""Exact distances on a CPU from each pixel of a mask to the nearest one of its other side.

Both sides at once, for a pixel never looks past the first pixel of the other side on its line:
what lies behind is farther, whichever side it is on. Along each dimension a distance is therefore
the smallest of that to this pixel and of what the pixels before it have found on their own lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product, takewhile

import torch
from torch import Tensor

from .distance import along_lines, neighbours

# Two whole numbers up to here have a sum in 16 bits.
SHORT = 2**14 - 1

# Lines are swept in tiles of so many bytes and so many lines, which stay in a cache.
SWEEP, NARROW = 2**18, 256

# So many lines a sweep passes over at once, where all of them lie too high.
STRIP = 8

# Where fewer than one line in so many knows a distance, these are all there is to look at.
FEW = 8


def squared_to_other_side(masks: Tensor, steps: Sequence[float], half: float) -> Tensor:
    """Squared distances (K, *), `half` a pixel less along each dimension; inf where there is none.

    Equal steps are counted in pixels, or in half pixels, whose squares are whole numbers.
    """
    whole = len(set(steps)) == 1
    unit = steps[0] * (0.5 if half else 1) if whole else 1
    found = torch.full_like(masks, math.inf, dtype=torch.float32)
    count = max(1, SWEEP // max(1, found[0].nbytes))  # of small masks several at once
    pairs = zip(torch.split(found, count), torch.split(masks, count), strict=True)
    for (squared, mask), (axis, step) in product(pairs, enumerate(steps, 1)):
        own = _along_line(mask, axis, step / unit, half)
        if axis == 1:
            squared.copy_(own)
        else:
            _across_lines(squared, own, axis, step / unit, half, whole)
    return found if unit == 1 else found.mul_(unit**2)


def _along_line(mask: Tensor, axis: int, step: float, half: float) -> Tensor:
    """Squared distances along `axis` alone: pixels are counted from where the side changes."""
    none = mask.shape[axis]  # farther than any
    dtype = torch.int16 if none <= SHORT else torch.int32
    at_change = torch.eq(*neighbours(mask, axis)).to(dtype).mul_(none - 1).add_(1)
    count = mask.new_full(mask.shape, none, dtype=dtype)
    ahead, behind = neighbours(count, axis)
    ahead.copy_(at_change)
    torch.minimum(behind, at_change, out=behind)
    squared = along_lines(count, axis).to(torch.float32).sub_(half).mul_(step).square_()
    return squared.masked_fill_(count == none, math.inf) if count.amax() == none else squared


def _across_lines(
    squared: Tensor, own: Tensor, axis: int, step: float, half: float, whole: bool
) -> None:
    """With what other lines along `axis` have found, in tiles; `own` is along the axis itself."""
    size = squared.shape[axis]
    shape = math.prod(squared.shape[:axis]), size, math.prod(squared.shape[axis + 1 :])
    lines, best = squared.view(shape), own.view(shape)
    known = lines.amin((0, 2)).isfinite().nonzero().flatten().tolist()
    few = len(known) <= size // FEW
    width = size if few else min(size, NARROW)
    height = max(1, SWEEP // (width * shape[2] * lines.itemsize))
    for rows, found in zip(torch.split(lines, height), torch.split(best, height), strict=True):
        torch.minimum(rows, found, out=found)
        if few:
            _from_known(rows, found, known, step, half)
        else:
            _sweep(rows, found, width, step, half, whole)
        rows.copy_(found)


def _from_known(
    lines: Tensor, best: Tensor, known: Sequence[int], step: float, half: float
) -> None:
    """From each of a few lines to all others."""
    place = torch.arange(lines.shape[1], dtype=torch.float32).unsqueeze(1)
    near = torch.empty_like(best)
    for line in known:
        gap = (place - line).abs_().sub_(half).clamp_(min=0).mul_(step).square_()
        torch.add(lines.narrow(1, line, 1), gap, out=near)
        torch.minimum(best, near, out=best)


def _sweep(lines: Tensor, best: Tensor, width: int, step: float, half: float, whole: bool) -> None:
    """Over the lines on both sides of each tile, near ones first, as far as they can matter."""
    size, worst = lines.shape[1], best.amax().item()
    short = whole and worst <= SHORT  # swept in less than half the time
    squares = ((max(k - half, 0) * step) ** 2 for k in range(size))
    gaps = [int(x) if short else x for x in takewhile(lambda x: x < worst, squares)]
    edge = STRIP * math.ceil((len(gaps) - 1) / STRIP)
    padded = lines.new_full(
        (len(lines), size + 2 * edge + -size % STRIP, lines.shape[2]),
        SHORT if short else math.inf,
        dtype=torch.int16 if short else lines.dtype,
    )
    padded[:, edge : edge + size] = lines.clamp(max=SHORT) if short else lines
    lowest = padded.amin(0).view(-1, STRIP * lines.shape[2]).amin(1).tolist()
    for start in range(0, size, width):
        tile = best[:, start : start + width]
        swept = tile.to(padded.dtype)
        _sweep_tile(swept, padded, lowest, edge + start, gaps)
        tile.copy_(swept)


def _sweep_tile(
    best: Tensor, padded: Tensor, lowest: Sequence[float], start: int, gaps: Sequence[float]
) -> None:
    """Over as many lines as there are squared gaps; `lowest` are the minima of strips of lines.

    A tile shrinks to what a line as far off can still lower, and passes over strips that all lie
    too high.
    """
    for nearest in range(1, len(gaps), STRIP):
        gap = gaps[nearest]
        rows, places = (_span(best.amax(axes) > gap) for axes in ((1, 2), (0, 2)))
        best, padded, start = best[rows, places], padded[rows], start + places.start
        if not best.numel():
            return
        width, near, worst = best.shape[1], torch.empty_like(best), best.amax().item()
        ends = start - nearest - STRIP + 1, start + nearest
        sides = [
            sign
            for sign, at in zip((-1, 1), ends, strict=True)
            if min(lowest[at // STRIP : (at + width + STRIP - 2) // STRIP + 1]) + gap < worst
        ]
        if not sides:
            continue
        for offset in range(nearest, min(nearest + STRIP, len(gaps))):
            gap = gaps[offset]
            if offset in (2, 4) and best.amax() <= gap:  # as in noise
                return
            beside = [padded.narrow(1, start + sign * offset, width) for sign in sides]
            if len(beside) == 2:
                torch.minimum(*beside, out=near).add_(gap)
            else:
                torch.add(beside[0], gap, out=near)
            torch.minimum(best, near, out=best)


def _span(is_live: Tensor) -> slice:
    """From the first that is live to the last."""
    live = is_live.nonzero()
    return slice(int(live[0]), int(live[-1]) + 1) if len(live) else slice(0, 0)
