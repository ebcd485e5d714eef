"""Distances of label images, without gradient: to the two nearest instances of each pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .checks import check_positive, check_range, check_tensor, peek
from .fast import gpu_room, on_cpu
from .fast.distance import two_nearest
from .inputs import signed


def two_nearest_distances(
    instances: Tensor, *, spacing: Sequence[float] | None = None
) -> tuple[Tensor, Tensor]:
    """Distances of every pixel to the nearest and to the second nearest instance.

    Exact Euclidean distances from the centre of a pixel to the centre of the nearest pixel of the
    instance; d1 is 0 inside an instance. Cost and memory grow at most with the logarithm of the
    number of instances.

    Args:
        instances: Instance ids (B, *), integer, 0 for background; any number of dimensions.
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.

    Returns:
        d1 and d2, each (B, *) float32; inf where there is no such instance.

    Example:
        >>> import torch
        >>> two_nearest_distances(torch.tensor([[1, 0, 0, 0, 2]]))
        (tensor([[0., 1., 2., 1., 0.]]), tensor([[4., 3., 2., 3., 4.]]))

    Chapter: U-Net weight map.
    """
    first, second = two_nearest_squared(instances, spacing, reach=math.inf)
    return first.sqrt(), second.sqrt()


class _Nearest(NamedTuple):
    """Squared distances to the two nearest instances with different ids, and these ids."""

    first: Tensor
    first_id: Tensor
    second: Tensor
    second_id: Tensor

    def insert(self, squared: Tensor, id: Tensor) -> _Nearest:
        """With one more candidate for every pixel."""
        same, closer = id == self.first_id, squared < self.first
        runner_up = torch.minimum(self.second, torch.maximum(self.first, squared))
        runner_up_id = torch.where(squared < self.second, id, self.second_id)
        return _Nearest(
            torch.minimum(self.first, squared),
            torch.where(closer, id, self.first_id),
            torch.where(same, self.second, runner_up),
            torch.where(same, self.second_id, torch.where(closer, self.first_id, runner_up_id)),
        )


def two_nearest_squared(
    instances: Tensor, spacing: Sequence[float] | None, reach: float
) -> tuple[Tensor, Tensor]:
    """Squared distances of every pixel to the two nearest instances, exact as far as `reach`."""
    instances = signed(check_tensor("instances", instances))
    if instances.is_floating_point() or instances.dtype == torch.bool:
        raise TypeError(
            f"instances: expected integer ids, got {instances.dtype} (scipy.ndimage.label or "
            f"skimage.measure.label number the objects of a mask)"
        )
    if instances.ndim == 0:
        raise ValueError("instances: expected shape (B, *), got shape ()")
    check_range("instances", instances, 0, math.inf, "ids")
    steps = _steps(spacing, instances.ndim - 1)

    ids = instances.long()
    if ids.numel() == 0:
        nothing = torch.empty_like(ids, dtype=torch.float32)
        return nothing, nothing
    room = gpu_room(ids)
    if room is not None and steps:
        found: tuple[Tensor, Tensor] = room.two_nearest(ids, steps, reach)
        return found
    if on_cpu(ids):
        return two_nearest(ids, steps, reach)
    nearest = _search(ids, steps, reach)
    return nearest.first, nearest.second


def _search(ids: Tensor, steps: Sequence[float], reach: float) -> _Nearest:
    """One dimension after the other.

    Of the two nearest in a plane each is among the two nearest of some line in it: else two others
    of that line would be nearer.
    """
    inside = torch.zeros_like(ids, dtype=torch.float32).masked_fill(ids == 0, torch.inf)
    nearest = _Nearest(inside, ids, torch.full_like(inside, torch.inf), ids)
    for axis, step in enumerate(steps, 1):
        nearest = _line(ids, step) if axis == 1 else _sweep(nearest, axis, step, reach)
    return nearest


def _line(ids: Tensor, step: float) -> _Nearest:
    """The two nearest within each line along dimension 1, from both of its ends."""
    above = _at_or_before(ids, step)
    below = _Nearest(*(x.flip(1) for x in _at_or_before(ids.flip(1), step)))
    return above.insert(below.first, below.first_id).insert(below.second, below.second_id)


def _at_or_before(ids: Tensor, step: float) -> _Nearest:
    size = ids.shape[1]
    place = torch.arange(size, device=ids.device).view(1, -1, *[1] * (ids.ndim - 2))
    nowhere = torch.full_like(ids[:, :1], -1)
    last = torch.where(ids > 0, place, -1).cummax(1).values
    # Where the id changes, the last pixel before is the nearest of another instance from there on.
    previous = torch.cat([nowhere, last[:, : size - 1]], 1)
    changed = (ids > 0) & (previous >= 0) & (_pick(ids, previous) != ids)
    other = torch.where(changed, previous, -1).cummax(1).values
    first, second = (
        ((place - p).float() * step).square().masked_fill(p < 0, torch.inf) for p in (last, other)
    )
    return _Nearest(first, _pick(ids, last), second, _pick(ids, other))


def _pick(ids: Tensor, place: Tensor) -> Tensor:
    return ids.gather(1, place.clamp(min=0))


def _sweep(nearest: _Nearest, axis: int, step: float, reach: float) -> _Nearest:
    """The two nearest of every pixel from those of the lines beside it, near lines first."""
    size = nearest.first.shape[axis]
    best = _Nearest(*(x.clone() for x in nearest))
    for offset in range(1, size):
        gap = (offset * step) ** 2
        farthest = peek(best.second.amax())
        if gap > reach**2 or (farthest is not None and gap >= farthest):
            break
        for to, source in ((offset, 0), (0, offset)):
            here = _Nearest(*(x.narrow(axis, to, size - offset) for x in best))
            there = _Nearest(*(x.narrow(axis, source, size - offset) for x in nearest))
            found = here.insert(there.first + gap, there.first_id)
            found = found.insert(there.second + gap, there.second_id)
            for old, new in zip(here, found, strict=True):
                old.copy_(new)
    return best


def _steps(spacing: Sequence[float] | None, dimensions: int) -> Sequence[float]:
    if spacing is None:
        return [1.0] * dimensions
    if not hasattr(spacing, "__len__"):  # numpy's arrays have one
        raise TypeError(f"spacing: expected a number for each spatial dimension, got {spacing!r}")
    if len(spacing) != dimensions:
        raise ValueError(f"spacing: expected {dimensions} numbers, got {spacing!r}")
    return [check_positive("spacing", size) for size in spacing]
