"""Where a program's pixels lie, and what is read of them."""

import torch
import triton
import triton.language as tl

from ...inputs import HUGE

LARGEST = tl.constexpr(HUGE)
TINY = tl.constexpr(torch.finfo(torch.float32).tiny)


@triton.jit
def place(length, BLOCK: tl.constexpr):
    """A program's row of pixels, and which of them are its own; 32 bits would not hold them."""
    per_row = tl.cdiv(length, BLOCK)
    row, first = tl.program_id(0) // per_row, tl.program_id(0) % per_row
    return row.to(tl.int64), first.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def existing(valid, row, n, valid_b, valid_n, inside):
    """Which pixels are valid; `valid` may be None. Nothing is read of the others."""
    if valid is not None:
        inside &= tl.load(valid + row * valid_b + n * valid_n, mask=inside, other=0) != 0
    return inside


@triton.jit
def clipped(z):
    """With the largest finite logit for an infinite one; NaN stays."""
    return tl.where(z > LARGEST, LARGEST, tl.where(z < -LARGEST, -LARGEST, z))


@triton.jit
def logits(x, image, c, n, x_b, x_c, x_n, on, C: tl.constexpr):
    """Of the classes c, [c, n] in float32: 0 of void pixels, -inf beyond the last class."""
    at = x + image * x_b + (c.to(tl.int64) * x_c)[:, None] + (n * x_n)[None, :]
    z = tl.load(at, mask=(c < C)[:, None] & on[None, :], other=0).to(tl.float32)
    return tl.where((c < C)[:, None], clipped(z), -float("inf"))


@triton.jit
def log1p(x):
    """log(1 + x), where rounding 1 + x shifts logarithm and divisor alike."""
    u = 1 + x
    return tl.where(u == 1, x, tl.log(u) * (x / tl.where(u == 1, 1.0, u - 1)))
