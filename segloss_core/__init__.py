"""Losses for image segmentation, from cross entropy to Lovász, under one convention.

Each loss is a function, as `dice_loss` is, and a module that stores its options, as `DiceLoss` is.
What holds for all of them is said here, once.

Args:
    input: Logits z, floating point: (B, *) or (B, 1, *) in binary mode, else (B, C, *); * stands
        for any number of spatial dimensions. Probabilities taken for logits cannot be told.
    target: Binary: bool, {0, 1} or floats in [0, 1], with or without a channel. Multiclass: integer
        class ids, (B, *) or (B, 1, *), or probabilities, floats (B, C, *), that sum to 1.
        Multilabel: (B, C, *), bool, {0, 1} or floats in [0, 1].
    mode: "binary" (a sigmoid), "multiclass" (softmax over dimension 1) or "multilabel" (a sigmoid
        per channel); `Mode` is their type. Default "binary".
    ignore_index: Target pixels with this value are void. For several values, or where floats have
        none to spare, there is `mask`. Default: none are.
    mask: Bool, (B, *), (B, 1, *) or the target's shape; False marks void pixels. Default: none are.
    from_logits: False if input holds probabilities. Default True.
    reduction: "mean", "sum" or "none". Default "mean".
    pixel_weight: Factor of each pixel's loss, non-negative, (B, *); it does not enter what a mean
        divides by. Losses of pixels only. Default: all 1.
    top_k: Let only the ceil(top_k n) largest losses of the batch count, of n valid pixels (and
        channels), in (0, 1]; all others are void for this call. They are chosen without gradient,
        `pixel_weight` included; equal ones share the last places evenly. Losses of pixels only; the
        chapter on hard pixels says how small k may be. Default: all count.
    transform: The loss from a score s of a class: a function of torch's operations, "log" (-log s,
        finite at 0) or "log_cosh" (log cosh(1 - s)). Define it once: the first call tries it.
        Losses of counts of regions only. Default: 1 - s.
    weight: Class weights (C,), non-negative, a tensor or a list; multiclass and multilabel.
        Default: all 1.
    classes: Which classes are averaged: "present" (those with a target pixel; it does not see false
        alarms of a label that no pixel has, which "all" does), "all", or a list of class ids; the
        one class of a binary mask always is. Losses and scores of regions only, as are the next
        two. Default "present".
    per_image: Take each image by itself, then average the images that count any class, instead of
        taking the whole batch as one region. Default False.
    pred: Of scores a hard prediction in the target's shape: bool or {0, 1}, or class ids.
    num_classes: C, of scores in multiclass mode. Default: one more than the largest id in pred and
        target (of all ranks); give it for `classes` "all" and under torch.compile.
    process_group: A torch.distributed group, which every rank calls with its share of the batch;
        each gets the value of the whole batch. Default: this process alone.

Returns:
    A scalar; scores are float32 in [0, 1]. With reduction "none" losses of pixels have the target's
    shape ((B, *) in multiclass mode), 0 on void pixels; those of regions are (C,), or (B, C) if
    `per_image`, and only the columns of `classes` if that is a list.

Raises:
    TypeError, ValueError: A wrong dtype, shape, device, option or value, by name, with what was
        expected and the usual remedy; a wrong option already where a module is made.

Convention:
    Void: void pixels have no effect on value or gradient, even with inf or NaN under them.
    Empty: with nothing valid the loss is 0 and so is its gradient.
    Dtype: half and bfloat16 are computed in and returned as float32, float64 stays; the input alone
        decides. Sums of images are added up in float64.
    Numbers: a NaN on a valid pixel makes loss and gradient NaN, other input never does. An infinite
        logit is taken as the largest finite one.
    Probabilities: log p is log(p + 1e-12), in float16 log(p + 2^-14), so that value and gradient
        are finite at 0 and 1.
    Ranks: backward adds the gradients of the ranks, as each of them returns the same loss. The mean
        over ranks that DistributedDataParallel takes then gives exactly the gradient of one process
        with the whole batch; no factor is needed. A mean over pixels needs no group where all ranks
        have equally many.
    Accumulation: gradients of several batches add to that of one where losses do: with reduction
        "sum", divided by what all of them count. The sums of a region do not cross a backward, so
        that each batch is a region of its own; `per_image` makes that plain.
    Checks: values (labels, probabilities, weights) are looked at in eager calls, not under
        torch.compile, torch.export, vmap or the capture of a CUDA graph. Nothing waits for a CUDA
        device, which looks when it gets there and stops with the same words, as torch does for
        class ids. The environment variable SEGLOSS_CHECK_VALUES, set before the import, can be
        "now" (a ValueError at the call, which waits) or "0" (nobody looks).
    Kernels: on an Nvidia GPU (Ampere or later) the environment variable SEGLOSS_TRITON=1, set
        before the import, switches on kernels in Triton, which read the logits once forward and
        once backward. They are no default, for they are not yet timed on a GPU; values are checked
        under Triton's interpreter.
    Warning: one is given, where all valid pixels of a mask are 0 and `ignore_index=255` takes out
        some in every image: the foreground of a mask of 0 and 255 would vanish like that.
"""

