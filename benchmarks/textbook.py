"""What one writes from the papers in a few lines of torch: the yardstick where no package is."""

import torch
import torch.nn.functional as F
from torch import Tensor


def balanced_cross_entropy(input: Tensor, target: Tensor) -> Tensor:
    beta = 1 - target.mean()
    losses = F.binary_cross_entropy_with_logits(input, target, reduction="none")
    return (torch.where(target > 0, beta, 1 - beta) * losses).mean()


def binary_focal(input: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(input, target, reduction="none")
    return ((1 - torch.exp(-losses)) ** gamma * losses).mean()


def softmax_focal(input: Tensor, target: Tensor, ignore_index: int, gamma: float = 2.0) -> Tensor:
    losses = F.cross_entropy(input, target, ignore_index=ignore_index, reduction="none")
    losses = (1 - torch.exp(-losses)) ** gamma * losses
    return losses.sum() / (target != ignore_index).sum()


def binary_tversky(
    input: Tensor, target: Tensor, alpha: float = 0.5, beta: float = 0.5, factor: float = 1.0
) -> Tensor:
    """Dice with alpha = beta = 1/2, Jaccard with both 1."""
    p = input.sigmoid()
    tp, size, actual = (p * target).sum(), p.sum(), target.sum()
    return 1 - tp / (tp + alpha * (size - tp) + beta * (actual - tp))


def tversky(input: Tensor, target: Tensor, alpha: float = 0.5, beta: float = 0.5) -> Tensor:
    p = input.softmax(1)
    y = F.one_hot(target, input.shape[1]).movedim(-1, 1).to(p.dtype)
    tp, size, actual = (x.transpose(0, 1).flatten(1).sum(1) for x in (p * y, p, y))
    return (1 - tp / (tp + alpha * (size - tp) + beta * (actual - tp))).mean()


def lovasz_gradient(foreground: Tensor) -> Tensor:
    """The steps of the Jaccard loss as differences in float32, foreground sorted by error."""
    objects = foreground.sum()
    jaccard = 1 - (objects - foreground.cumsum(0)) / (objects + (1 - foreground).cumsum(0))
    return torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])


def lovasz_hinge(input: Tensor, target: Tensor) -> Tensor:
    errors = (1 - input * (2 * target - 1)).flatten()
    errors, order = errors.sort(descending=True)
    return F.relu(errors) @ lovasz_gradient(target.flatten()[order])


def lovasz_softmax(input: Tensor, target: Tensor) -> Tensor:
    p = input.softmax(1)
    losses = []
    for c in range(input.shape[1]):
        foreground = (target == c).to(p.dtype).flatten()
        errors, order = (foreground - p[:, c].flatten()).abs().sort(descending=True)
        losses.append(errors @ lovasz_gradient(foreground[order]))
    return torch.stack(losses).mean()


def unet_weight_map(instances: Tensor, w0: float = 10.0, sigma: float = 5.0) -> Tensor:
    """A distance transform for each instance, and the two smallest of the stack."""
    import numpy as np
    from scipy.ndimage import distance_transform_edt

    ids = instances[0].numpy()
    stack = np.stack([distance_transform_edt(ids != i) for i in range(1, ids.max() + 1)], axis=-1)
    stack.sort(axis=-1)
    d1, d2 = stack[..., 0], stack[..., 1]
    return torch.from_numpy(1 + w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2)))[None].float()


def signed_distance(mask: Tensor) -> Tensor:
    """A distance transform for each side, between centres."""
    from scipy.ndimage import distance_transform_edt

    inside = mask[0, 0].numpy()
    signed = distance_transform_edt(~inside) - distance_transform_edt(inside)
    return torch.from_numpy(signed)[None, None].float()
