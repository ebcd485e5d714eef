"""The table that the tests run over: every loss in every mode, with its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import reference
import torch
from torch import Tensor

import segloss_core as core

TWINS = {
    core.cross_entropy_loss: core.CrossEntropyLoss,
    core.weighted_cross_entropy_loss: core.WeightedCrossEntropyLoss,
    core.balanced_cross_entropy_loss: core.BalancedCrossEntropyLoss,
    core.focal_loss: core.FocalLoss,
    core.distance_weighted_cross_entropy_loss: core.DistanceWeightedCrossEntropyLoss,
    core.dice_loss: core.DiceLoss,
    core.jaccard_loss: core.JaccardLoss,
    core.tversky_loss: core.TverskyLoss,
    core.generalized_dice_loss: core.GeneralizedDiceLoss,
    core.mcc_loss: core.MCCLoss,
    core.lovasz_hinge_loss: core.LovaszHingeLoss,
    core.lovasz_softmax_loss: core.LovaszSoftmaxLoss,
    core.pixel_loss: core.PixelLoss,
    core.region_loss: core.RegionLoss,
    core.boundary_loss: core.BoundaryLoss,
    core.hausdorff_loss: core.HausdorffLoss,
}

MODES = ("binary", "multiclass", "multilabel")
C = 3  # classes or channels, but in binary mode


@dataclass(frozen=True, eq=False)
class Case:
    loss: Callable[..., Tensor]
    mode: str
    reference: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    soft: bool = False
    batch: tuple[str, ...] = ()  # what is given per batch, beside the target
    plain: bool = False  # stands for its loss and mode where options do not matter

    def __str__(self) -> str:
        name = self.loss.__name__.removesuffix("_loss")
        shown = {k: getattr(v, "__name__", v) for k, v in self.options.items()}
        options = [k if isinstance(v, Tensor) else f"{k}={v}" for k, v in shown.items()]
        return "-".join([name, self.mode, *options, *self.batch, *["soft"] * self.soft])

    @property
    def channels(self) -> int:
        return 1 if self.mode == "binary" else C

    @property
    def is_region(self) -> bool:
        return "classes" in inspect.signature(self.loss).parameters

    @property
    def is_mean(self) -> bool:
        """A mean over the pixels of a class: equal images give the mean of their losses."""
        return self.loss in (core.boundary_loss, core.hausdorff_loss)

    @property
    def has_distances(self) -> bool:
        """Which depend on the shape, and are float32."""
        return self.is_mean or "instances" in self.batch

    def __call__(self, input: Tensor, target: Tensor, **more: Any) -> Tensor:
        return self.loss(input, target, mode=self.mode, **{**self.options, **more})


def sample(
    case: Case,
    batch: int = 2,
    spatial: tuple[int, ...] = (2, 3),
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    scale: float = 2.0,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Random logits, a target and what the case takes per batch."""
    g = torch.Generator().manual_seed(seed)
    shape = (batch, *([] if case.mode == "binary" else [C]), *spatial)
    z = (scale * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype)
    ids = (batch, *spatial)
    if case.soft:
        y = torch.rand(shape, generator=g, dtype=torch.float64)
        y = (y / y.sum(1, keepdim=True) if case.mode == "multiclass" else y).to(dtype)
    elif case.mode == "multiclass":
        y = torch.randint(C, ids, generator=g)
    else:
        y = torch.randint(2, shape, generator=g)
    extras = {
        "instances": torch.randint(4, ids, generator=g),
        "pixel_weight": torch.rand(ids, generator=g, dtype=torch.float64).to(dtype),
        "distance": (4 * torch.randn(shape, generator=g, dtype=torch.float64)).to(dtype),
    }
    return z, y, {name: extras[name] for name in case.batch}


# What a caller writes down; tests/core/reference.py has the same in other numbers.


def generalized_cross_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (1 - (0.7 * log_p).exp()) / 0.7


def focal_term(log_p: Tensor, log_q: Tensor) -> Tensor:
    return -(2 * log_q).exp() * log_p


def specific_dice(tp: Tensor, fp: Tensor, fn: Tensor, tn: Tensor) -> Tensor:
    return 2 * tp / (2 * tp + fp + fn) * (tn + 1) / (tn + fp + 1)


def cube(score: Tensor) -> Tensor:
    return (1 - score) ** 3


