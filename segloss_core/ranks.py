"""Sums, columns and maxima over the ranks of a process group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:  # torch may be built without it
    from torch.distributed import ProcessGroup


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
