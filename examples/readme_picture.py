"""Draw the picture of the README: ``python examples/readme_picture.py``.

One prediction, and what seven losses ask of it. The picture has a white ground of its own, so it
reads the same on a light and on a dark page.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))

import samples  # noqa: E402
from figures import outline, show_gradient, show_probability, use_style, zoom  # noqa: E402
from measure import gradient  # noqa: E402
from segloss_core import (  # noqa: E402
    cross_entropy_loss,
    dice_loss,
    distance_weighted_cross_entropy_loss,
    focal_loss,
    lovasz_hinge_loss,
    tversky_loss,
    weighted_cross_entropy_loss,
)

PICTURE = Path(__file__).with_suffix(".png")


def gradients(toy: samples.Sample) -> dict[str, torch.Tensor]:
    """What each loss asks of every logit of the toy image."""
    losses = {
        "cross entropy": cross_entropy_loss,
        "weighted, β = 10": lambda z, y: weighted_cross_entropy_loss(z, y, beta=10.0),
        "focal, γ = 2": focal_loss,
        "distance-weighted": lambda z, y: distance_weighted_cross_entropy_loss(
            z, y, instances=toy.instances
        ),
        "Dice": dice_loss,
        "Tversky, β = 0.9": lambda z, y: tversky_loss(z, y, alpha=0.1, beta=0.9),
        "Lovász hinge": lovasz_hinge_loss,
    }
    return {name: gradient(loss, toy.z, toy.y) for name, loss in losses.items()}


def draw() -> plt.Figure:
    """The prediction on the toy image, then a map for each loss, each on its own scale."""
    toy = samples.toy()
    use_style()
    figure, axes = plt.subplots(2, 4, figsize=(10, 5.4))
    first, *others = axes.flat
    show_probability(first, torch.sigmoid(toy.z), "prediction and target")
    outline(first, toy.y, color="white", width=0.8)
    for ax, (name, values) in zip(others, gradients(toy).items(), strict=True):
        show_gradient(ax, values, name)
        outline(ax, toy.y, width=0.8)
    for ax in axes.flat:
        zoom(ax, (9, 54), (9, 54))  # nothing lies outside
    return figure


if __name__ == "__main__":
    draw().savefig(PICTURE, dpi=100)
    print(f"The picture is in {PICTURE.relative_to(ROOT)}")
