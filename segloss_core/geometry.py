"""Distances of label images, without gradient.

To the two nearest instances of each pixel, to the edge of a region, to the nearest pixel of a set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import (
    check_choice,
    check_positive,
    check_range,
    check_tensor,
    expect,
    peek,
    seen,
)
from .fast import gpu_room, on_cpu
from .fast.distance import two_nearest
from .fast.sides import squared_to_other_side
from .inputs import (
    MODES,
    Mode,
    check_hard,
    class_count,
    find_valid,
    hard_mask,
    signed,
    without_one_channel,
)

Convention = Literal["edge", "centre", "kervadec"]

# Elements that a step of the distance transform writes: enough for a GPU to be busy with.
TILE = 2**26


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
        farthest = peek(best.second.amax()) if seen(best.second) else None
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


def signed_distance(
    target: Tensor,
    *,
    mode: Mode = "binary",
    num_classes: int | None = None,
    spacing: Sequence[float] | None = None,
    convention: Convention = "edge",
    ignore_index: int | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Signed distance of every pixel to the edge of each class's region, negative inside.

    Formula:
        phi(x) = -min_{q outside} d(x, q) inside the region,  min_{q inside} d(x, q) outside of it

    With "edge" d is the distance from the centre of x to the nearest point of the pixel q, which is
    the Euclidean distance to the region as it is drawn, at any spacing. With "centre" it is the
    distance between the centres, which jumps from -1 to 1. "kervadec" is "centre" plus 1 inside, as
    in the authors' code: 0 on the inner pixels of the edge, 1 on the outer ones.

    Exact on any device, in any number of dimensions, with all images and classes in one call. On a
    CPU pixels far from any edge take longer than near ones (a disc in 512 by 512 pixels eight
    times as long as noise); on other devices the cost does not depend on the regions.

    Args:
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.
        convention: "edge", "centre" or "kervadec". Default "edge".

    Returns:
        float32, of the target's shape, in multiclass mode (B, C, *), where (B, 1, *) ids have a
        channel. inf or -inf where a region is empty or fills the image, so that there is no other
        side; 0 under void pixels, which are on no side.

    Example:
        >>> import torch
        >>> signed_distance(torch.tensor([[0, 0, 1, 1, 1]]))
        tensor([[ 1.5000,  0.5000, -0.5000, -1.5000, -2.5000]])

    References:
        Hoel Kervadec, Jihene Bouchtiba, Christian Desrosiers, Eric Granger, Jose Dolz, Ismail
        Ben Ayed: Boundary loss for highly unbalanced segmentation, 2019, arXiv 1812.07032.

    Chapter: Boundary losses.
    """
    check_choice("mode", mode, MODES)
    target = check_hard("target", target, mode)
    least = 2 if mode == "multilabel" else 1
    expect(target.ndim >= least, "target", f"at least {least} dimensions", target.shape)
    if mode == "multiclass":
        target = without_one_channel(target)
    valid = find_valid(target, mode, ignore_index, mask, target.shape)
    C = class_count({"target": target}, valid, mode, num_classes)
    inside = regions(hard_mask("target", target, mode, valid, C), valid, mode, C)
    grid = Grid.of(target.shape, mode, spacing)
    phi = signed_map(inside, valid, grid, convention)
    several = mode == "multiclass"
    return phi.reshape(*phi.shape[:2], *grid.shape) if several else phi.reshape(target.shape)


class Grid(NamedTuple):
    """The spatial shape of flat pixels, and the size of a pixel along each dimension."""

    shape: torch.Size
    steps: Sequence[float]

    @classmethod
    def of(cls, shape: torch.Size, mode: Mode, spacing: Sequence[float] | None) -> Grid:
        """Of the shape of a pixel loss: (B, *), in binary mode also (B, 1, *), or (B, C, *)."""
        space = shape[2:] if mode == "multilabel" else shape[1:]
        # Without a spacing both mean the same.
        count = len(space) - 1 if spacing is None else len(_steps(spacing, None))
        if mode == "binary" and space[:1] == (1,) and count == len(space) - 1:
            space = space[1:]  # a channel, not a dimension of one pixel
        return cls(space, _steps(spacing, len(space)))


