"""The distances to the two nearest instances from a few plain distance transforms.

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

Place = tuple[slice, ...]


def two_nearest(ids: Tensor, steps: Sequence[float], reach: float) -> tuple[Tensor, Tensor]:
    """Squared distances of the pixels (B, *), exact as far as `reach`."""
    found = ids.new_empty(2, *ids.shape, dtype=torch.float32)
    for image, here in zip(ids, found.unbind(1), strict=True):
        for tile, wider in _tiles(image.shape, [reach / step for step in steps]):
            inside = tuple(
                slice(t.start - w.start, t.stop - w.start) for t, w in zip(tile, wider, strict=True)
            )
            for nearest, part in zip(here, _of_tile(image[wider], steps, reach), strict=True):
                nearest[tile] = part[inside]
    first, second = found
    return first, second


def _tiles(shape: torch.Size, margins: Sequence[float]) -> Iterator[tuple[Place, Place]]:
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
    for places in product(*ranges):
        yield tuple(tile for tile, _ in places), tuple(wider for _, wider in places)


def _of_tile(ids: Tensor, steps: Sequence[float], reach: float) -> tuple[Tensor, Tensor]:
    whole = reach <= SHORT and all(step == 1 for step in steps)
    # Beyond reach: whole numbers are clipped to the next one, and are infinite in the end.
    far = int(reach) + 1 if whole else math.inf
    size = [1] * len(steps) if whole else steps
    if ids.amax() > ids.numel():  # too large for a table
        labels, ids = torch.unique(ids, return_inverse=True)
        ids += int(labels[0] > 0)  # 0 is the background, present or not
    outside, places = _groups(ids, far, torch.int16 if whole else torch.float32), ids.flatten()
    squared = torch.stack(
        [_transform(x.index_select(0, places).view_as(ids), size, reach, far) for x in outside]
    )
    first = squared.amin(0)
    nearest = squared == first
    others = squared.masked_fill_(nearest, far**2).amin(0)
    second = torch.where(nearest.sum(0, dtype=torch.int8) > len(outside) // 2, first, others)
    pair = (x.to(torch.float32) for x in (first, second))
    first, second = (x.masked_fill_(x >= far**2, math.inf) for x in pair)
    return first, second


def _groups(ids: Tensor, far: float, dtype: torch.dtype) -> Tensor:
    """For every group a table over the ids: 0 for the instances in it, `far` for all else."""
    present = ids.new_zeros(int(ids.amax()) + 1).scatter_(0, ids.flatten(), 1)
    instances = present[1:].nonzero().squeeze(1).add_(1).tolist()
    groups = 2
    while math.comb(groups, groups // 2) < len(instances):
        groups += 1
    own = combinations(range(groups), groups // 2)
    outside = torch.full((groups, len(present)), far, dtype=dtype)
    if instances:
        members = torch.tensor(list(islice(own, len(instances))))
        outside[members, torch.tensor(instances).unsqueeze(1)] = 0
    return outside


def _transform(outside: Tensor, steps: Sequence[float], reach: float, far: float) -> Tensor:
    """Squared distances to the zeros of a tensor that is `far` elsewhere."""
    if not steps:
        return outside
    distance = _along_lines(outside, reach / steps[0]).mul_(steps[0])
    squared = distance.mul_(distance)
    for axis, step in enumerate(steps[1:], 1):
        squared = _across_lines(squared, axis, step, reach, far**2)
    return squared


def _along_lines(distance: Tensor, reach: float) -> Tensor:
    """Distances along dimension 0, by strides of 1, 2, 4, ..., which make every number."""
    stride = 1
    while stride < min(len(distance), reach + 1):
        ahead, behind = distance[stride:], distance[:-stride]
        torch.minimum(ahead, behind + stride, out=ahead)
        torch.minimum(behind, ahead + stride, out=behind)
        stride *= 2
    return distance


def _across_lines(best: Tensor, axis: int, step: float, reach: float, far: float) -> Tensor:
    """With what lies on other lines, near ones first, along `axis`."""
    size = best.shape[axis]
    margin = int(min(size - 1, reach / step))
    edge = best.new_full([*best.shape[:axis], margin, *best.shape[axis + 1 :]], far)
    padded, near = torch.cat([edge, best, edge], axis), torch.empty_like(best)
    for offset in range(1, margin + 1):
        gap = (offset * step) ** 2
        if offset % 8 == 0 and best.amax() <= gap:
            break
        above, below = (padded.narrow(axis, margin + k, size) for k in (-offset, offset))
        torch.minimum(above, below, out=near).add_(gap)
        torch.minimum(best, near, out=best)
    return best
