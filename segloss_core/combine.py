"""Several losses as one."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping

from torch import Tensor, nn

from .checks import check_number, check_tensor
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
        ``criterion.terms(...)`` takes the same and gives the summands w_k L_k by name, to log them:
        their sum is the loss.

    Example:
        >>> import torch
        >>> from segloss_core import CrossEntropyLoss, DiceLoss
        >>> criterion = CombinedLoss({"dice": (0.5, DiceLoss()), "ce": (0.5, CrossEntropyLoss())})
        >>> criterion(torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1]]))
        tensor(0.3351)
        >>> criterion.terms(torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1]]))
        {'dice': tensor(0.1300), 'ce': tensor(0.2050)}

    Chapter: choosing a loss.
    """

    def __init__(self, losses: Mapping[str, tuple[float, nn.Module]]) -> None:
        super().__init__()
        if not isinstance(losses, Mapping):
            raise TypeError(
                f"losses: expected a mapping, got {type(losses).__name__} "
                "(names to pairs, as in {'dice': (0.5, DiceLoss())})"
            )
        if not losses:
            raise ValueError("losses: expected at least one loss, got none")
        self.weights: dict[str, float] = {}
        self.losses = nn.ModuleDict()
        for name, pair in losses.items():
            # A configuration file has lists.
            paired = isinstance(pair, (tuple, list)) and len(pair) == 2
            if not paired or not isinstance(pair[1], nn.Module):
                raise TypeError(f"losses: expected (weight, module) for {name!r}, got {pair!r}")
            if not isinstance(name, str) or not name or "." in name or hasattr(self.losses, name):
                raise ValueError(
                    f"losses: expected a name without dots that is none of nn.ModuleDict's own, "
                    f"got {name!r} (as in 'ce_loss')"
                )
            self.weights[name] = check_number(f"losses: the weight of {name!r}", pair[0])
            self.losses[name] = pair[1]
        self.batch_arguments = tuple(
            sorted({name for loss in self.losses.values() for name in _batch_arguments(loss)})
        )

    def forward(self, input: Tensor, target: Tensor, **batch: Tensor | None) -> Tensor:
        return functools.reduce(operator.add, self.terms(input, target, **batch).values())

    def terms(self, input: Tensor, target: Tensor, **batch: Tensor | None) -> dict[str, Tensor]:
        """The summands of the loss by name."""
        check_tensor("input", input)
        check_tensor("target", target)
        check_batch_arguments(batch, self.batch_arguments)
        terms = {}
        for name, loss in self.losses.items():
            taken = {key: batch[key] for key in _batch_arguments(loss) if key in batch}
            terms[name] = self.weights[name] * loss(input, target, **taken)
        shapes = {name: tuple(term.shape) for name, term in terms.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(
                f"losses: expected terms of one shape, got {shapes} (a mean or a sum of each: "
                f"losses of pixels and of classes do not add)"
            )
        return terms

    def extra_repr(self) -> str:
        return f"weights={self.weights}"


def _batch_arguments(loss: nn.Module) -> tuple[str, ...]:
    return getattr(loss, "batch_arguments", ())
