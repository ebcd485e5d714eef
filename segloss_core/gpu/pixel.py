"""Pixel losses: forward reads the logits once, backward reads them again and writes the gradient.

What is kept between the two is one number. So memory is the gradient alone, and a factor after the
loss, as a GradScaler puts there, costs no pass of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..fast.dispatch import Kernel
from ..fast.pixel import FocalForm
from ..inputs import Pixels
from .kernels import finish, sigmoid, softmax
from .launch import TILE, launch, softmax_tiles, strides


@dataclass(frozen=True)
class PixelLoss(Kernel):
    """The sum of the losses of a form, divided by a number."""

    form: FocalForm

    @property
    def tensors(self) -> Sequence[Tensor]:
        return self.form.tensors

    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor]:
        x, divisor = pixels.input, self.form.divisor
        call = self._softmax(pixels) if pixels.has_ids else self._sigmoid(pixels)
        losses = x.new_empty(call.programs, dtype=torch.float32)
        counts = torch.empty_like(losses) if divisor is None else None
        launch(call.losses, call.programs, x, *call.read, losses, counts, *call.how, **call.sizes)
        value, factor = losses.new_empty(()), losses.new_empty(())
        measured, number = (divisor, 1.0) if isinstance(divisor, Tensor) else (None, divisor or 0.0)
        rows = (losses, counts, measured, float(number), value, factor, call.programs)
        launch(finish.mean, 1, x, *rows, BLOCK=1024)
        return value, factor

    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        gradient = torch.empty_like(pixels.input)
        call = self._softmax(pixels) if pixels.has_ids else self._sigmoid(pixels)
        written = (slope, buffer, gradient)
        how = (*call.how[:-3], *gradient.stride(), *call.how[-3:])
        launch(call.slopes, call.programs, gradient, *call.read, *written, *how, **call.sizes)
        return gradient

    def _softmax(self, pixels: Pixels) -> _Call:
        x, y, valid, weight = pixels.tensors
        images, classes, length = pixels.input.shape
        sizes = softmax_tiles(classes)
        at = [strides(t, (images, 1, length))[::2] for t in (y, valid, weight)]
        return _Call(
            softmax.softmax_losses,
            softmax.softmax_slopes,
            images * math.ceil(length / sizes["BLOCK"]),
            (x, y, valid, weight, self.form.class_weight),
            (*pixels.input.stride(), *at[0], *at[1], *at[2], length, *self._numbers),
            {"C": classes, **self._kinds, **sizes},
        )

    def _sigmoid(self, pixels: Pixels) -> _Call:
        x, y, valid, weight = pixels.tensors
        images, classes, length = shape = pixels.input.shape
        low, high = self.form.pair or (None, None)
        at = [strides(t, shape) for t in (x, y, valid, weight)]
        pair_at = [strides(t, (images, classes, 1))[:2] for t in (low, high)]
        return _Call(
            sigmoid.sigmoid_losses,
            sigmoid.sigmoid_slopes,
            images * classes * math.ceil(length / TILE),
            (x, y, valid, weight, low, high),
            (*sum(at, ()), *sum(pair_at, ()), length, *self._numbers),
            {"C": classes, **self._kinds, "BLOCK": TILE},
        )

    @property
    def _numbers(self) -> tuple[float, float]:
        return float(self.form.gamma), float(self.form.smoothing)

    @property
    def _kinds(self) -> dict[str, bool]:
        return {"FOCAL": self.form.gamma > 0, "SMOOTH": self.form.smoothing > 0}


@dataclass(frozen=True)
class _Call:
    """The two kernels of a loss, and what both are told."""

    losses: Any
    slopes: Any
    programs: int
    read: tuple[Tensor | None, ...]
    how: tuple[Any, ...]  # strides, and last the length, gamma and the smoothing
    sizes: dict[str, int]
