"""From the rows of the programs to one number."""

import triton
import triton.language as tl


@triton.jit
def mean(losses, counts, divisor, number, value, factor, rows, BLOCK: tl.constexpr):
    """The sum of the losses, and what the gradient is multiplied by: one over the normaliser.

    That is the sum of the counts, else a tensor's value, else a number. Nothing counted gives 0.
    """
    i = tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], tl.float64)
    counted = total
    for first in range(0, rows, BLOCK):
        there = first + i < rows
        total += tl.load(losses + first + i, mask=there, other=0).to(tl.float64)
        if counts is not None:
            counted += tl.load(counts + first + i, mask=there, other=0).to(tl.float64)
    if counts is not None:
        normaliser = tl.sum(counted)
    elif divisor is not None:
        normaliser = tl.load(divisor).to(tl.float64)
    else:
        normaliser = tl.full([], number, tl.float64)
    share = tl.where(normaliser > 0, 1 / tl.where(normaliser > 0, normaliser, 1.0), 0.0)
    tl.store(value, tl.sum(total) * share)
    tl.store(factor, share)
