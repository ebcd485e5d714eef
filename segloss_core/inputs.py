"""The door of the package: every call is checked here and leaves in one normal form, `Pixels`.

Everything behind the door sees flat pixels, and takes from `Pixels` values in float32 or float64
that are harmless under the void ones, so no loss thinks about shapes, dtypes or void pixels again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from .checks import (
    check_bool,
    check_choice,
    check_class_vector,
    check_ids,
    check_number,
    check_range,
    check_tensor,
    expect,
    expect_shape,
    peek,
)

Mode = Literal["binary", "multiclass", "multilabel"]
MODES: tuple[Mode, ...] = get_args(Mode)
BinaryMode = Literal["binary", "multilabel"]
BINARY_MODES: tuple[BinaryMode, ...] = get_args(BinaryMode)

# Keeps log p finite at p = 0, and its slope below 1e12 (the bound torch's own BCE uses).
LOG_EPS = 1e-12

# Stands for an infinite logit where that times 0 would be NaN; no smaller one makes a difference.
HUGE = 1e30


class Pixels(NamedTuple):
    """One checked call: B images of C channels and N pixels."""

    input: Tensor  # (B, C, N), a view of what came where it can be; probabilities are in [0, 1]
    target: Tensor  # (B, 1, N) class ids, or (B, C, N); as it came
    valid: Tensor | None  # bool, of the shape of a pixel loss: (B, 1, N) or (B, C, N); None: all
    weight: Tensor | None  # multiplies the loss of a pixel, (B, 1, N) or (B, C, N); None: 1
    mode: Mode
    from_logits: bool
    soft: bool  # the target may lie between 0 and 1
    shape: torch.Size  # of an unreduced pixel loss, as the caller sees it

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        return self[:4]

    @property
    def options(self) -> tuple[Any, ...]:
        return self[4:]

    @property
    def has_ids(self) -> bool:
        return self.mode == "multiclass" and not self.soft

    @property
    def classes(self) -> int:
        return self.input.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in, and returned."""
        return torch.promote_types(self.input.dtype, torch.float32)

    @property
    def scores(self) -> Tensor:
        """The input in `dtype`, 0 under void: before any softmax, whose gradient would be NaN."""
        return self.select(self.input.to(self.dtype))

    @property
    def labels(self) -> Tensor:
        """The target: (B, 1, N) class ids, or (B, C, N) in `dtype`; 0 under void."""
        return self.select(self.target.to(torch.long if self.has_ids else self.dtype))

    @property
    def logits(self) -> Tensor:
        if self.from_logits:
            return self.scores
        p = self.scores
        log_p = torch.log(p + LOG_EPS)
        if self.mode == "multiclass":
            return log_p
        return log_p - torch.log(1 - p + LOG_EPS)

    @property
    def probabilities(self) -> Tensor:
        """(B, C, N), 0 under void pixels, so that they add to no sum."""
        if not self.from_logits:
            return self.scores
        multiclass = self.mode == "multiclass"
        return self.select(self.scores.softmax(1) if multiclass else self.scores.sigmoid())

    def select(self, x: Tensor) -> Tensor:
        """`x` on valid pixels and 0 on void ones, whatever `x` holds there."""
        return x if self.valid is None else torch.where(self.valid, x, 0)

    def cut(self, at: tuple[slice, ...]) -> Pixels:
        """Some images, channels and pixels; class ids have the one channel."""
        parts: list[Any] = [None if x is None else x[at] for x in self.tensors]
        return Pixels(*parts, *self.options)

    def valid_count(self) -> Tensor:
        """The number of valid pixels, (B, 1) or (B, C) as a pixel loss has channels."""
        if self.valid is not None:
            return self.valid.sum(-1, dtype=torch.int32)  # torch copies the mask to this type
        images, channels, pixels = self.input.shape
        channels = 1 if self.mode == "multiclass" else channels
        return torch.full((images, channels), pixels, device=self.input.device)

    def valid_total(self) -> Tensor | int:
        """The number of valid pixels (and channels)."""
        if self.valid is not None:
            return self.valid.count_nonzero()
        images, channels, pixels = self.input.shape
        return images * (1 if self.mode == "multiclass" else channels) * pixels

    def flatten_map(self, name: str, x: Tensor) -> Tensor:
        """A tensor given per pixel, beside the flat pixel losses."""
        check_tensor(name, x, self.input.device)
        return _flatten_map(name, x, self.mode, self.shape)

    def per_class(self, name: str, value: float | Tensor, high: float = math.inf) -> Tensor:
        """A number, or a tensor (C,), as what stands beside (B, C, N): shape () or (C, 1)."""
        if isinstance(value, Tensor) and value.ndim == 0:  # a number that was computed
            check_tensor(name, value, self.input.device)
            check_range(name, value, 0, high)
            return value.to(self.dtype)
        if isinstance(value, Tensor):
            return self.class_vector(name, value, high).unsqueeze(-1)
        check_number(name, value, high=high)
        return self.input.new_full((), value, dtype=self.dtype)

    def class_vector(self, name: str, value: object, high: float = math.inf) -> Tensor:
        """A tensor (C,) of non-negative numbers, in `dtype`."""
        vector = check_class_vector(name, value, self.input.device, self.classes, high)
        return vector.to(self.dtype)


