"""Sums, columns and maxima over the ranks of a process group."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup as ProcessGroup
else:
    ProcessGroup = Any  # torch may be built without it


class _Sum(torch.autograd.Function):
    """The sum over the ranks; its backward adds the gradients of the ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, process_group: ProcessGroup) -> Tensor:
        from torch.distributed import all_reduce

        ctx.process_group = process_group
        summed = x.contiguous().clone()
        all_reduce(summed, group=process_group)
        return summed

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return sum_over_ranks(grad_outputs[0], ctx.process_group), None


def sum_over_ranks(x: Tensor, process_group: ProcessGroup | None) -> Tensor:
    """A sum that can be differentiated any number of times."""
    if process_group is None:
        return x
    summed: Callable[..., Tensor] = _Sum.apply
    return summed(x, process_group)


def gather_over_ranks(x: Tensor, process_group: ProcessGroup | None, fill: float) -> Tensor:
    """The columns (K, P) of all ranks side by side; ranks with fewer are padded with `fill`."""
    if process_group is None:
        return x
    from torch.distributed import get_rank, get_world_size

    width = max_over_ranks(x.shape[1], x.device, process_group)
    before = get_rank(process_group) * width
    after = get_world_size(process_group) * width - before - width
    x = F.pad(x, (0, width - x.shape[1]), value=fill)
    return sum_over_ranks(F.pad(x, (before, after)), process_group)  # each column has one rank


def max_over_ranks(value: int, device: torch.device, process_group: ProcessGroup | None) -> int:
    if process_group is None:
        return value
    from torch.distributed import ReduceOp, all_reduce

    largest = torch.tensor(value, device=device)
    all_reduce(largest, ReduceOp.MAX, group=process_group)
    return int(largest)
