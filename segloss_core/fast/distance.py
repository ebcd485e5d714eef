"""Exact distance transforms on a CPU, and from a few of them the two nearest instances.

Every instance belongs to its own h of m groups of instances, so no set of groups holds another.
The h groups of the nearest instance are all as near as it is. Of any other instance there is a
group that it shares with none nearer, so the second distance is the smallest of the other groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, islice, product

import torch
from torch import Tensor

# Squares of whole distances up to here, and their sums, are exact in 16 bits.
SHORT = 125

# A tile of this side stays in a cache; a smaller one costs more calls.
TILE = 512

# What lies within so many lines is found fastest line by line.
NEAR = 32

# Pixels whose envelopes are found at once: more take memory, fewer take calls.
ENVELOPES = 2**22

Slices = tuple[slice, ...]


def two_nearest(ids: Tensor, steps: Sequence[float], reach: float) -> tuple[Tensor, Tensor]:
    """Squared distances of the pixels (B, *), exact as far as `reach`."""
    found = ids.new_empty(2, *ids.shape, dtype=torch.float32)
    for image, here in zip(ids, found.unbind(1), strict=True):
        for tile, wider in _tiles(image.shape, [reach / step for step in steps]):
            inside = tuple(
                slice(t.start - w.start, t.stop - w.start) for t, w in zip(tile, wider, strict=True)
            )
            for nearest, of_tile in zip(here, _of_tile(image[wider], steps, reach), strict=True):
                nearest[tile] = of_tile[inside]
    first, second = found
    return first, second


def _tiles(shape: torch.Size, margins: Sequence[float]) -> Iterator[tuple[Slices, Slices]]:
    """Tiles, and what lies within their reach: an eighth more in width at most."""
    ranges = []
    for size, margin in zip(shape, margins, strict=True):
        margin = min(size, math.ceil(margin)) if math.isfinite(margin) else size
        side = max(TILE, 16 * margin)
        ranges.append(
            [
                (slice(at, min(size, at + side)), slice(max(0, at - margin), at + side + margin))
                for at in range(0, size, side)
            ]
        )
    for both in product(*ranges):
        yield tuple(tile for tile, _ in both), tuple(wider for _, wider in both)


def _of_tile(ids: Tensor, steps: Sequence[float], reach: float) -> tuple[Tensor, Tensor]:
    whole = reach <= SHORT and all(step == 1 for step in steps)
    # Beyond reach: whole numbers are clipped to the next one, and are infinite in the end.
    far = int(reach) + 1 if whole else math.inf
    size = [1] * len(steps) if whole else steps
    if ids.amax() > ids.numel():  # too large for a table
        labels, ids = torch.unique(ids, return_inverse=True)
        ids += int(labels[0] > 0)  # 0 is the background, present or not
    outside, each = _groups(ids, far, torch.int16 if whole else torch.float32), ids.flatten()
    squared = torch.stack(
        [squared_distance(x.index_select(0, each).view_as(ids), size, reach, far) for x in outside]
    )
    first = squared.amin(0)
    # Two sums for the same distance may differ by rounding.
    slack = 0 if whole else 4 * torch.finfo(torch.float32).eps
    nearest = squared <= first + slack * first if slack else squared == first
    others = squared.masked_fill_(nearest, far**2).amin(0)
    second = torch.where(nearest.sum(0, dtype=torch.int8) > len(outside) // 2, first, others)
    pair = (x.to(torch.float32) for x in (first, second))
    first, second = (x.masked_fill_(x >= far**2, math.inf) for x in pair)
    return first, second


def _groups(ids: Tensor, far: float, dtype: torch.dtype) -> Tensor:
    """For every group a table over the ids: 0 for the instances in it, `far` for all else."""
    present = ids.new_zeros(int(ids.amax()) + 1).scatter_(0, ids.flatten(), 1)
    instances = present[1:].nonzero().squeeze(1).add_(1)
    groups = 2
    while math.comb(groups, groups // 2) < len(instances):
        groups += 1
    own = combinations(range(groups), groups // 2)
    outside = present.new_full((groups, len(present)), far, dtype=dtype)
    if len(instances):
        members = instances.new_tensor(list(islice(own, len(instances))))
        outside[members, instances.unsqueeze(1)] = 0
    return outside


def squared_distance(
    outside: Tensor, steps: Sequence[float], reach: float = math.inf, far: float = math.inf
) -> Tensor:
    """Squared distances to the zeros of a tensor that is `far` elsewhere, and is used up."""
    if not steps or outside.amin() > 0:
        return outside if not steps else outside * outside
    distance = along_lines(outside, 0, reach / steps[0]).mul_(steps[0])
    squared = distance.mul_(distance)
    for axis, step in enumerate(steps[1:], 1):
        squared = _across_lines(squared, axis, step, reach, far**2)
    return squared


def along_lines(distance: Tensor, axis: int, reach: float = math.inf) -> Tensor:
    """Distances along `axis`, in place, by strides of 1, 2, 4, ..., which make every number."""
    stride = 1
    while stride < min(distance.shape[axis], reach + 1) and distance.amax() >= stride:
        ahead, behind = neighbours(distance, axis, stride)
        torch.minimum(ahead, behind + stride, out=ahead)
        torch.minimum(behind, ahead + stride, out=behind)
        stride *= 2
    return distance


def neighbours(x: Tensor, axis: int, stride: int = 1) -> tuple[Tensor, Tensor]:
    """What has something so far behind it along `axis`, and what is there."""
    length = x.shape[axis] - stride
    return x.narrow(axis, stride, length), x.narrow(axis, 0, length)


def _across_lines(lines: Tensor, axis: int, step: float, reach: float, far: float) -> Tensor:
    """With what lies on other lines along `axis`: near ones first, and far ones all at once."""
    size = lines.shape[axis]
    margin = int(min(size - 1, reach / step))
    sweep = margin if margin <= 4 * NEAR else NEAR
    edge = lines.new_full([*lines.shape[:axis], sweep, *lines.shape[axis + 1 :]], far)
    padded = torch.cat([edge, lines, edge], axis)
    best, near = lines.clone(), torch.empty_like(lines)
    for offset in range(1, sweep + 1):
        gap = (offset * step) ** 2
        if offset % 8 == 0 and best.amax() <= gap:
            return best
        above, below = (padded.narrow(axis, sweep + k, size) for k in (-offset, offset))
        torch.minimum(above, below, out=near).add_(gap)
        torch.minimum(best, near, out=best)
    if sweep == margin or best.amax() <= (sweep * step) ** 2:
        return best
    flat = lines.movedim(axis, 0).flatten(1)
    tiles = torch.split(flat, max(1, ENVELOPES // size), 1)
    found = [_envelope(x, step) for x in tiles]
    return torch.cat(found, 1).view_as(lines.movedim(axis, 0)).movedim(0, axis)


def _envelope(lines: Tensor, step: float) -> Tensor:
    """The smallest of lines[q] + (step (i - q))^2 over q, along dimension 0, whatever they hold.

    These are parabolas over i, of one width, with their vertices at q. Two of them cut once, so
    that the lowest ones follow each other in the order of q. Each new one hides those that would
    start to be the lowest only after it has cut them. (Felzenszwalb and Huttenlocher, 2012)
    """
    size, count = lines.shape
    ground = lines.new_full((1, count), math.inf)  # the vertex of none, below all others
    place = step * torch.arange(size + 1, dtype=torch.float64, device=lines.device)
    place[size] = -step
    lines = torch.cat([lines, ground])
    height = lines + place.square().unsqueeze(1)
    is_vertex = lines.isfinite()
    vertex = torch.full_like(lines, size, dtype=torch.long)
    start = torch.full_like(height, math.inf)
    start[0] = -math.inf
    top = vertex.new_zeros(1, count)  # how many follow each other so far, but for the ground
    for q in is_vertex.any(1).nonzero().flatten().tolist():
        while True:
            old = vertex.gather(0, top)
            cut = (height[q] - height.gather(0, old)) / (2 * (place[q] - place[old]))
            hides = cut < start.gather(0, top)
            if not hides.any():
                break
            top -= hides.long()
        vertex.scatter_(0, top + 1, q)
        start.scatter_(0, top + 1, cut)
        top += is_vertex[q]
    ranks = torch.arange(size + 1, device=lines.device).unsqueeze(1)
    first = (start / step).masked_fill_(ranks > top, math.inf).ceil_().clamp_(0, size).long()
    begun = torch.zeros_like(vertex).scatter_add_(0, first, torch.ones_like(vertex)).cumsum(0)
    lowest = vertex.gather(0, begun[:size] - 1)
    gap = (step * (ranks[:size] - lowest)).square_()
    return lines.gather(0, lowest).add_(gap.to(lines.dtype))
