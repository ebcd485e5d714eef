"""Where a kernel takes the place of a formula, how autograd sees it, and its blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..inputs import Mode, Pixels

# A block and its temporaries stay in a core's cache; a smaller one costs more calls. With several
# classes most temporaries have but one value for a pixel.
BLOCK: dict[Mode, int] = {"binary": 2**16, "multilabel": 2**16, "multiclass": 2**18}  # elements

# Below, the calls of a kernel cost more than the memory it saves.
SMALLEST = 2**16  # elements that a formula writes and its kernel does not

# Takes a gradient of the value and gives that of the input; called at most once.
Pull = Callable[[Tensor], Tensor]
# Takes pixels and whether a gradient is wanted, gives the value and, then at least, its pull.
Kernel = Callable[[Pixels, bool], tuple[Tensor, Pull | None]]
Formula = Callable[[Pixels], Tensor]


def evaluate(
    formula: Formula,
    kernel: Kernel | None,
    pixels: Pixels,
    beside: Sequence[Tensor] = (),
    saved: int = 1,
) -> Tensor:
    """The formula's value, by the kernel where that is faster.

    `beside` are the other tensors that the value depends on. The kernel saves about so many
    tensors of the input's size.
    """
    if kernel is None or not _kernels_help(pixels, beside, saved):
        return formula(pixels)
    try:
        fused: Callable[..., Tensor] = _Fused.apply
        return fused(pixels.input, pixels, formula, kernel)
    except RuntimeError as error:  # torch.func transforms something else around this call
        if "functorch" not in str(error):
            raise
        return formula(pixels)


def _kernels_help(pixels: Pixels, beside: Sequence[Tensor], saved: int) -> bool:
    """Large logits on a CPU with hard targets, and a gradient for nothing but them."""
    x, others = pixels.input, [pixels.target, *beside]
    return (
        x.numel() * saved >= SMALLEST
        and x.dtype == pixels.dtype
        and pixels.from_logits
        and not pixels.soft
        and all(on_cpu(tensor) and not _has_tangent(tensor) for tensor in (x, *others))
        and not any(tensor.requires_grad for tensor in others)
    )


def on_cpu(x: Tensor) -> bool:
    """A CPU tensor with values of its own: not compiled, not fake, not transformed."""
    if torch.compiler.is_compiling() or type(x) not in (Tensor, torch.nn.Parameter):
        return False
    try:
        x.data_ptr()
    except RuntimeError:  # by torch.func
        return False
    return x.device.type == "cpu"


def _has_tangent(x: Tensor) -> bool:
    """Whether forward-mode differentiation goes through x."""
    dual = forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]
    return dual.tangent is not None


class _Fused(torch.autograd.Function):
    """A kernel's value and gradient; a gradient of the gradient is the formula's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pixels: Pixels, formula: Formula, kernel: Kernel) -> Tensor:
        value, ctx.pull = kernel(pixels, ctx.needs_input_grad[0])
        ctx.save_for_backward(x)
        ctx.formula = lambda x: formula(pixels._replace(input=x))
        ctx.start_anew = lambda: kernel(pixels, True)[1]
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            if torch.is_grad_enabled():
                value = ctx.formula(x)
                gradients = torch.autograd.grad(value, x, grad_outputs, create_graph=True)
                return *gradients, None, None, None
            pull = ctx.pull or ctx.start_anew()
            ctx.pull = None  # what it gives is nobody else's, so it is not copied
            return pull(*grad_outputs), None, None, None


class Block:
    """Some pixels of an image, or several small images, with all channels."""

    def __init__(self, pixels: Pixels, at: tuple[slice, slice, slice]) -> None:
        self.pixels, self.at = pixels, at
        self.valid = None if pixels.valid is None else pixels.valid[at]

    @cached_property
    def keep(self) -> Tensor | None:
        """`valid` as numbers: a factor of 0 hides what is finite, and is cheaper than a choice."""
        if self.valid is None:
            return None
        return self.valid.view(torch.uint8).to(self.pixels.input.dtype)  # faster than from bool

    @cached_property
    def y(self) -> Tensor:
        """(b, 1, n) class ids, or (b, C, n) zeros and ones; 0 under void."""
        y = self.pixels.target[self.at]
        if self.pixels.has_ids:
            return y.long() if self.valid is None else y.long() * self.valid
        return self.select(y.to(self.pixels.input.dtype))

    def select(self, x: Tensor) -> Tensor:
        """x on valid pixels and 0 on void ones, whatever x holds there."""
        if self.valid is None or self.keep is None:
            return x
        return x * self.keep if x.sum().isfinite() else torch.where(self.valid, x, 0)

    def logits(self) -> Tensor:
        """(b, C, n), finite under void."""
        x = self.pixels.input[self.at]
        return x if self.valid is None or x.sum().isfinite() else torch.where(self.valid, x, 0)

    def centred(self) -> Tensor:
        """(b, C, n), logits less the largest of a pixel."""
        x = self.logits()
        return x - x.amax(1, keepdim=True)

    def weight(self, pixel_weight: Tensor | None) -> Tensor | None:
        """`pixel_weight` of these pixels, 0 under void; None stands for 1."""
        if pixel_weight is None:
            return self.keep
        return self.select(pixel_weight[self.at].to(self.pixels.input.dtype))

    def own_images(self, x: Tensor) -> Tensor:
        """The rows of these images of a tensor (B, ...), or (1, ...) for all."""
        return x[self.at[0]] if len(x) > 1 else x


def blocks(pixels: Pixels) -> Iterator[Block]:
    size = BLOCK[pixels.mode] * torch.get_num_threads()  # each takes its share of a block
    return (Block(pixels, at) for at in places(pixels.input.shape, size))


def parts(pixels: Pixels) -> list[Pixels]:
    """On a CPU parts whose targets fit a cache, for a sum of something that is as large."""
    if not on_cpu(pixels.target):
        return [pixels]
    return [cut(pixels, at) for at in places(pixels.target.shape, BLOCK["binary"])]


def cut(pixels: Pixels, at: tuple[slice, ...]) -> Pixels:
    """Some images, channels and pixels; class ids have the one channel."""
    valid = None if pixels.valid is None else pixels.valid[at]
    return pixels._replace(input=pixels.input[at], target=pixels.target[at], valid=valid)


def places(shape: torch.Size, size: int) -> Iterator[tuple[slice, slice, slice]]:
    images, channels, length = shape
    pieces = max(1, math.ceil(length * channels / size))
    width = max(1, math.ceil(length / pieces))  # the last is about as long as the others
    height = max(1, size // (channels * width)) if pieces == 1 else 1
    for image in range(0, images, height):
        for pixel in range(0, length, width):
            yield slice(image, image + height), slice(None), slice(pixel, pixel + width)