__version__ = "0.1.0"

from .boundary import BoundaryLoss, HausdorffLoss, boundary_loss, hausdorff_loss
from .combine import CombinedLoss
from .distance import (
    DistanceWeightedCrossEntropyLoss,
    distance_weighted_cross_entropy_loss,
    unet_weight_map,
)
from .geometry import signed_distance, two_nearest_distances
from .inputs import Mode
from .lovasz import LovaszHingeLoss, LovaszSoftmaxLoss, lovasz_hinge_loss, lovasz_softmax_loss
from .metrics import (
    dice_from_counts,
    dice_score,
    jaccard_from_counts,
    jaccard_index,
    overlap_counts,
)
from .pixel import (
    BalancedCrossEntropyLoss,
    CrossEntropyLoss,
    FocalLoss,
    PixelLoss,
    WeightedCrossEntropyLoss,
    balanced_cross_entropy_loss,
    cross_entropy_loss,
    focal_loss,
    pixel_loss,
    weighted_cross_entropy_loss,
)
from .region import (
    DiceLoss,
    GeneralizedDiceLoss,
    JaccardLoss,
    MCCLoss,
    RegionLoss,
    TverskyLoss,
    dice_loss,
    generalized_dice_loss,
    jaccard_loss,
    mcc_loss,
    region_loss,
    tversky_loss,
)
from .surface import average_surface_distance, boundary_iou, hausdorff_distance, surface_dice

__all__ = [
    "BalancedCrossEntropyLoss",
    "BoundaryLoss",
    "CombinedLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "DistanceWeightedCrossEntropyLoss",
    "FocalLoss",
    "GeneralizedDiceLoss",
    "HausdorffLoss",
    "JaccardLoss",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "MCCLoss",
    "Mode",
    "PixelLoss",
    "RegionLoss",
    "TverskyLoss",
    "WeightedCrossEntropyLoss",
    "average_surface_distance",
    "balanced_cross_entropy_loss",
    "boundary_iou",
    "boundary_loss",
    "cross_entropy_loss",
    "dice_from_counts",
    "dice_loss",
    "dice_score",
    "distance_weighted_cross_entropy_loss",
    "focal_loss",
    "generalized_dice_loss",
    "hausdorff_distance",
    "hausdorff_loss",
    "jaccard_from_counts",
    "jaccard_index",
    "jaccard_loss",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "mcc_loss",
    "overlap_counts",
    "pixel_loss",
    "region_loss",
    "signed_distance",
    "surface_dice",
    "tversky_loss",
    "two_nearest_distances",
    "unet_weight_map",
    "weighted_cross_entropy_loss",
]
