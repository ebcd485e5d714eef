"""Distances between the surfaces of hard masks, to report, not to train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_number, check_positive
from .geometry import Grid, distance_to, regions
from .inputs import Mode
from .metrics import hard_masks
from .overlap import Regions
from .ranks import ProcessGroup
from .reduction import Classes, Reduction, reduce_classes
from .sums import ratio, sum_dtype, total


def hausdorff_distance(
    pred: Tensor,
    target: Tensor,
    *,
    percentile: float = 100.0,
    mode: Mode = "binary",
    num_classes: int | None = None,
    spacing: Sequence[float] | None = None,
    classes: Classes = "present",
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """The largest distance from one mask's surface to the other's, or a percentile (HD95).

    Formula:
        HD = max(max_{a in S(P)} d(a, S(Y)), max_{b in S(Y)} d(b, S(P)))

    S(A) are the pixels of A with a neighbour along an axis that is not in A; beyond the image and
    under void pixels nothing is. Distances are between centres. With `percentile` each inner
    maximum is that percentile, interpolated linearly. This is MONAI's definition, too.

    Args:
        percentile: 100 for the maximum, 95 for HD95; from 0 to 100. Default 100.
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.

    Returns:
        A float32 scalar, in the unit of `spacing`; with reduction "none" (B, C).

    Convention:
        Normaliser: the number of classes counted in an image, then that of images.
        Empty: inf where one mask is empty. Where both are the distance is 0, and does not enter
        the mean. (MONAI's percentile is NaN there, and drops a missed object from the mean.)
        With nothing to count the result is 0.

    Example:
        >>> import torch
        >>> pred, target = torch.tensor([[0, 1, 1, 1, 1]]), torch.tensor([[0, 1, 1, 0, 0]])
        >>> hausdorff_distance(pred, target)
        tensor(2.)

    Chapter: Boundary losses.
    """
    percentile = check_number("percentile", percentile, high=100)
    pair = _Pair.of(pred, target, mode, num_classes, spacing, ignore_index, mask, process_group)
    p, y, to_p, to_y = pair.surfaces()
    farthest = torch.maximum(_percentile(to_y, p, percentile), _percentile(to_p, y, percentile))
    one, other = p.any(-1), y.any(-1)
    distance = torch.where(one ^ other, torch.inf, torch.where(one, farthest, 0))
    return pair.mean(distance, classes, reduction)


def average_surface_distance(
    pred: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    num_classes: int | None = None,
    spacing: Sequence[float] | None = None,
    classes: Classes = "present",
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """The average symmetric surface distance (ASSD): the mean over the pixels of both surfaces.

    Formula:
        ASSD = (sum_{a in S(P)} d(a, S(Y)) + sum_{b in S(Y)} d(b, S(P))) / (|S(P)| + |S(Y)|)

    S(A) are the pixels of A with a neighbour along an axis that is not in A; beyond the image and
    under void pixels nothing is. Distances are between centres. This is MONAI's definition with
    symmetric=True.

    Args:
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.

    Returns:
        A float32 scalar, in the unit of `spacing`; with reduction "none" (B, C).

    Convention:
        Normaliser: the number of classes counted in an image, then that of images.
        Empty: inf where one mask is empty. Where both are the distance is 0, and does not enter
        the mean. With nothing to count the result is 0.

    Example:
        >>> import torch
        >>> pred, target = torch.tensor([[0, 1, 1, 1, 1]]), torch.tensor([[0, 1, 1, 0, 0]])
        >>> average_surface_distance(pred, target)  # (0 + 2) and (0 + 1), of 4 pixels
        tensor(0.7500)

    Chapter: Boundary losses.
    """
    pair = _Pair.of(pred, target, mode, num_classes, spacing, ignore_index, mask, process_group)
    p, y, to_p, to_y = pair.surfaces()
    both = total(torch.where(p, to_y, 0)) + total(torch.where(y, to_p, 0))
    return pair.mean(ratio(both, p.sum(-1) + y.sum(-1)), classes, reduction)


def surface_dice(
    pred: Tensor,
    target: Tensor,
    *,
    tolerance: float,
    mode: Mode = "binary",
    num_classes: int | None = None,
    spacing: Sequence[float] | None = None,
    classes: Classes = "present",
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """The share of both surfaces that lies within a tolerance of the other (NSD).

    Formula:
        SD = (|{a in S(P): d(a, S(Y)) <= t}| + |{b in S(Y): d(b, S(P)) <= t}|) / (|S(P)| + |S(Y)|)

    S(A) are the pixels of A with a neighbour along an axis that is not in A; beyond the image and
    under void pixels nothing is. Distances are between centres, and pixels are counted, as by
    MONAI; DeepMind's surface-distance weighs pieces of a surface between the pixels by their area.

    Args:
        tolerance: t, non-negative, in the unit of `spacing`.
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.

    Returns:
        A float32 scalar in [0, 1]; with reduction "none" (B, C).

    Convention:
        Normaliser: the number of classes counted in an image, then that of images.
        Empty: 0 where one mask is empty. Where both are it is 1, and does not enter the mean. With
        nothing to count the result is 0.

    Example:
        >>> import torch
        >>> pred, target = torch.tensor([[0, 1, 1, 1, 1]]), torch.tensor([[0, 1, 1, 0, 0]])
        >>> surface_dice(pred, target, tolerance=1)  # one of 4 pixels is 2 off
        tensor(0.7500)

    References:
        Stanislav Nikolov et al.: Deep learning to achieve clinically applicable segmentation of
        head and neck anatomy for radiotherapy, 2018, arXiv 1809.04430.

    Chapter: Boundary losses.
    """
    tolerance = check_number("tolerance", tolerance)
    pair = _Pair.of(pred, target, mode, num_classes, spacing, ignore_index, mask, process_group)
    p, y, to_p, to_y = pair.surfaces()
    near = (p & _within(to_y, tolerance)).sum(-1) + (y & _within(to_p, tolerance)).sum(-1)
    return pair.mean(_share(near, p.sum(-1) + y.sum(-1)), classes, reduction)


def boundary_iou(
    pred: Tensor,
    target: Tensor,
    *,
    width: float,
    mode: Mode = "binary",
    num_classes: int | None = None,
    spacing: Sequence[float] | None = None,
    classes: Classes = "present",
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """The intersection over union of the bands along the inner side of both masks' edges.

    Formula:
        BIoU = |E(P) and E(Y)| / |E(P) or E(Y)|

    E(A) are the pixels of A whose centres lie at most `width` from the edge of A, which also runs
    along the image and void pixels; width 1 takes the outermost pixel. The authors erode `width`
    times by 3 by 3 pixels instead, which is the same for width 1, and takes squares for discs
    beyond. MONAI has no such measure.

    Args:
        width: Width of a band, positive, in the unit of `spacing`; half a pixel is the least that
            reaches a centre. The authors take 2 % of the image's diagonal.
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.

    Returns:
        A float32 scalar in [0, 1]; with reduction "none" (B, C).

    Convention:
        Normaliser: the number of classes counted in an image, then that of images.
        Empty: 0 where one mask is empty. Where both are it is 1, and does not enter the mean. With
        nothing to count the result is 0.

    Example:
        >>> import torch
        >>> pred, target = torch.tensor([[0, 1, 1, 1, 1]]), torch.tensor([[0, 1, 1, 1, 0]])
        >>> boundary_iou(pred, target, width=1)  # pixels 1 and 4, pixels 1 and 3
        tensor(0.3333)

    References:
        Bowen Cheng, Ross Girshick, Piotr Dollár, Alexander C. Berg, Alexander Kirillov: Boundary
        IoU: Improving Object-Centric Image Segmentation Evaluation, 2021, arXiv 2103.16562.

    Chapter: Boundary losses.
    """
    width = check_positive("width", width)
    pair = _Pair.of(pred, target, mode, num_classes, spacing, ignore_index, mask, process_group)
    p, y = (x & _within(pair.to_edge(x), width) for x in (pair.pred, pair.target))
    return pair.mean(_share((p & y).sum(-1), (p | y).sum(-1)), classes, reduction)


def _within(distance: Tensor, limit: float) -> Tensor:
    """At most so far, but for rounding: 4 voxels of 0.3 mm are within 1.2 mm."""
    return distance <= limit * (1 + 1e-6)


class _Pair(NamedTuple):
    """The regions of both masks, bool (B, C, N)."""

    pred: Tensor
    target: Tensor
    grid: Grid
    mode: Mode
    process_group: ProcessGroup | None

    @classmethod
    def of(
        cls,
        pred: Tensor,
        target: Tensor,
        mode: Mode,
        num_classes: int | None,
        spacing: Sequence[float] | None,
        ignore_index: int | None,
        mask: Tensor | None,
        process_group: ProcessGroup | None,
    ) -> _Pair:
        masks = hard_masks(pred, target, mode, num_classes, ignore_index, mask, process_group)
        p, y = (regions(x, masks.valid, mode, masks.classes) for x in masks[:2])
        return cls(p, y, Grid.of(masks.shape, mode, spacing), mode, process_group)

    def surfaces(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The surfaces of both, and the distance of every pixel to either."""
        p, y = (x & ~self._shrink(x) for x in (self.pred, self.target))
        return p, y, distance_to(p, self.grid), distance_to(y, self.grid)

    def _images(self, region: Tensor) -> Tensor:
        """(B, C, N) as (B C, *)."""
        return region.reshape(region.shape[0] * region.shape[1], *self.grid.shape)

    def _shrink(self, region: Tensor) -> Tensor:
        """The pixels of a region whose neighbours along the axes are all in it."""
        wide = _frame(self._images(region))
        inner = wide
        for axis in range(1, wide.ndim):
            inner = inner & wide.roll(1, axis) & wide.roll(-1, axis)
        return _unframe(inner).reshape(region.shape)

    def to_edge(self, region: Tensor) -> Tensor:
        """The distance of every pixel to the edge of what is not in the region, as the image's
        surroundings are."""
        outside = ~_frame(self._images(region))
        wide = Grid(outside.shape[1:], self.grid.steps)
        distance = distance_to(outside.flatten(1).unsqueeze(1), wide, half=0.5)
        return _unframe(distance.reshape(outside.shape)).reshape(region.shape)

    def mean(self, scores: Tensor, classes: Classes, reduction: Reduction) -> Tensor:
        """Over the classes that either mask has in an image, then over the images."""
        either, wide = (self.pred | self.target).sum(-1), sum_dtype(scores)
        found = Regions(
            self.target.sum(-1), scores, either, self.mode, torch.float32, self.process_group
        )
        return reduce_classes(scores.to(wide), found, classes, None, reduction)


def _frame(x: Tensor) -> Tensor:
    """(K, *) with a pixel of False around each image."""
    return F.pad(x, [1, 1] * (x.ndim - 1))


def _unframe(x: Tensor) -> Tensor:
    for axis in range(1, x.ndim):
        x = x.narrow(axis, 1, x.shape[axis] - 2)
    return x


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """The quotient, and 1 where there is nothing."""
    wide = sum_dtype(part)
    return torch.where(whole > 0, ratio(part.to(wide), whole), 1)


def _percentile(values: Tensor, chosen: Tensor, percentile: float) -> Tensor:
    """Of the chosen values, from (B, C, N) to (B, C); finite, and -1 where none is."""
    known = torch.where(chosen & values.isfinite(), values, -1)
    known = F.pad(known, (0, 1), value=-1)  # also of an image without pixels
    if percentile == 100:
        return known.amax(-1)
    ascending, count = known.sort(-1).values, (known >= 0).sum(-1, keepdim=True)
    last = known.shape[-1] - 1
    rank = last - (count - 1).clamp(min=0).to(sum_dtype(known)) * (1 - percentile / 100)
    below, above = (ascending.gather(-1, x.long()) for x in (rank.floor(), rank.ceil()))
    return torch.lerp(below, above, rank.frac().to(known.dtype)).squeeze(-1)
