"""The Lovász losses by a sort of integers or by bins, before and after which logits are read."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..fast.dispatch import Kernel
from ..fast.lovasz import HingeBySort, SoftmaxByBins, SoftmaxBySort
from ..inputs import Pixels
from ..steps import bin_steps
from .kernels import lovasz
from .launch import TILE, launch, softmax_tiles, strides

# What is sorted at once, unless a class has more: a sort takes 24 bytes for each of them.
SORTED = 2**25

BLOCK = 1024


@dataclass(frozen=True)
class HingeSort(Kernel):
    """Of the classes loss, filling and sum of y, (3, 1 or B, C); buffers are (C, B, N)."""

    twin: HingeBySort

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor]:
        x, y, valid, _ = pixels.tensors
        images, classes, length = shape = pixels.input.shape
        per_row = math.ceil(length / TILE)
        keys = pixels.input.new_empty(classes, images, length, dtype=torch.int32)
        rows = pixels.input.new_empty(images, classes, per_row, dtype=torch.float32)
        strided = sum((strides(t, shape) for t in (x, y, valid)), ())
        how, sizes = (*strided, length, images), {"C": classes, "BLOCK": TILE}
        launch(lovasz.hinge_keys, rows.numel(), keys, x, y, valid, keys, rows, *how, **sizes)
        actual = rows.sum(-1, dtype=torch.float64)
        if not self.twin.per_image:
            actual = actual.sum(0, keepdim=True)
        losses, slopes = _in_order(keys, self.twin.per_image, hinge=True)
        empty = actual == 0
        return torch.stack([losses * ~empty, losses * empty, actual]), slopes

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        gradient = torch.empty_like(pixels.input)
        by_errors = (slope[0] + slope[1]).float().unsqueeze(-1)  # one of the two is 0
        return torch.mul(buffer.transpose(0, 1), by_errors, out=gradient)


@dataclass(frozen=True)
class SoftmaxSort(Kernel):
    """Of the classes loss, sum of p and sum of y, (3, 1 or B, C); buffers are (C, B, N)."""

    twin: SoftmaxBySort

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor]:
        x, y, valid, _ = pixels.tensors
        images, classes, length = pixels.input.shape
        sizes = {"C": classes, **softmax_tiles(classes)}
        per_row = math.ceil(length / sizes["BLOCK"])
        keys = pixels.input.new_empty(classes, images, length, dtype=torch.int32)
        rows = pixels.input.new_empty(2, images, per_row, classes, dtype=torch.float32)
        at = [strides(t, (images, 1, length))[::2] for t in (y, valid)]
        between = images * per_row * classes
        how = (*pixels.input.stride(), *at[0], *at[1], length, images, between)
        programs = images * per_row
        launch(lovasz.softmax_keys, programs, keys, x, y, valid, keys, rows, *how, **sizes)
        sums = rows.sum(2, dtype=torch.float64)
        if not self.twin.per_image:
            sums = sums.sum(1, keepdim=True)
        losses, slopes = _in_order(keys, self.twin.per_image, hinge=False)
        return torch.cat([losses.unsqueeze(0), sums]), slopes

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        x, _, valid, _ = pixels.tensors
        images, classes, length = pixels.input.shape
        gradient = torch.empty_like(pixels.input)
        sizes = {"C": classes, **softmax_tiles(classes)}
        programs = images * math.ceil(length / sizes["BLOCK"])
        by_rows = slope.expand(3, images, classes).stride()
        at = (*pixels.input.stride(), *strides(valid, (images, 1, length))[::2], *by_rows)
        how = (*at, *gradient.stride(), length, images)
        given = (x, valid, buffer, slope, gradient)
        launch(lovasz.softmax_slopes, programs, gradient, *given, *how, **sizes)
        return gradient


@dataclass(frozen=True)
class SoftmaxBins(Kernel):
    """Of the classes loss, sum of p and sum of y, (3, 1, C); the buffer has the steps of bins."""

    twin: SoftmaxByBins

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor]:
        x, y, valid, _ = pixels.tensors
        classes, bins = pixels.classes, self.twin.bins
        sizes, programs, how = self._how(pixels)
        rows = pixels.input.new_empty(2, programs, classes, dtype=torch.float32)
        counts = rows.new_zeros(2, classes, bins, dtype=torch.int32)
        given, between = (x, y, valid), counts[0].numel()
        how = (*how, pixels.input.shape[2], bins, between)
        launch(lovasz.softmax_counts, programs, rows, *given, counts, rows[1], *how, **sizes)
        steps = torch.stack(bin_steps(counts)).float()
        launch(lovasz.binned_losses, programs, rows, *given, steps, rows[0], *how, **sizes)
        actual = counts[0].sum(-1, dtype=torch.float64)
        sums = rows.sum(1, dtype=torch.float64)
        return torch.cat([sums, actual.unsqueeze(0)]).unsqueeze(1), steps

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        x, y, valid, _ = pixels.tensors
        gradient = torch.empty_like(pixels.input)
        sizes, programs, how = self._how(pixels)
        by_rows = slope.stride(0), slope.stride(2)
        how = (*how, *by_rows, *gradient.stride(), pixels.input.shape[2], self.twin.bins)
        given = (x, y, valid, buffer, slope, gradient)
        between = buffer[0].numel()
        launch(lovasz.binned_slopes, programs, gradient, *given, *how, between, **sizes)
        return gradient

    def _how(self, pixels: Pixels) -> tuple[dict[str, int], int, tuple[int, ...]]:
        _, y, valid, _ = pixels.tensors
        images, classes, length = pixels.input.shape
        sizes = {"C": classes, **softmax_tiles(classes)}
        sizes["BLOCK"] = min(256, sizes["BLOCK"])  # bins take more registers
        at = [strides(t, (images, 1, length))[::2] for t in (y, valid)]
        programs = images * math.ceil(length / sizes["BLOCK"])
        return sizes, programs, (*pixels.input.stride(), *at[0], *at[1])


def _in_order(keys: Tensor, per_image: bool, hinge: bool) -> tuple[Tensor, Tensor]:
    """The losses, (1 or B, C), and the slopes, whose place is that of the keys."""
    regions = keys if per_image else keys.flatten(1).unsqueeze(1)
    count = max(1, SORTED // keys[0].numel())
    slopes, found = regions.view(torch.float32), []
    for of_classes, here in zip(
        torch.split(regions, count), torch.split(slopes, count), strict=True
    ):
        length = of_classes.shape[-1]
        ordered, order = of_classes.sort(-1)
        seen = ordered.bitwise_and(1).cumsum(-1, dtype=torch.int32)
        losses = here.new_empty(*of_classes.shape[:2], math.ceil(length / BLOCK))
        given = (ordered, order, seen, here, losses, length)
        launch(lovasz.in_order, losses.numel(), here, *given, HINGE=hinge, BLOCK=BLOCK)
        found.append(losses.sum(-1, dtype=torch.float64))
    return torch.cat(found).transpose(0, 1), slopes.view(keys.shape)
