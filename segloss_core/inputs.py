"""The door of the package: every call is checked here and leaves in one normal form, `Pixels`.

Everything behind the door sees flat pixels, and takes from `Pixels` values in float32 or float64
that are harmless under the void ones, so no loss thinks about shapes, dtypes or void pixels again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from .checks import (
    Vector,
    check_bool,
    check_choice,
    check_class_vector,
    check_count,
    check_ids,
    check_int,
    check_number,
    check_range,
    check_tensor,
    check_that,
    expect,
    expect_shape,
    is_list_of_numbers,
    peek,
    refuse,
    seen,
    value_of,
)
from .ranks import ProcessGroup, max_over_ranks

Mode = Literal["binary", "multiclass", "multilabel"]
MODES: tuple[Mode, ...] = get_args(Mode)
BinaryMode = Literal["binary", "multilabel"]
BINARY_MODES: tuple[BinaryMode, ...] = get_args(BinaryMode)

# Keeps log p finite at p = 0, and its slope below 1e12 (the bound torch's own BCE uses).
LOG_EPS = 1e-12

# Torch can do next to nothing with these.
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)

# Stands for an infinite logit where that times 0 would be NaN; no smaller one makes a difference.
HUGE = 1e30


TENSORS = 4


class Pixels(NamedTuple):
    """One checked call: B images of C channels and N pixels; the first fields are its tensors."""

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
        return self.input, self.target, self.valid, self.weight

    @property
    def options(self) -> tuple[Any, ...]:
        return self[TENSORS:]

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
    def eps(self) -> float:
        """Keeps a logarithm finite, and its slope by the input; by logits that is never large."""
        if self.from_logits:
            return LOG_EPS
        return max(LOG_EPS, torch.finfo(self.input.dtype).tiny)  # a slope of 1 / tiny fits a half

    @property
    def scores(self) -> Tensor:
        """The input in `dtype`, 0 under void: before any softmax, whose gradient would be NaN."""
        return self.select(self.input.to(self.dtype))

    @property
    def labels(self) -> Tensor:
        """The target: (B, 1, N) class ids, or (B, C, N) in `dtype`; 0 under void."""
        return self.select(self.target.to(torch.long if self.has_ids else self.dtype))

    @property
    def of_class(self) -> Tensor:
        """y of each class, (B, C, N): as `labels`, or as bool from class ids; 0 under void.

        Its sums are the same at every run. Into the few cells of classes a GPU adds in any order.
        """
        if not self.has_ids:
            return self.labels
        ids = torch.arange(self.classes, device=self.target.device).unsqueeze(-1)
        own = self.target == ids
        return own if self.valid is None else own & self.valid

    @property
    def logits(self) -> Tensor:
        if self.from_logits and self.mode != "multiclass":
            return self.scores
        if self.from_logits:  # a softmax would make NaN of differences of infinite logits
            return finite(self.scores)
        p = self.scores
        log_p = torch.log(p + self.eps)
        if self.mode == "multiclass":
            return log_p
        return log_p - torch.log(1 - p + self.eps)

    @property
    def probabilities(self) -> Tensor:
        """(B, C, N), 0 under void pixels, so that they add to no sum."""
        if not self.from_logits:
            return self.scores
        multiclass = self.mode == "multiclass"
        return self.select(self.logits.softmax(1) if multiclass else self.scores.sigmoid())

    def select(self, x: Tensor) -> Tensor:
        """`x` on valid pixels and 0 on void ones, whatever `x` holds there."""
        return x if self.valid is None else torch.where(self.valid, x, 0)

    def cut(self, at: tuple[slice, ...]) -> Pixels:
        """Some images, channels and pixels; class ids have the one channel."""
        tensors: list[Any] = [None if x is None else x[at] for x in self.tensors]
        return Pixels(*tensors, *self.options)

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
        """A tensor given per pixel, in `dtype`, beside the flat pixel losses."""
        check_tensor(name, x, self.input.device)
        return _flatten_map(name, x, self.mode, self.shape).to(self.dtype)

    def per_class(self, name: str, value: float | Vector, high: float = math.inf) -> Tensor:
        """A number, or a vector (C,), as what stands beside (B, C, N): shape () or (C, 1)."""
        if isinstance(value, Tensor) and value.ndim == 0:  # a number that was computed
            check_tensor(name, value, self.input.device)
            check_range(name, value, 0, high)
            return value.to(self.dtype)
        if isinstance(value, Tensor) or is_list_of_numbers(value):
            return self.class_vector(name, value, high).unsqueeze(-1)
        number = check_number(name, value, high=high)
        return self.input.new_full((), number, dtype=self.dtype)

    def class_vector(self, name: str, value: object, high: float = math.inf) -> Tensor:
        """A tensor (C,) of non-negative numbers, in `dtype`."""
        like = self.input.new_empty(0, dtype=self.dtype)
        return check_class_vector(name, value, like, self.classes, high)


class _Finite(torch.autograd.Function):
    """A clamp that costs the gradient no operation, and loses no NaN in it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor) -> Tensor:
        return z.clamp(-HUGE, HUGE)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None: ...

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return tangent.view_as(tangent)


