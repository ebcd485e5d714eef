"""Where a kernel takes the place of a formula, and how autograd sees it."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..inputs import TENSORS, Pixels

# The kernels of a GPU are not yet timed on one: whoever wants them says so before Python starts.
TRITON = os.environ.get("SEGLOSS_TRITON", "0") == "1"

Formula = Callable[[Pixels], Tensor]


class UnfitError(Exception):
    """A kernel has met values that it is not made for, and leaves them to the formula."""


class Kernel(ABC):
    """A loss in two functions: the value, and from its slope the gradient by the input."""

    takes_unseen: bool = False  # targets of which only it will see whether they are 0 and 1

    @property
    def is_for_cpu(self) -> bool:
        """Else only a twin of it on a GPU does what it says."""
        return True

    @property
    def tensors(self) -> Sequence[Tensor]:
        """What the value depends on beside the pixels."""
        return ()

    def smallest(self, pixels: Pixels) -> int:
        """Elements of an input for which it is as fast as the formula: below, its calls take longer
        than the memory that it saves."""
        return 2**16

    @abstractmethod
    def forward(self, pixels: Pixels, differentiable: bool) -> tuple[Tensor, Tensor | None]:
        """The value and, if it is to be differentiated, a buffer of the input's size."""

    @abstractmethod
    def backward(self, pixels: Pixels, buffer: Tensor, slope: Tensor) -> Tensor:
        """The gradient from the loss's slope by the value, in the buffer, which is used up."""


def evaluate(formula: Formula, kernel: Kernel | None, pixels: Pixels) -> Tensor:
    """The formula's value, by the kernel where that is faster.

    A formula holds on to no tensor of the size of the pixels but through its argument.
    """
    kernel = kernel and _choose(kernel, pixels)
    if kernel is None:
        return formula(pixels)
    differentiable = pixels.input.requires_grad and torch.is_grad_enabled()
    apply: Callable[..., tuple[Tensor, Tensor | None]] = _ByKernel.apply
    try:
        return apply(pixels.input, pixels, formula, kernel, differentiable)[0]
    except UnfitError:
        return formula(pixels)


def _choose(kernel: Kernel, pixels: Pixels) -> Kernel | None:
    """The kernel of the device where it helps, for a gradient of nothing but the logits."""
    x = pixels.input
    if not pixels.from_logits or not _is_plain(x):
        return None
    if not (TRITON or _helps_cpu(kernel, pixels)) or not has_values(x):  # the dearest comes last
        return None
    room = gpu_room(x)
    if room is not None:
        chosen: Kernel | None = room.twin(kernel, pixels)
    else:
        chosen = kernel if _helps_cpu(kernel, pixels) else None
    if chosen is None:
        return None
    others = [tensor for tensor in pixels.tensors[1:] if tensor is not None]
    others += chosen.tensors
    fits = (
        all(has_values(tensor) and tensor.device == x.device for tensor in others)
        and not any(tensor.requires_grad for tensor in others)
        and not any(_has_tangent(tensor) for tensor in (x, *others))
    )
    return chosen if fits else None


def _helps_cpu(kernel: Kernel, pixels: Pixels) -> bool:
    """Large logits on a CPU."""
    x = pixels.input
    return (
        x.device.type == "cpu"
        and is_large(kernel, pixels)
        and x.dtype == pixels.dtype
        and (kernel.takes_unseen or not pixels.soft)
        and kernel.is_for_cpu
    )


def is_large(kernel: Kernel, pixels: Pixels) -> bool:
    return pixels.input.numel() >= kernel.smallest(pixels)


def gpu_room(x: Tensor) -> ModuleType | None:
    """The kernels for a GPU, if x lies on one and has values."""
    room = _triton_kernels() if TRITON and has_values(x) else None
    return room if room is not None and room.serves(x) else None


