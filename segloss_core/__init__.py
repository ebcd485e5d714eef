"""Losses for image segmentation, from cross entropy to Lovász, under one convention."""

__version__ = "0.1.0"

from .combine import CombinedLoss
from .distance import (
    DistanceWeightedCrossEntropyLoss,
    distance_weighted_cross_entropy_loss,
    unet_weight_map,
)
from .geometry import two_nearest_distances
from .lovasz import LovaszHingeLoss, LovaszSoftmaxLoss, lovasz_hinge_loss, lovasz_softmax_loss
from .metrics import dice_score, jaccard_index
from .pixel import (
    BalancedCrossEntropyLoss,
    CrossEntropyLoss,
    FocalLoss,
    WeightedCrossEntropyLoss,
    balanced_cross_entropy_loss,
    cross_entropy_loss,
    focal_loss,
    weighted_cross_entropy_loss,
)
from .region import DiceLoss, JaccardLoss, TverskyLoss, dice_loss, jaccard_loss, tversky_loss

__all__ = [
    "BalancedCrossEntropyLoss",
    "CombinedLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "DistanceWeightedCrossEntropyLoss",
    "FocalLoss",
    "JaccardLoss",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "TverskyLoss",
    "WeightedCrossEntropyLoss",
    "balanced_cross_entropy_loss",
    "cross_entropy_loss",
    "dice_loss",
    "dice_score",
    "distance_weighted_cross_entropy_loss",
    "focal_loss",
    "jaccard_index",
    "jaccard_loss",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "tversky_loss",
    "two_nearest_distances",
    "unet_weight_map",
    "weighted_cross_entropy_loss",
]
