"""Sums over the pixels of a region, per class: what every overlap is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .fast import evaluate, overlap_sums
from .inputs import Mode, Pixels, check_bool

if TYPE_CHECKING:  # torch may be built without it
    from torch.distributed import ProcessGroup


class Regions(NamedTuple):
    """What is known of the target's regions and the prediction's size: (C,), or (B, C)."""

    actual: Tensor  # the sum of y
    mean: Tensor  # of p, over the valid pixels
    valid: Tensor  # number of pixels
    mode: Mode
    dtype: torch.dtype  # of the result
    process_group: ProcessGroup | None  # over which a mean of images is still to be taken

    @classmethod
    def of(
        cls,
        sums: tuple[Tensor, Tensor, Tensor],
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
    """The overlap of p and y, the size of p, and the rest, over the whole batch or per image."""

    def formula(pixels: Pixels) -> Tensor:
        p, y = pixels.probabilities, pixels.labels
        if pixels.has_ids:
            overlap = total_by_class(p.gather(1, y), y, pixels.classes)
        elif pixels.soft and not squared:
            overlap = total(torch.minimum(p, y))  # eq-soft-overlap
        else:
            overlap = total(p * y)
        mass, actual = total(p), target_size(pixels, squared)
        return torch.stack([overlap, total(p * p) if squared else mass, actual, mass])

    rows = evaluate(formula, None if squared else overlap_sums, pixels)
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
    valid = valid.to(rows.dtype).expand_as(rows[0])
    if not per_image:
        rows, valid = rows.sum(1), valid.sum(0)
        if process_group is not None:  # in one message
            both = sum_over_ranks(torch.cat([rows, valid.unsqueeze(0)]), process_group)
            rows, valid = both[:-1], both[-1]
    return *rows.unbind(), valid


def fill_empty(losses: Tensor, regions: Regions, smooth: float = 0.0) -> Tensor:
    """The loss of an empty class: its mean predicted probability, which always has a gradient.

    With `smooth` the formula has a value of its own there, and keeps it.
    """
    return torch.where(regions.actual > 0, losses, regions.mean) if smooth == 0 else losses


def target_size(pixels: Pixels, squared: bool = False) -> Tensor:
    """The sum of y, or of its square: (B, C)."""
    y = pixels.labels
    if pixels.has_ids:
        return total_by_class(pixels.select(torch.ones_like(y)), y, pixels.classes)
    return total(y * y if squared else y)


def total(x: Tensor) -> Tensor:
    """The sum over the pixels: (B, C). Torch adds pairwise, so it costs no digits here."""
    return x.sum(-1).to(wide(x))


def total_by_class(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The sum over the pixels of each label, from (B, 1, N) to (B, C); no one-hot tensor."""
    zeros = x.new_zeros(x.shape[0], classes, dtype=wide(x))
    return zeros.scatter_add(1, labels.squeeze(1), x.to(zeros.dtype).squeeze(1))


def ratio(numerator: Tensor, denominator: Tensor | float) -> Tensor:
    """The quotient, and 0 (with gradient 0) where the denominator is 0."""
    if not isinstance(denominator, Tensor):
        return numerator / (denominator or torch.inf)
    return numerator / torch.where(denominator > 0, denominator, torch.inf)


def sum_over_ranks(x: Tensor, process_group: ProcessGroup | None) -> Tensor:
    """A differentiable sum: its backward adds the gradients of the ranks."""
    if process_group is None:
        return x
    from torch.distributed.nn.functional import all_reduce

    summed: Tensor = all_reduce(x, group=process_group)  # type: ignore[no-untyped-call]
    return summed


def gather_over_ranks(x: Tensor, process_group: ProcessGroup | None, fill: float) -> Tensor:
    """The columns (K, P) of all ranks side by side; ranks with fewer are padded with `fill`."""
    if process_group is None:
        return x
    from torch.distributed.nn.functional import all_gather

    missing = max_over_ranks(x.shape[1], x.device, process_group) - x.shape[1]
    x = F.pad(x, (0, missing), value=fill)
    parts = all_gather(x, group=process_group)  # type: ignore[no-untyped-call]
    return torch.cat(parts, 1)


def max_over_ranks(value: int, device: torch.device, process_group: ProcessGroup | None) -> int:
    if process_group is None:
        return value
    from torch.distributed import ReduceOp, all_reduce

    largest = torch.tensor(value, device=device)
    all_reduce(largest, ReduceOp.MAX, group=process_group)
    return int(largest)


def wide(x: Tensor) -> torch.dtype:
    """What to sum in one after the other, which would cost float32 its last digits."""
    return torch.float32 if x.device.type == "mps" else torch.float64
