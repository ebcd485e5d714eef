"""What every chapter does with a loss: its gradient per pixel, a descent, a fit of two numbers.

A loss here is any function ``loss(z, y)`` of logits and target, with one value per pixel or one
for the whole image; gradients are those of its sum.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def gradient(loss: Loss, z: Tensor, y: Tensor) -> Tensor:
    """Return the derivative of ``loss(z, y)``, summed, with respect to every logit."""
    z = z.detach().clone().requires_grad_()
    (result,) = torch.autograd.grad(loss(z, y).sum(), z)
    return result


def descend(loss: Loss, z: Tensor, y: Tensor, steps: int, rate: float = 1.0) -> list[Tensor]:
    """Run gradient descent on the logits; return them before and after every step."""
    path = [z]
    for _ in range(steps):
        path.append(path[-1] - rate * gradient(loss, path[-1], y))
    return path


def fit(loss: Loss, feature: Tensor, y: Tensor) -> tuple[float, float]:
    """Fit the model z = slope * feature + bias by minimising ``loss``, which returns one number.

    Returns slope and bias. Both start at 0; the search is L-BFGS with a line search, so a convex
    loss is brought to its minimum.
    """
    line = torch.zeros(2, dtype=feature.dtype, requires_grad=True)
    search = torch.optim.LBFGS(
        [line], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        value = loss(line[0] * feature + line[1], y)
        value.backward()
        return value

    search.step(closure)
    slope, bias = line.tolist()
    return slope, bias
