"""Losses for image segmentation, from cross entropy to Lovász, under one convention."""

__version__ = "0.1.0"

from .pixel import (
    CrossEntropyLoss,
    WeightedCrossEntropyLoss,
    cross_entropy_loss,
    weighted_cross_entropy_loss,
)

__all__ = [
    "CrossEntropyLoss",
    "WeightedCrossEntropyLoss",
    "cross_entropy_loss",
    "weighted_cross_entropy_loss",
]