def prepare(
    input: Tensor,
    target: Tensor,
    mode: Mode,
    from_logits: bool,
    ignore_index: int | None,
    mask: Tensor | None,
    *,
    modes: Sequence[Mode] = MODES,
    hard: bool = False,
    look: bool = True,
) -> Pixels:
    """Check a call and bring it into normal form; `hard` refuses targets between 0 and 1.

    Without `look` that of the values of a target without class ids is left to `look_at_target`.
    """
    check_choice("mode", mode, modes)
    check_tensor("input", input)
    check_tensor("target", target, input.device)
    check_bool("from_logits", from_logits)
    if not input.is_floating_point():
        raise TypeError(f"input: expected a floating point tensor, got {input.dtype}")
    if target.is_complex():
        raise TypeError(f"target: expected bool, integers or floats, got {target.dtype}")
    soft = target.is_floating_point()
    if soft and hard and mode == "multiclass":
        raise TypeError(f"target: expected integer class ids, got {target.dtype}")
    shape = _loss_shape(input, target, mode)
    valid = find_valid(target, mode, ignore_index, mask, shape)
    scores = _by_pixel(input) if mode == "binary" else _by_channel(input)
    by_pixel = mode == "binary" or (mode == "multiclass" and not soft)
    labels = _by_pixel(target) if by_pixel else _by_channel(target)
    pixels = Pixels(scores, labels, valid, None, mode, from_logits, soft, shape)
    if not from_logits:
        slack = 4 * torch.finfo(input.dtype).eps  # an interpolated probability may be 1 + eps
        check_range("input", pixels.scores, -slack, 1 + slack, "probabilities")
        pixels = pixels._replace(input=pixels.scores.clamp(0, 1))
    if pixels.has_ids:
        check_ids("target", labels, valid, pixels.classes)
    elif look:
        pixels = look_at_target(pixels, hard)
    return pixels


def look_at_target(pixels: Pixels, hard: bool = False) -> Pixels:
    """Check the values of a target without class ids, and see whether they are 0 and 1 alone."""
    y = pixels.labels
    if pixels.soft and pixels.mode != "multiclass" and _is_hard(y):
        return pixels._replace(soft=False)
    check_range("target", y, 0, 1)
    if pixels.soft and hard:
        check_range("target", y.frac(), 0, 0, "hard labels, so fractional parts")
    return pixels


def _is_hard(y: Tensor) -> bool:
    """Whether y is seen to be 0 and 1 alone, where y - y^2 is 0."""
    y = y.flatten()
    pieces = y.chunk(1 + y.numel() // 2**17) if y.device.type == "cpu" else [y]  # fit a cache
    between = (torch.addcmul(x, x, x, value=-1) for x in pieces)
    return all(peek(torch.dot(x, x)) == 0 for x in between)


def hard_mask(name: str, x: Tensor, mode: Mode, valid: Tensor | None, classes: float) -> Tensor:
    """Class ids (B, 1, N), or 0 and 1 (B, C, N); 0 under void pixels."""
    flat = _by_channel(x) if mode == "multilabel" else _by_pixel(x)
    if mode == "multiclass":
        check_ids(name, flat, valid, classes)
    flat = flat.long() if valid is None else torch.where(valid, flat.long(), 0)
    if mode != "multiclass":
        check_range(name, flat, 0, 1)
    return flat


def _loss_shape(input: Tensor, target: Tensor, mode: Mode) -> torch.Size:
    if mode == "binary":
        expect(input.ndim >= 1, "input", "shape (B, *) or (B, 1, *)", input.shape)
        one_channel = input.ndim > 1 and input.shape[1] == 1
        squeezed = [_without_channel(input.shape)] if one_channel else []
        expect_shape("target", target, *squeezed, input.shape)
        return target.shape
    expect(input.ndim >= 2, "input", "shape (B, C, *)", input.shape)
    if mode == "multiclass":
        expect(input.shape[1] >= 2, "input", "at least 2 classes in dimension 1", input.shape)
    shape = _without_channel(input.shape) if mode == "multiclass" else input.shape
    expect_shape("target", target, input.shape if target.is_floating_point() else shape)
    return shape


def find_valid(
    target: Tensor, mode: Mode, ignore_index: int | None, mask: Tensor | None, shape: torch.Size
) -> Tensor | None:
    """The pixels that exist, in the shape of a pixel loss; None: all of them."""
    valid = None
    if ignore_index is not None:
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise TypeError(f"ignore_index: expected an int or None, got {ignore_index!r}")
        if mode == "multiclass" and target.is_floating_point():
            raise ValueError(
                f"ignore_index: expected None for a target of class probabilities (use mask), "
                f"got {ignore_index}"
            )
        wide = target if target.is_floating_point() else target.long()  # -100 is 156 in uint8
        valid = _flatten_map("target", wide != ignore_index, mode, shape)
    if mask is not None:
        check_tensor("mask", mask, target.device)
        if mask.dtype != torch.bool:
            raise TypeError(f"mask: expected a bool tensor, got {mask.dtype}")
        keep = _flatten_map("mask", mask, mode, shape)
        valid = keep if valid is None else valid & keep
    return valid


def _flatten_map(name: str, x: Tensor, mode: Mode, shape: torch.Size) -> Tensor:
    """A map over the pixels as (B, 1, N), or as (B, C, N) in multilabel mode."""
    if x.shape == shape:
        return _by_channel(x) if mode == "multilabel" else _by_pixel(x)
    optional = mode == "multilabel" or (mode == "binary" and shape[1:2] == (1,))
    expect_shape(name, x, shape, *([_without_channel(shape)] if optional else []))
    pixels = _by_pixel(x)
    return pixels.expand(-1, shape[1], -1) if mode == "multilabel" else pixels


def _without_channel(shape: torch.Size) -> torch.Size:
    return shape[:1] + shape[2:]


def _by_pixel(x: Tensor) -> Tensor:
    """(B, *) as (B, 1, N), with N = 1 where there is no spatial dimension."""
    return x.reshape(x.shape[0], 1, math.prod(x.shape[1:]))


def _by_channel(x: Tensor) -> Tensor:
    """(B, C, *) as (B, C, N); a view, for channels-last tensors too."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