@functools.cache
def _triton_kernels() -> ModuleType | None:
    """None where Triton is not installed; it is slow to import."""
    try:
        from .. import gpu
    except ImportError:
        return None
    return gpu


def _is_plain(x: Tensor) -> bool:
    """Neither compiled nor traced by torch.jit, which has no plain sizes, and of no subclass."""
    if torch.compiler.is_compiling() or type(x) not in (Tensor, torch.nn.Parameter):
        return False
    return not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]


def has_values(x: Tensor) -> bool:
    """A tensor with values of its own: not compiled, traced, fake or transformed."""
    if not _is_plain(x) or _is_traced_by_fx():
        return False
    try:
        x.data_ptr()
    except RuntimeError:  # by torch.func
        return False
    return x.device.type != "meta"


def on_cpu(x: Tensor) -> bool:
    """A CPU tensor with values of its own."""
    return x.device.type == "cpu" and has_values(x)


def _is_traced_by_fx() -> bool:
    """Whether make_fx is at work, for which its module has been imported; we do not import it."""
    tracer = sys.modules.get("torch.fx.experimental.proxy_tensor")
    return tracer is not None and tracer.get_proxy_mode() is not None


def _has_tangent(x: Tensor) -> bool:
    """Whether forward-mode differentiation goes through x."""
    dual = forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]
    return dual.tangent is not None


class _ByKernel(torch.autograd.Function):
    """A kernel's value and gradient; a gradient of the gradient is the formula's."""

    @staticmethod
    def forward(
        x: Tensor, pixels: Pixels, formula: Formula, kernel: Kernel, differentiable: bool
    ) -> tuple[Tensor, Tensor | None]:
        return kernel.forward(pixels, differentiable)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        _, pixels, ctx.formula, ctx.kernel, _ = inputs
        # Saved tensors are let go after backward, and a change in place before it is noticed.
        ctx.save_for_backward(*pixels.tensors, *ctx.kernel.tensors)
        ctx.options = pixels.options
        ctx.buffers = [output[1]]
        if output[1] is not None:
            ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # else the buffer would get a gradient of zeros

    @staticmethod
    def backward(ctx: Any, slope: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        find = _gradient
        if torch.compiler.is_compiling():  # compiled autograd, which can call a kernel, not read it
            find = torch.compiler.disable(_gradient)  # type: ignore[no-untyped-call]
        return None if slope is None else find(ctx, slope), None, None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], x: Tensor, pixels: Pixels, formula: Formula, *_: Any
    ) -> tuple[tuple[Tensor, None], tuple[int, None]]:
        """Over pixels, which `evaluate` never asks for: over anything else it is the same value."""
        return (torch.func.vmap(formula, in_dims[1:2])(pixels), None), (0, None)


# Torch reads it at each call, which takes a tenth of a small loss.
_ByKernel.forward.__signature__ = inspect.signature(_ByKernel.forward)  # type: ignore[attr-defined]


def _gradient(ctx: Any, slope: Tensor) -> Tensor:
    pixels = Pixels(*ctx.saved_tensors[:TENSORS], *ctx.options)
    # What a buffer becomes is nobody else's, so it is not copied; the next time it is made anew.
    buffer = ctx.buffers.pop() if ctx.buffers else None
    with torch.autocast(pixels.input.device.type, enabled=False):
        if torch.is_grad_enabled() or not has_values(slope):
            return _gradient_of_formula(ctx.formula, pixels, slope)
        if buffer is None:
            _, buffer = ctx.kernel.forward(pixels, True)
        gradient: Tensor = ctx.kernel.backward(pixels, buffer, slope)
        return gradient


def _gradient_of_formula(formula: Formula, pixels: Pixels, slope: Tensor) -> Tensor:
    """Where the gradient is to be differentiated, or is wanted for several slopes at once."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        x = pixels.input if again else pixels.input.detach().requires_grad_()
        value = formula(pixels._replace(input=x))
        return torch.autograd.grad(value, x, slope, create_graph=again)[0]
