"""Where a kernel takes the place of a formula, how autograd sees it, and its blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..inputs import Mode, Pixels

# A block and its temporaries stay in a core's cache; a smaller one costs more calls. With several
# classes most temporaries have but one value for a pixel.
BLOCK: dict[Mode, int] = {"binary": 2**16, "multilabel": 2**16, "multiclass": 2**18}  # elements

# Below, the calls of a kernel cost more than the memory it saves.
SMALLEST = 2**14  # elements

# Takes a gradient of the value and gives that of the input; called at most once.
Pull = Callable[[Tensor], Tensor]
# Takes pixels and whether a gradient is wanted, gives the value and, then at least, its pull.
Kernel = Callable[[Pixels, bool], tuple[Tensor, Pull | None]]
Formula = Callable[[Pixels], Tensor]


def evaluate(
    formula: Formula, kernel: Kernel | None, pixels: Pixels, beside: Sequence[Tensor] = ()
) -> Tensor:
    """The formula's value, by the kernel where that is faster.

    `beside` are the other tensors that the value depends on.
    """
    if kernel is None or not _kernels_help(pixels, beside):
        return formula(pixels)
    try:
        fused: Callable[..., Tensor] = _Fused.apply
        return fused(pixels.input, pixels, formula, kernel)
    except RuntimeError as error:  # torch.func transforms something else around this call
        if "functorch" not in str(error):
            raise
        return formula(pixels)


def _kernels_help(pixels: Pixels, beside: Sequence[Tensor]) -> bool:
    """Large logits on a CPU with hard targets, and a gradient for nothing but them."""
    x, others = pixels.input, [pixels.target, *beside]
    return (
        x.numel() >= SMALLEST
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


class Block(NamedTuple):
    """Some pixels of an image, or several small images, with all channels."""

    at: tuple[slice, slice, slice]
    x: Tensor  # (b, C, n), finite under void pixels
    y: Tensor  # (b, 1, n) class ids, or (b, C, n) zeros and ones; 0 under void
    valid: Tensor | None
    keep: Tensor | None  # valid as numbers
    top: Tensor  # (b, 1, n) the largest x of a pixel, for a softmax

    def weight(self, pixel_weight: Tensor | None) -> Tensor | None:
        """`pixel_weight` of these pixels, 0 under void; None stands for 1."""
        if pixel_weight is None:
            return self.keep
        weight = pixel_weight[self.at].to(self.x.dtype)
        return weight if self.valid is None else torch.where(self.valid, weight, 0)

    def own_images(self, x: Tensor) -> Tensor:
        """The rows of these images of a tensor (B, ...), or (1, ...) for all."""
        return x[self.at[0]] if len(x) > 1 else x


def blocks(pixels: Pixels) -> Iterator[Block]:
    return (_block(pixels, at) for at in _places(pixels.input.shape, BLOCK[pixels.mode]))


def _places(shape: torch.Size, size: int) -> Iterator[tuple[slice, slice, slice]]:
    images, channels, length = shape
    width = max(1, min(length, size // channels))
    height = max(1, size // (channels * width)) if width == length else 1
    for image in range(0, images, height):
        for pixel in range(0, length, width):
            yield slice(image, image + height), slice(None), slice(pixel, pixel + width)


def _block(pixels: Pixels, at: tuple[slice, slice, slice]) -> Block:
    x = pixels.input[at]
    y = pixels.target[at].to(torch.long if pixels.has_ids else x.dtype)
    top = x.amax(1, keepdim=True) if pixels.has_ids else x
    if pixels.valid is None:
        return Block(at, x, y, None, None, top)
    valid = pixels.valid[at]
    # A factor of 0 hides what is finite, and is cheaper than a choice for every value.
    if not (top.sum() + y.sum()).isfinite():
        x, y, top = (torch.where(valid, values, 0) for values in (x, y, top))
    return Block(at, x, y * valid.to(y.dtype), valid, valid.to(x.dtype), top)
