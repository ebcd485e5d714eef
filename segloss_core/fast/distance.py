"""The distances to the two nearest instances from a few plain distance transforms.

Every instance belongs to its own h of m groups of instances, so no set of groups holds another.
The h groups of the nearest instance are all as near as it is. Of any other instance there is a
group that it shares with none nearer, so the second distance is the smallest of the other groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, islice

import torch
from torch import Tensor


def two_nearest(ids: Tensor, steps: Sequence[float], reach: float) -> tuple[Tensor, Tensor]:
    """Squared distances of the pixels (B, *), exact as far as `reach`."""
    pairs = [_of_image(image, steps, reach) for image in ids]
    first, second = zip(*pairs, strict=True)
    return torch.stack(first), torch.stack(second)


def _of_image(ids: Tensor, steps: Sequence[float], reach: float) -> tuple[Tensor, Tensor]:
    labels, rank = torch.unique(ids, return_inverse=True)
    rank += int(labels[0] > 0)  # 0 is the background, present or not
    count = int(rank.max())
    groups = 2
    while math.comb(groups, groups // 2) < count:
        groups += 1
    outside = torch.full((count + 1, groups), torch.inf)  # 0 where an instance is of the group
    for instance, own in enumerate(islice(combinations(range(groups), groups // 2), count), 1):
        outside[instance, list(own)] = 0
    squared = torch.stack([_transform(x[rank], steps, reach) for x in outside.unbind(1)])
    first = squared.amin(0)
    nearest = squared == first
    second = squared.masked_fill_(nearest, torch.inf).amin(0)
    return first, torch.where(nearest.sum(0) > groups // 2, first, second)


def _transform(outside: Tensor, steps: Sequence[float], reach: float) -> Tensor:
    """Squared distances to the zeros of a tensor that is infinite elsewhere."""
    if not steps:
        return outside
    squared = _along_lines(outside.clone(), reach / steps[0]).mul_(steps[0]).square_()
    for axis, step in enumerate(steps[1:], 1):
        squared = _across_lines(squared.movedim(axis, 0), step, reach).movedim(0, axis)
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


def _across_lines(squared: Tensor, step: float, reach: float) -> Tensor:
    """With what lies on other lines, near ones first, along dimension 0."""
    size = len(squared)
    margin = int(min(size - 1, reach / step))
    best = squared.contiguous()
    edge = best.new_full((margin, *best.shape[1:]), torch.inf)
    padded = torch.cat([edge, best, edge])
    for offset in range(1, margin + 1):
        gap = (offset * step) ** 2
        if offset % 8 == 0 and best.amax() <= gap:
            break
        above, below = (padded[margin + k : margin + k + size] for k in (-offset, offset))
        torch.minimum(best, torch.minimum(above, below).add_(gap), out=best)
    return best