def regions(labels: Tensor, valid: Tensor | None, mode: Mode, classes: float) -> Tensor:
    """The pixels of each class, bool (B, C, N), from class ids or from numbers up to 1."""
    if mode == "multiclass" and not labels.is_floating_point():
        inside = labels == torch.arange(int(classes), device=labels.device).unsqueeze(1)
    else:
        inside = labels > 0.5
    return inside if valid is None else inside & valid


def signed_map(inside: Tensor, valid: Tensor | None, grid: Grid, convention: str) -> Tensor:
    """The signed distances (B, C, N) of regions, 0 under void pixels."""
    check_choice("convention", convention, get_args(Convention))
    half = 0.5 if convention == "edge" else 0
    to_inside = to_outside = _to_other_side(inside, grid, half)
    if valid is not None:
        to_outside = _to_other_side(~inside & valid, grid, half)
    shift = 1 if convention == "kervadec" else 0
    phi = torch.where(inside, shift - to_outside, to_inside)
    return phi if valid is None else torch.where(valid, phi, 0)


def distance_to(places: Tensor, grid: Grid, half: float = 0) -> Tensor:
    """Distances (B, C, N) to the nearest of some pixels, `half` a pixel before its centre."""
    return torch.where(places, 0, _to_other_side(places, grid, half))


def _to_other_side(mask: Tensor, grid: Grid, half: float) -> Tensor:
    """Distances (B, C, N) from every pixel to the nearest one that is not on its side of a mask."""
    side = mask.reshape(mask.shape[0] * mask.shape[1], *grid.shape)
    if mask.numel() == 0:
        return torch.zeros_like(mask, dtype=torch.float32)
    if on_cpu(mask):
        return squared_to_other_side(side, grid.steps, half).sqrt_().reshape(mask.shape)
    squared = torch.full_like(side, torch.inf, dtype=torch.float32)
    for axis, step in enumerate(grid.steps, 1):
        own = _along_line(side, axis, step, half)
        squared = own if axis == 1 else torch.minimum(own, _min_plus(squared, axis, step, half))
    return squared.sqrt().reshape(mask.shape)


def _along_line(side: Tensor, axis: int, step: float, half: float) -> Tensor:
    """Squared distances along `axis` alone, which start where the side changes."""
    side = side.movedim(axis, -1)
    size = side.shape[-1]
    place = torch.arange(size, device=side.device, dtype=torch.float32)
    changes = F.pad(side[..., 1:] != side[..., :-1], [1, 1])
    before = torch.where(changes[..., :-1], place - 1, -torch.inf).cummax(-1).values
    after = torch.where(changes[..., 1:], place + 1, torch.inf).flip(-1).cummin(-1).values.flip(-1)
    gap = torch.minimum(place - before, after - place)
    return ((gap - half) * step).square().movedim(-1, axis)


def _min_plus(squared: Tensor, axis: int, step: float, half: float) -> Tensor:
    """With what lies on all lines along `axis`: for every pixel the smallest sum of a line's value
    and its squared gap.

    What lies behind the first pixel of the other side does not matter, for that one is nearer. No
    value decides what is done, so nothing waits for a GPU.
    """
    lines = squared.movedim(axis, -1)
    size = lines.shape[-1]
    place = torch.arange(size, device=lines.device, dtype=torch.float32)
    # A compiler adds and compares in one pass, without the buffer that has to be kept small.
    compiled = torch.compiler.is_compiling()
    width = size if compiled else max(1, TILE // lines.numel())
    found = []
    for start in range(0, size, width):
        gap = (place[start : start + width].unsqueeze(1) - place).abs()
        gap = ((gap - half).clamp(min=0) * step).square()
        found.append((lines.unsqueeze(-2) + gap).amin(-1))
    return torch.cat(found, -1).movedim(-1, axis)


def _steps(spacing: Sequence[float] | None, dimensions: int | None) -> Sequence[float]:
    if spacing is None:
        return [1.0] * (dimensions or 0)
    if not hasattr(spacing, "__len__"):  # numpy's arrays have one
        raise TypeError(f"spacing: expected a number for each spatial dimension, got {spacing!r}")
    if dimensions is not None and len(spacing) != dimensions:
        raise ValueError(f"spacing: expected {dimensions} numbers, got {spacing!r}")
    return [check_positive("spacing", size) for size in spacing]