def finite(z: Tensor) -> Tensor:
    """Infinite logits as very large ones."""
    if torch.compiler.is_compiling():  # which makes one operation of all this
        return torch.where(z.isinf(), z.detach().clamp(-HUGE, HUGE), z)
    found: Tensor = _Finite.apply(z)  # type: ignore[no-untyped-call]
    return found


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
    target = signed(check_tensor("target", target, input.device))
    check_bool("from_logits", from_logits)
    if not input.is_floating_point():
        raise TypeError(
            f"input: expected a floating point tensor, got {input.dtype} "
            f"(logits or probabilities, not the classes predicted)"
        )
    soft = target.is_floating_point()
    if soft and hard and mode == "multiclass":
        raise TypeError(
            f"target: expected integer class ids, got {target.dtype} (target.long(), or argmax(1))"
        )
    target, shape = _fit_target(input, target, mode)
    valid = find_valid(target, mode, ignore_index, mask, shape)
    scores = _by_pixel(input) if mode == "binary" else _by_channel(input)
    by_pixel = mode == "binary" or (mode == "multiclass" and not soft)
    labels = _by_pixel(target) if by_pixel else _by_channel(target)
    pixels = Pixels(scores, labels, valid, None, mode, from_logits, soft, shape)
    if not from_logits:
        slack = 4 * torch.finfo(input.dtype).eps  # an interpolated probability may be 1 + eps
        remedy = "logits go with from_logits=True"
        check_range("input", pixels.scores, 0, 1, "probabilities", slack, remedy)
        pixels = pixels._replace(input=pixels.select(scores).clamp(0, 1))
    if ignore_index == 255 and mode != "multiclass":
        _warn_of_void_foreground(target)
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
    if pixels.mode == "multiclass":
        _check_rows(pixels)
    return pixels


def _check_rows(pixels: Pixels) -> None:
    """Class probabilities that are all 0 say nothing, though they would enter the mean."""
    rows = pixels.target.sum(1, keepdim=True)
    rows = rows if pixels.valid is None else torch.where(pixels.valid, rows, 1)
    if rows.numel() > 0:
        check_that(
            rows.amin() != 0,
            "target: expected class probabilities that sum to 1 on every valid pixel, got a sum "
            "of 0 (mask=target.sum(1) > 0 makes such pixels void)",
        )


