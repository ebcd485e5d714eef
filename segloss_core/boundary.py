"""Losses that weigh a pixel by its distance to the edge of a region: boundary and Hausdorff."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .checks import Vector, check_positive, check_tensor, expect_shape
from .geometry import Convention, Grid, regions, signed_map
from .inputs import Mode, Pixels, prepare
from .module import LossModule, options_of
from .overlap import Regions, add_regions
from .ranks import ProcessGroup
from .reduction import Classes, Reduction, reduce_classes
from .sums import total


def boundary_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    distance: Tensor | None = None,
    spacing: Sequence[float] | None = None,
    convention: Convention = "edge",
    classes: Classes = "present",
    weight: Vector | None = None,
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """Mean of the probability times the signed distance to the edge of the target, per class.

    Formula:
        BL = 1 / N sum_x phi(x) p(x)

    phi is `signed_distance` of the target, negative inside, so that the loss is negative where a
    prediction is good. Moving one end of a bar by k pixels adds k^2 / 2 to the sum, whether it
    grows or shrinks. The loss is linear in p: its slope does not change with p, so it stands beside
    another loss, with a small weight that may grow.

    Args:
        distance: phi of this target from the loader, in the input's shape, in place of the
            transform; `spacing` and `convention` have then been used there. Default: none.
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.
        convention: "edge", "centre" or "kervadec", as in `signed_distance`. Default "edge".

    Convention:
        Normaliser: the number of valid pixels of a class, then that of the classes counted, or the
        sum of their weights.
        Empty: without another side phi is 1 (or -1 where a class fills an image), so a class
        without a target pixel costs its mean predicted probability.
        Soft targets: the region is y > 1/2.
        Void: void pixels are on no side; distances pass over them.

    Example:
        >>> import torch
        >>> p, y = torch.tensor([[0.0, 0.5, 1.0, 1.0]]), torch.tensor([[0, 0, 1, 1]])
        >>> boundary_loss(p, y, from_logits=False)  # (0.5 * 0.5 - 0.5 - 1.5) / 4
        tensor(-0.4375)

    References:
        Hoel Kervadec, Jihene Bouchtiba, Christian Desrosiers, Eric Granger, Jose Dolz, Ismail
        Ben Ayed: Boundary loss for highly unbalanced segmentation, 2019, arXiv 1812.07032.

    Chapter: Boundary losses.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask)
    inside = regions(pixels.labels, pixels.valid, mode, pixels.classes)
    phi = _distance(pixels, inside, distance, spacing, convention)
    phi = phi.nan_to_num(torch.nan, 1, -1)  # without an edge
    costs = phi * pixels.probabilities  # eq-boundary
    return _mean_of_classes(
        costs, inside, pixels, classes, weight, per_image, reduction, process_group
    )


class BoundaryLoss(LossModule):
    """:func:`boundary_loss` as a module."""

    @options_of(boundary_loss)
    def __init__(self) -> None: ...


def hausdorff_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "binary",
    exponent: float = 2.0,
    distance: Tensor | None = None,
    spacing: Sequence[float] | None = None,
    classes: Classes = "present",
    weight: Vector | None = None,
    per_image: bool = False,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """Squared errors times their distances to both edges, which stands for the Hausdorff distance.

    Formula:
        HL = 1 / N sum_x (p(x) - y(x))^2 (d_p(x)^a + d_y(x)^a)

    d_y is the distance from the pixel to the nearest one on the other side of the target's edge,
    between centres; d_p that of the mask p > 1/2, which takes a transform in every step. No
    gradient goes through the distances.

    Args:
        exponent: a, positive. Default 2.
        distance: `signed_distance` of this target from the loader, with convention "centre", in the
            input's shape; its sign does not matter. Default: none.
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.

    Convention:
        Normaliser: the number of valid pixels of a class, then that of the classes counted, or the
        sum of their weights.
        Empty: a class without a target pixel costs its mean predicted probability (one that fills
        an image the mean of 1 - p); a prediction without an edge adds no distance.
        Soft targets: d_y is that of y > 1/2.
        Void: void pixels are on no side; distances pass over them.

    Example:
        >>> import torch
        >>> y = torch.tensor([[0, 0, 1, 1, 0, 0]])
        >>> hausdorff_loss(y.roll(1, 1).float(), y, from_logits=False)
        tensor(0.6667)

    References:
        Davood Karimi, Septimiu E. Salcudean: Reducing the Hausdorff Distance in Medical Image
        Segmentation with Convolutional Neural Networks, 2019, arXiv 1904.10030.

    Chapter: Boundary losses.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask)
    exponent = check_positive("exponent", exponent)
    inside = regions(pixels.labels, pixels.valid, mode, pixels.classes)
    to_target = _distance(pixels, inside, distance, spacing, "centre")
    p, y = pixels.probabilities, inside.to(pixels.dtype) if pixels.has_ids else pixels.labels
    predicted = regions(p.detach(), pixels.valid, mode, pixels.classes)
    to_predicted = _distance(pixels, predicted, None, spacing, "centre")
    d_p, d_y = (d.nan_to_num(torch.nan, 0, 0).abs() ** exponent for d in (to_predicted, to_target))
    errors = (p - y).abs()
    costs = torch.where(to_target.isinf(), errors, errors**2 * (d_p + d_y))  # eq-hausdorff
    return _mean_of_classes(
        costs, inside, pixels, classes, weight, per_image, reduction, process_group
    )


class HausdorffLoss(LossModule):
    """:func:`hausdorff_loss` as a module."""

    @options_of(hausdorff_loss)
    def __init__(self) -> None: ...


def _distance(
    pixels: Pixels,
    inside: Tensor,
    distance: Tensor | None,
    spacing: Sequence[float] | None,
    convention: Convention,
) -> Tensor:
    """The signed distances (B, C, N) in the loss's dtype, 0 under void: those given, or of these
    regions."""
    grid = Grid.of(pixels.shape, pixels.mode, spacing)
    if distance is None:
        return signed_map(inside, pixels.valid, grid, convention).to(pixels.dtype)
    check_tensor("distance", distance, inside.device)
    if not distance.is_floating_point():
        raise TypeError(f"distance: expected floats, got {distance.dtype} (signed_distance)")
    batch, channels, _ = inside.shape
    shapes = [torch.Size([batch, channels, *grid.shape])]
    if pixels.mode == "binary":
        shapes.append(torch.Size([batch, *grid.shape]))
    expect_shape("distance", distance, *shapes, remedy="as signed_distance gives it")
    return pixels.select(distance.reshape(inside.shape).to(pixels.dtype))


def _mean_of_classes(
    costs: Tensor,
    inside: Tensor,
    pixels: Pixels,
    classes: Classes,
    weight: Vector | None,
    per_image: bool,
    reduction: Reduction,
    process_group: ProcessGroup | None,
) -> Tensor:
    """The mean cost of a class's pixels, averaged over the classes."""
    rows = torch.stack([total(inside), total(pixels.select(costs))])
    sums = add_regions(rows, pixels.valid_count(), per_image, process_group)
    found = Regions.of(sums, pixels.mode, pixels.dtype, per_image, process_group)
    return reduce_classes(found.mean, found, classes, weight, reduction)
