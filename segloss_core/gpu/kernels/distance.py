"""The two nearest instances along one dimension, from those of the dimensions before it."""

import triton
import triton.language as tl


@triton.jit
def insert(first, first_id, second, second_id, squared, id):
    """With one more candidate for every pixel."""
    same, closer = id == first_id, squared < first
    larger = tl.where(closer, first, squared)
    runner_up = tl.where(larger < second, larger, second)
    runner_up_id = tl.where(squared < second, id, second_id)
    runner_up_id = tl.where(closer, first_id, runner_up_id)
    second, second_id = tl.where(same, second, runner_up), tl.where(same, second_id, runner_up_id)
    return tl.where(closer, squared, first), tl.where(closer, id, first_id), second, second_id


@triton.jit
def candidates(ids, firsts, seconds, second_ids, n, there):
    """Of other pixels what is known so far: at first an instance is nearest to its own pixels."""
    id = tl.load(ids + n, mask=there, other=0).to(tl.int64)
    if firsts is None:
        first = tl.where(id > 0, 0.0, float("inf"))
        second, second_id = tl.full(n.shape, float("inf"), tl.float32), id
    else:
        first = tl.load(firsts + n, mask=there, other=float("inf"))
        second = tl.load(seconds + n, mask=there, other=float("inf"))
        second_id = tl.load(second_ids + n, mask=there, other=0)
    return first, id, second, second_id


@triton.jit
def sweep(
    ids, firsts, seconds, second_ids, new_ids, new_firsts, new_seconds, new_second_ids,
    total, size, inner, last, step, BLOCK: tl.constexpr,
):  # fmt: skip
    """From near pixels to far ones, at most `last`, until none could be nearer than the second.

    Along this dimension lie `size` pixels, and `inner` from one to the next.
    """
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = n < total
    place = n // inner % size
    first, id, second, second_id = candidates(ids, firsts, seconds, second_ids, n, here)
    offset, gap = tl.full([], 1, tl.int64), step * step
    farthest = tl.max(tl.where(here, second, 0.0))
    while (offset <= last) & (gap < farthest):
        for side in tl.static_range(-1, 2, 2):
            there = here & (place + side * offset >= 0) & (place + side * offset < size)
            at = n + side * offset * inner
            near, near_id, other, other_id = candidates(ids, firsts, seconds, second_ids, at, there)
            first, id, second, second_id = insert(first, id, second, second_id, near + gap, near_id)
            if firsts is not None:
                first, id, second, second_id = insert(
                    first, id, second, second_id, other + gap, other_id
                )
        offset += 1
        length = step * offset
        gap = length * length
        farthest = tl.max(tl.where(here, second, 0.0))
    tl.store(new_firsts + n, first, mask=here)
    tl.store(new_seconds + n, second, mask=here)
    if new_ids is not None:
        tl.store(new_ids + n, id, mask=here)
        tl.store(new_second_ids + n, second_id, mask=here)
