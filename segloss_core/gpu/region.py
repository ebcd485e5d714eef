"""The sums of overlaps: forward reads the logits, backward reads them and writes the gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fast.dispatch import Kernel
from ..fast.region import OverlapSums
from ..inputs import Pixels, look_at_target
from .kernels import region
from .launch import TILE, launch, softmax_tiles, strides

# Pixels of a program with several classes: more of them make fewer rows of sums and of slopes that
# lie beside the logits, fewer make more programs.
PIXELS = 256


@dataclass(frozen=True)
class RegionSums(Kernel):
    """The sums of p y, p, y and again p, (4, B, C), of class ids or of y in [0, 1]."""

    twin: OverlapSums

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor]:
        x, y, valid, _ = pixels.tensors
        images, classes, length = shape = pixels.input.shape
        if pixels.has_ids:
            sizes, programs = _softmax_sizes(pixels)
            rows = pixels.input.new_empty(4, images, programs // images, classes, dtype=torch.float)
            at = [strides(t, (images, 1, length))[::2] for t in (y, valid)]
            how = (*pixels.input.stride(), *at[0], *at[1], length, programs * classes)
            launch(region.softmax_sums, programs, rows, x, y, valid, rows, *how, **sizes)
            return rows.sum(2, dtype=torch.float64), rows.new_empty(0)
        if pixels.target.dtype != torch.bool:
            look_at_target(pixels)
        programs = images * classes * math.ceil(length / TILE)
        rows = pixels.input.new_empty(4, images, classes, -(-length // TILE), dtype=torch.float)
        strided = [strides(t, shape) for t in (x, y, valid)]
        how = (*sum(strided, ()), length, programs)
        launch(
            region.sigmoid_sums, programs, rows, x, y, valid, rows, *how, C=classes, BLOCK=TILE
        )  # fmt: skip
        return rows.sum(3, dtype=torch.float64), rows.new_empty(0)

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        x, y, valid, _ = pixels.tensors
        images, classes, length = shape = pixels.input.shape
        gradient = torch.empty_like(pixels.input)
        read, written = (x, y, valid, slope, gradient), (*slope.stride(), *gradient.stride())
        if pixels.has_ids:
            sizes, programs = _softmax_sizes(pixels)
            at = [strides(t, (images, 1, length))[::2] for t in (y, valid)]
            how = (*pixels.input.stride(), *at[0], *at[1], *written, length)
            launch(region.softmax_sum_slopes, programs, gradient, *read, *how, **sizes)
            return gradient
        programs = images * classes * math.ceil(length / TILE)
        strided = [strides(t, shape) for t in (x, y, valid)]
        how = (*sum(strided, ()), *written, length)
        launch(region.sigmoid_sum_slopes, programs, gradient, *read, *how, C=classes, BLOCK=TILE)
        return gradient


def _softmax_sizes(pixels: Pixels) -> tuple[dict[str, int], int]:
    """What a program takes, and how many there are."""
    images, classes, length = pixels.input.shape
    tiles = softmax_tiles(classes)
    steps = max(1, PIXELS // tiles["BLOCK"]) if classes <= tiles["TILE"] else 1
    programs = images * math.ceil(length / (tiles["BLOCK"] * steps))
    return {"C": classes, "STEPS": steps, **tiles}, programs
