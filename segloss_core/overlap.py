"""What every overlap is made of: the sums of p y, p and y over a region, per class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .checks import check_bool, check_group
from .fast import OverlapSums, evaluate
from .inputs import Mode, Pixels, look_at_target
from .ranks import ProcessGroup, sum_over_ranks
from .sums import ratio, total


class Regions(NamedTuple):
    """What is known of the target's regions and the prediction's size: (C,), or (B, C)."""

    actual: Tensor  # the sum of y
    mean: Tensor  # of p, or of other errors that y = 0 would leave, over the valid pixels
    valid: Tensor  # number of pixels
    mode: Mode
    dtype: torch.dtype  # of the result
    process_group: ProcessGroup | None  # over which a mean of images is still to be taken

    @classmethod
    def of(
        cls,
        sums: tuple[Tensor, ...],
        mode: Mode,
        dtype: torch.dtype,
        per_image: bool,
        process_group: ProcessGroup | None,
    ) -> Regions:
        """From the sums of y and of p and the number of pixels."""
        actual, mass, valid = sums
        left = process_group if per_image else None
        return cls(actual, ratio(mass, valid), valid, mode, dtype, left)


def region_sums(
    pixels: Pixels, per_image: bool, process_group: ProcessGroup | None, squared: bool = False
) -> tuple[Tensor, Tensor, Regions]:
    """The overlap of p and y, the size of p, and the rest, over the whole batch or per image.

    The target's values are still to be looked at.
    """

    def formula(pixels: Pixels) -> Tensor:
        if not pixels.has_ids:
            pixels = look_at_target(pixels)
        p, y = pixels.probabilities, pixels.of_class
        soft = pixels.soft and not squared
        # The smaller one; the gradient of torch.minimum takes five operations.
        overlap = total(torch.where(p < y, p, y) if soft else p * y)  # eq-soft-overlap
        mass, actual = total(p), target_size(y, squared)
        return torch.stack([overlap, total(p * p) if squared else mass, actual, mass])

    by_kernel = not squared and (pixels.has_ids or pixels.mode != "multiclass")
    rows = evaluate(formula, OverlapSums() if by_kernel else None, pixels)
    sums = add_regions(rows, pixels.valid_count(), per_image, process_group)
    overlap, predicted, actual, mass, valid = sums
    regions = Regions.of((actual, mass, valid), pixels.mode, pixels.dtype, per_image, process_group)
    return overlap, predicted, regions


def add_regions(
    rows: Tensor, valid: Tensor, per_image: bool, process_group: ProcessGroup | None
) -> tuple[Tensor, ...]:
    """Sums of each image, (k, B, C), and its number of pixels, added over the batch and over the
    ranks, unless `per_image`."""
    check_bool("per_image", per_image)
    check_group(process_group)
    valid = valid.to(rows.dtype).expand_as(rows[0])
    if not per_image:
        rows, valid = rows.sum(1), valid.sum(0)
        if process_group is not None:  # in one message
            both = sum_over_ranks(torch.cat([rows, valid.unsqueeze(0)]), process_group)
            rows, valid = both[:-1], both[-1]
    return *rows.unbind(), valid


def target_size(y: Tensor, squared: bool = False) -> Tensor:
    """The sum of y, or of its square: (B, C)."""
    return total(y * y if squared else y)