def _warn_of_void_foreground(target: Tensor) -> None:
    """A mask of 0 and 255, whose foreground `ignore_index=255` takes away, looks like this.

    So does a batch without foreground in which every image has void pixels: no error, then.
    """
    if target.numel() == 0 or not seen(target):
        return
    for pixels in (target.flatten()[::61], target):  # a few tell where there is foreground
        found = peek(((pixels != 0) & (pixels != 255)).any())
        if found is None or found:
            return
    void = (target == 255).reshape(len(target), -1)  # without spatial dimensions, too
    if peek(void.any(1).all() & (target == 0).any()):
        warnings.warn(
            "target: nothing but 0 and 255, and ignore_index=255 makes pixels of every image void. "
            "If 255 is the foreground of these masks, give target == 255 and no ignore_index; if "
            "it is not, mask=(target != 255) says so without this question",
            stacklevel=4,  # who calls the loss
        )


def _is_hard(y: Tensor) -> bool:
    """Whether y is seen to be 0 and 1 alone, where y - y^2 is 0."""
    if not seen(y):
        return False
    y = y.flatten()
    tiles = y.chunk(1 + y.numel() // 2**17) if y.device.type == "cpu" else [y]  # fit a cache
    between = (torch.addcmul(x, x, x, value=-1) for x in tiles)
    return all(peek(torch.dot(x, x)) == 0 for x in between)


def check_hard(name: str, x: Tensor, mode: Mode) -> Tensor:
    """A mask that has no logits beside it, in a dtype that torch can count with."""
    if mode == "multiclass" and check_tensor(name, x).is_floating_point():
        raise TypeError(
            f"{name}: expected integer class ids, got {x.dtype} "
            f"({name}.argmax(1) of logits, {name}.long() of ids)"
        )
    return signed(check_tensor(name, x))


def class_count(
    masks: dict[str, Tensor],
    valid: Tensor | None,
    mode: Mode,
    num_classes: int | None,
    process_group: ProcessGroup | None = None,
) -> float:
    """C of multiclass mode, as given or by the largest id; infinite where channels are classes."""
    if mode != "multiclass":
        refuse("num_classes", num_classes, mode)
        return math.inf
    if num_classes is not None:
        return check_count("num_classes", num_classes)
    largest = 0
    for name, x in masks.items():
        ids = hard_mask(name, x, "multiclass", valid, math.inf)
        value = value_of(ids.amax()) if ids.numel() else 0
        if value is None:
            raise ValueError("num_classes: expected an int under torch.compile, got None")
        largest = max(largest, int(value))
    return max_over_ranks(largest, next(iter(masks.values())).device, process_group) + 1


def hard_mask(name: str, x: Tensor, mode: Mode, valid: Tensor | None, classes: float) -> Tensor:
    """Class ids (B, 1, N), or 0 and 1 (B, C, N); 0 under void pixels."""
    flat = _by_channel(x) if mode == "multilabel" else _by_pixel(x)
    if mode == "multiclass":
        check_ids(name, flat, valid, classes)
        flat = flat.long()
    flat = flat if valid is None else torch.where(valid, flat, 0)
    if mode != "multiclass":
        check_range(name, flat, 0, 1)
        if flat.is_floating_point():
            check_that(
                (flat == flat.round()).all(),
                f"{name}: expected a hard mask, 0 and 1 alone, got values between them "
                f"({name} > 0 of logits, {name} > 0.5 of probabilities)",
            )
    return flat.long()


def signed(x: Tensor) -> Tensor:
    """Whole numbers in a dtype that torch has all operations for."""
    return x.long() if x.dtype in UNSIGNED else x


def _fit_target(input: Tensor, target: Tensor, mode: Mode) -> tuple[Tensor, torch.Size]:
    """The target as it stands beside the input, and the shape of an unreduced pixel loss."""
    x = input.shape
    if mode == "binary":
        expect(len(x) >= 1, "input", "shape (B, *) or (B, 1, *)", x)
        without = [_without_channel(x)] if x[1:2] == (1,) else []
        if target.shape != (*x[:1], 1, *x[1:]):
            _expect_target(input, target, mode, *without, x)
        return target, target.shape
    expect(len(x) >= 2, "input", "shape (B, C, *)", x)
    if mode == "multilabel":
        _expect_target(input, target, mode, x)
        return target, x
    one_channel = "one channel goes with mode='binary'"
    expect(x[1] >= 2, "input", "at least 2 classes in dimension 1", x, one_channel)
    if not target.is_floating_point() and target.ndim == len(x):
        target = without_one_channel(target)
    shape = _without_channel(x)
    _expect_target(input, target, mode, x if target.is_floating_point() else shape)
    return target, shape


def _expect_target(input: Tensor, target: Tensor, mode: Mode, *shapes: torch.Size) -> None:
    """One of these shapes, else words on what was probably meant."""
    if not any(target.shape == shape for shape in shapes):
        expect_shape("target", target, *shapes, remedy=_target_remedy(input, target, mode))


def _target_remedy(input: Tensor, target: Tensor, mode: Mode) -> str:
    """What mends the shapes, of the mistakes that are made most."""
    x, y, several = input.shape, target.shape, mode == "multiclass"
    ids, ids_in_a_channel = x[:1] + x[2:], (*x[:1], 1, *x[2:])
    if not several and len(x) > 1 and y in (ids, ids_in_a_channel):
        return "class ids go with mode='multiclass'"
    if several and y in (ids, ids_in_a_channel):
        return "class ids are integers: target.long()"
    if several and y == x:
        return "one-hot: target.argmax(1) gives class ids, target.float() probabilities"
    if several and y == ids + x[1:2]:
        return "classes are dimension 1: target.argmax(-1) gives class ids"
    if several and y == x[:-1]:
        return "classes are dimension 1: input.movedim(-1, 1)"
    if several and y == x[1:]:
        return "a batch dimension is missing: input.unsqueeze(0) and target.unsqueeze(0)"
    if len(x) > 2 and y[:1] == x[:1] and y[-1:] != x[-1:] and len(x) - 1 <= len(y) <= len(x):
        return "another size: torch.nn.functional.interpolate fits the logits to the target"
    return ""


def find_valid(
    target: Tensor, mode: Mode, ignore_index: int | None, mask: Tensor | None, shape: torch.Size
) -> Tensor | None:
    """The pixels that exist, in the shape of a pixel loss; None: all of them."""
    valid = None
    if ignore_index is not None:
        several = "several values: mask=~torch.isin(target, torch.tensor([...]))"
        ignore_index = check_int("ignore_index", ignore_index, several)
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
            raise TypeError(f"mask: expected a bool tensor, got {mask.dtype} (mask > 0)")
        keep = _flatten_map("mask", mask, mode, shape)
        valid = keep if valid is None else valid & keep
    return valid


def _flatten_map(name: str, x: Tensor, mode: Mode, shape: torch.Size) -> Tensor:
    """A map over the pixels as (B, 1, N), or as (B, C, N) in multilabel mode."""
    if x.shape == shape:
        return _by_channel(x) if mode == "multilabel" else _by_pixel(x)
    per_pixel = [shape]
    if mode == "multilabel" or (mode == "binary" and shape[1:2] == (1,)):
        per_pixel.append(_without_channel(shape))
    if x.ndim == len(per_pixel[-1]) + 1:
        x = without_one_channel(x)
    expect_shape(name, x, *per_pixel)
    pixels = _by_pixel(x)
    return pixels.expand(-1, shape[1], -1) if mode == "multilabel" else pixels


def _without_channel(shape: torch.Size) -> torch.Size:
    return shape[:1] + shape[2:]


def without_one_channel(x: Tensor) -> Tensor:
    """(B, 1, *) as (B, *)."""
    return x.squeeze(1) if x.ndim > 1 and x.shape[1] == 1 else x


def _by_pixel(x: Tensor) -> Tensor:
    """(B, *) as (B, 1, N), with N = 1 where there is no spatial dimension."""
    return x.reshape(x.shape[0], 1, math.prod(x.shape[1:]))


def _by_channel(x: Tensor) -> Tensor:
    """(B, C, *) as (B, C, N); a view, for channels-last tensors too."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
