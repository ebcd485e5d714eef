"""The U-Net's weight for the borders between instances, and the cross entropy with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from .checks import Vector, check_class_vector, check_number, check_positive, check_tensor
from .geometry import two_nearest_squared
from .inputs import Mode, prepare, signed
from .module import LossModule, options_of
from .pixel import cross_entropy_form, pixel_cross_entropy
from .reduction import Reduction, reduce_pixels


def unet_weight_map(
    instances: Tensor,
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weight: Vector | None = None,
    *,
    spacing: Sequence[float] | None = None,
) -> Tensor:
    """The U-Net's pixel weights, which are large on the narrow gaps between instances.

    Formula:
        w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

    Args:
        instances: Instance ids (B, *), integer, 0 for background; any number of dimensions.
        w0: Height of the border term, non-negative. Default 10.
        sigma: Width of the border term in pixels (or in the unit of `spacing`). Default 5.
        class_weight: w_c of background and of instances, (2,), non-negative. Default: 1 and 1.
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.

    Returns:
        (B, *) float32. With fewer than two instances d2 is infinite, so w = w_c. A border term
        below 2^-25 is taken as 0.

    Example:
        >>> import torch
        >>> unet_weight_map(torch.tensor([[1, 1, 0, 2, 2]]))
        tensor([[ 9.3527, 10.2312, 10.2312, 10.2312,  9.3527]])

    References:
        Olaf Ronneberger, Philipp Fischer, Thomas Brox: U-Net, 2015, arXiv 1505.04597.

    Chapter: U-Net weight map.
    """
    w0, sigma = check_number("w0", w0), check_positive("sigma", sigma)
    reach = sigma * math.sqrt(2 * math.log(max(1, w0 * 2**25)))  # beyond it: below 2^-25
    first, second = two_nearest_squared(instances, spacing, reach)
    d1, d2 = first.sqrt(), second.sqrt()
    border = w0 * torch.exp(-((d1 + d2) ** 2) / (2 * sigma**2))  # eq-unet-weight
    if class_weight is None:
        return 1 + border
    pair = check_class_vector("class_weight", class_weight, border, 2)
    return pair[(signed(instances) > 0).long()] + border


def distance_weighted_cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    *,
    instances: Tensor,
    mode: Mode = "binary",
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weight: Vector | None = None,
    spacing: Sequence[float] | None = None,
    top_k: float | None = None,
    pixel_weight: Tensor | None = None,
    ignore_index: int | None = None,
    mask: Tensor | None = None,
    from_logits: bool = True,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross entropy times the U-Net's pixel weights, which set touching instances apart.

    Formula:
        L(x) = w(x) CE(x),  w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

    d1 and d2 are the distances to the nearest and second nearest instance.

    Args:
        instances: Instance ids (B, *), integer, 0 for background.
        w0: Height of the border term, non-negative. Default 10.
        sigma: Width of the border term in pixels (or in the unit of `spacing`). Default 5.
        class_weight: w_c of background and of instances, (2,), non-negative. Default: 1 and 1.
        spacing: Size of a pixel along each spatial dimension. Default: 1 along each.

    Convention:
        Normaliser: the number of valid pixels (and channels), whatever w is.
        Void: instances under void pixels still repel.

    Example:
        >>> import torch
        >>> z, instances = torch.zeros(1, 5), torch.tensor([[1, 1, 0, 2, 2]])
        >>> distance_weighted_cross_entropy_loss(z, instances > 0, instances=instances)
        tensor(6.8481)

    References:
        Olaf Ronneberger, Philipp Fischer, Thomas Brox: U-Net, 2015, arXiv 1505.04597.

    Chapter: U-Net weight map.
    """
    pixels = prepare(input, target, mode, from_logits, ignore_index, mask)
    check_tensor("instances", instances, input.device)
    weight = unet_weight_map(instances, w0, sigma, class_weight, spacing=spacing)
    return reduce_pixels(
        pixel_cross_entropy,
        pixels,
        reduction,
        pixel_weight,
        top_k,
        form=cross_entropy_form(pixels),
        weight_map=pixels.flatten_map("instances", weight),  # eq-unet
    )


class DistanceWeightedCrossEntropyLoss(LossModule):
    """:func:`distance_weighted_cross_entropy_loss` as a module."""

    # As it stands, the type would have the constructor ask for `instances`.
    @options_of(cast(Callable[..., Tensor], distance_weighted_cross_entropy_loss))
    def __init__(self) -> None: ...