def weights(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _cases() -> list[Case]:
    cases = []

    def add(loss, ref, mode, *variants, soft=True, batch=(), required=None):
        for options in ({}, *variants):
            every = {**(required or {}), **options}
            cases.append(Case(loss, mode, ref, every, batch=batch, plain=not options))
        if soft:
            cases.append(Case(loss, mode, ref, required or {}, soft=True, batch=batch))

    for mode in MODES:
        multi = mode != "binary"
        several = [{"weight": weights(0.5, 2, 1)}] if multi else []
        few = [{"top_k": 0.3, **options} for options in ({}, *several)]
        # Losses that are a sum over pixels
        add(
            core.cross_entropy_loss,
            reference.cross_entropy,
            mode,
            {"label_smoothing": 0.2},
            *several,
            *few,
            *([{"weight": weights(0.5, 2, 1), "label_smoothing": 0.2}] if multi else []),
            *([] if mode == "multiclass" else [{"pos_weight": 3.0}]),
            *([{"pos_weight": weights(3, 1, 0.5)}] if mode == "multilabel" else []),
        )
        add(
            core.cross_entropy_loss,
            reference.cross_entropy,
            mode,
            {"top_k": 0.5},
            batch=("pixel_weight",),
        )
        for term in (generalized_cross_entropy, focal_term):
            add(core.pixel_loss, reference.pixel_loss, mode, *several, required={"term": term})
        add(
            core.pixel_loss, reference.pixel_loss, mode, required={"term": focal_term, "top_k": 0.7}
        )
        alpha = {"alpha": weights(0.2, 1, 3)} if mode == "multiclass" else {"alpha": 0.25}
        add(
            core.focal_loss,
            reference.focal,
            mode,
            {"gamma": 0.5},
            {"gamma": 0},
            {**alpha, "gamma": 1.5},
            {**alpha, "normalizer": "positives"},
            {"top_k": 0.3, "normalizer": "positives"},
        )
        add(
            core.distance_weighted_cross_entropy_loss,
            reference.cross_entropy,
            mode,
            {"w0": 3.0, "sigma": 2.0, "class_weight": weights(1, 4)},
            {"top_k": 0.5},
            batch=("instances",),
        )
        if mode != "multiclass":
            add(
                core.weighted_cross_entropy_loss,
                reference.weighted_cross_entropy,
                mode,
                {"top_k": 0.3},
                *([{"beta": weights(3, 1, 0.5)}] if multi else []),
                required={"beta": 2.5},
            )
            add(
                core.balanced_cross_entropy_loss,
                reference.balanced_cross_entropy,
                mode,
                {"beta": 0.8},
                {"eps": 0.45},
                {"per_image": True},
                {"top_k": 0.3},
                *([{"beta": weights(0.9, 0.5, 0.1)}] if multi else []),
            )
        # Losses on overlaps
        regions = [
            {"per_image": True},
            {"classes": "all"},
            *([{"classes": [2, 0]}, {"classes": [1], "per_image": True}] if multi else []),
            *several,
            *([{"weight": weights(0.5, 2, 1), "classes": [2, 0]}] if multi else []),
        ]
        add(
            core.dice_loss,
            reference.dice,
            mode,
            {"squared": True},
            {"smooth": 1.0},
            {"transform": "log"},
            {"transform": "log_cosh", "smooth": 1.0},
            *regions,
        )
        add(core.dice_loss, reference.dice, mode, required={"squared": True, "smooth": 0.5})
        add(
            core.jaccard_loss,
            reference.jaccard,
            mode,
            {"smooth": 1.0},
            {"transform": "log_cosh"},
            *regions,
        )
        add(
            core.tversky_loss,
            reference.tversky,
            mode,
            {"alpha": 0.3, "beta": 0.7},
            {"alpha": 0.3, "beta": 0.7, "gamma": 0.75},
            {"alpha": 1.5, "beta": 0.1, "gamma": 2.0, "smooth": 1.0},
            {"alpha": 0.3, "beta": 0.7, "transform": cube},
            *regions,
        )
        add(core.mcc_loss, reference.mcc, mode, *regions)
        add(
            core.region_loss,
            reference.region_loss,
            mode,
            {"transform": cube},
            *regions,
            required={"index": specific_dice},
        )
        by = [{"weight": "inverse"}, *([{"weight": "inverse", "per_image": True}] if multi else [])]
        add(core.generalized_dice_loss, reference.generalized_dice, mode, *by, *regions)
        if mode == "multiclass":
            add(core.lovasz_softmax_loss, reference.lovasz_softmax, mode, *regions, soft=False)
        else:
            add(core.lovasz_hinge_loss, reference.lovasz_hinge, mode, *regions, soft=False)
        # Losses by the distance to an edge
        add(
            core.boundary_loss,
            reference.boundary,
            mode,
            {"convention": "centre"},
            {"convention": "kervadec"},
            *regions,
        )
        cases.append(Case(core.boundary_loss, mode, reference.boundary, batch=("distance",)))
        add(core.hausdorff_loss, reference.hausdorff, mode, {"exponent": 1.5}, *regions)
    return cases


# Every loss in every mode with its options: values are compared with the reference.
CASES = _cases()

# One case for each loss and mode, and a few whose options change the way of the computation.
LOSSES = [case for case in CASES if case.plain]
LOSSES.append(Case(core.lovasz_softmax_loss, "multiclass", reference.lovasz_softmax, {"bins": 64}))
LOSSES += [c for c in CASES if c.options == {"top_k": 0.3} and c.loss is core.cross_entropy_loss]
LOSSES += [c for c in CASES if c.options == {"transform": "log"}]
REGION_LOSSES = [case for case in LOSSES if case.is_region]
# Those that are a mean over the classes, or over all the pixels.
CLASS_LOSSES = [case for case in REGION_LOSSES if case.loss is not core.generalized_dice_loss]
PIXEL_LOSSES = [c for c in LOSSES if not c.is_region and "top_k" not in c.options]
