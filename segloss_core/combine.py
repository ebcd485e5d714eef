"""Several losses as one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .checks import check_number
from .module import check_batch_arguments


class CombinedLoss(nn.Module):
    """A weighted sum of losses.

    Formula:
        L = sum_k w_k L_k

    Args:
        losses: For each name a pair of its weight, a non-negative number, and its module.

    Call:
        ``criterion(input, target, mask=..., pixel_weight=..., instances=...)``: each loss gets
        those of the last three that it takes. A module of another kind gets input and target only.

    Returns:
        The weighted sum; the losses should have the same reduction.

    Raises:
        TypeError, ValueError: No losses, or a pair that is not a weight and a module, by name; an
            argument in the call that no loss takes.

    Example:
        >>> import torch
        >>> from segloss_core import CrossEntropyLoss, DiceLoss
        >>> criterion = CombinedLoss({"dice": (0.5, DiceLoss()), "ce": (0.5, CrossEntropyLoss())})
        >>> criterion(torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1]]))
        tensor(0.3351)

    Chapter: choosing a loss.
    """

    def __init__(self, losses: Mapping[str, tuple[float, nn.Module]]) -> None:
        super().__init__()
        if not isinstance(losses, Mapping):
            raise TypeError(f"losses: expected a mapping, got {type(losses).__name__}")
        if not losses:
            raise ValueError("losses: expected at least one loss, got none")
        for name, pair in losses.items():
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], nn.Module)):
                raise TypeError(f"losses: expected (weight, module) for {name!r}, got {pair!r}")
            check_number(f"losses: the weight of {name!r}", pair[0])
        self.weights = {name: weight for name, (weight, _) in losses.items()}
        self.losses = nn.ModuleDict({name: loss for name, (_, loss) in losses.items()})
        self.batch_arguments = tuple(
            sorted({name for loss in self.losses.values() for name in _batch_arguments(loss)})
        )

    def forward(self, input: Tensor, target: Tensor, **batch: Tensor | None) -> Tensor:
        check_batch_arguments(batch, self.batch_arguments)
        total = input.new_zeros(())
        for name, loss in self.losses.items():
            taken = {key: batch[key] for key in _batch_arguments(loss) if key in batch}
            total = total + self.weights[name] * loss(input, target, **taken)
        return total

    def extra_repr(self) -> str:
        return f"weights={self.weights}"


def _batch_arguments(loss: nn.Module) -> tuple[str, ...]:
    return getattr(loss, "batch_arguments", ())
