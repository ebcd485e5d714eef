"""The sums of p y, p and y over the pixels of an image, and the gradient from their slopes.

Rows are p y, p, y and again p, as the losses on overlaps ask for them.
"""

import triton
import triton.language as tl

from .tiles import clipped, existing, logits, place


@triton.jit
def exponentials(
    x, label, slopes, by_overlap, by_mass, image, n, x_b, x_c, x_n, on, s_k, s_c,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Of a softmax the largest logit, the sum of the exponentials, and that of slopes times them.

    The slopes are those by p: of the only tile they are there, of several they are loaded. The
    exponentials of the last tile are returned, too.
    """
    every = tl.zeros([BLOCK], tl.float32)
    sloped, largest = every, every - float("inf")
    e = tl.zeros([TILE, BLOCK], tl.float32)
    for first in range(0, C, TILE):
        c = first + tl.arange(0, TILE)
        z = logits(x, image, c, n, x_b, x_c, x_n, on, C)
        new = tl.maximum(largest, tl.max(z, 0))
        shrink, e = tl.exp(largest - new), tl.exp(z - new[None, :])
        every = every * shrink + tl.sum(e, 0)
        if slopes is not None:
            if C > TILE:
                by_overlap, by_mass = by_sums(slopes + c * s_c, s_k, c < C)
            g = by_p(by_overlap, by_mass, c, label)
            sloped = sloped * shrink + tl.sum(g * e, 0)
        largest = new
    return largest, every, sloped, e


@triton.jit
def by_sums(slopes, s_k, inside):
    """The slopes by the sum of p y and by that of p, which stands in two rows."""
    by_overlap = tl.load(slopes, mask=inside, other=0).to(tl.float32)
    by_size = tl.load(slopes + s_k, mask=inside, other=0).to(tl.float32)
    return by_overlap, by_size + tl.load(slopes + 3 * s_k, mask=inside, other=0).to(tl.float32)


@triton.jit
def by_p(by_overlap, by_mass, c, label):
    own = c[:, None] == label[None, :]
    return by_mass[:, None] + tl.where(own, by_overlap[:, None], 0.0)


@triton.jit
def store_sums(rows, between, overlap, mass, actual, inside):
    """`between` lies between two of the four rows."""
    tl.store(rows, overlap, mask=inside)
    tl.store(rows + between, mass, mask=inside)
    tl.store(rows + 2 * between, actual, mask=inside)
    tl.store(rows + 3 * between, mass, mask=inside)


@triton.jit
def softmax_sums(
    x, y, valid, rows, x_b, x_c, x_n, y_b, y_n, valid_b, valid_n, length, between,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Sums of a program's pixels: block by block in registers, unless classes fill several tiles.

    Then there is one block, and its sums are written tile by tile.
    """
    image, first = place(length, BLOCK * STEPS)
    first = tl.min(first, 0)
    rows += tl.program_id(0).to(tl.int64) * C
    overlap = tl.zeros([TILE], tl.float32)
    mass, actual = overlap, overlap
    for step in range(STEPS):
        n = first + step * BLOCK + tl.arange(0, BLOCK)
        on = existing(valid, image, n, valid_b, valid_n, n < length)
        label = tl.load(y + image * y_b + n * y_n, mask=on, other=0).to(tl.int32)
        largest, every, _, e = exponentials(
            x, label, None, overlap, mass, image, n, x_b, x_c, x_n, on, 0, 0, C, TILE, BLOCK
        )
        share = tl.where(on, 1 / every, 0.0)
        for tile in range(0, C, TILE):
            c = tile + tl.arange(0, TILE)
            if C > TILE:
                z = logits(x, image, c, n, x_b, x_c, x_n, on, C)
                e = tl.exp(z - largest[None, :])
            p, own = e * share[None, :], (c[:, None] == label[None, :]) & on[None, :]
            overlap += tl.sum(tl.where(own, p, 0.0), 1)
            mass += tl.sum(p, 1)
            actual += tl.sum(tl.where(own, 1.0, 0.0), 1)
            if C > TILE:
                store_sums(rows + c, between, overlap, mass, actual, c < C)
                overlap, mass, actual = overlap * 0, mass * 0, actual * 0
    if C <= TILE:
        c = tl.arange(0, TILE)
        store_sums(rows + c, between, overlap, mass, actual, c < C)


@triton.jit
def softmax_sum_slopes(
    x, y, valid, slopes, gradient,
    x_b, x_c, x_n, y_b, y_n, valid_b, valid_n, s_k, s_b, s_c, g_b, g_c, g_n, length,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """p_k (g_k - sum_c g_c p_c), g the slope by p; logits of several tiles are read twice."""
    image, first = place(length, BLOCK * STEPS)
    first = tl.min(first, 0)
    slopes += image * s_b
    c = tl.arange(0, TILE)
    by_overlap, by_mass = by_sums(slopes + c * s_c, s_k, c < C)
    for step in range(STEPS):
        n = first + step * BLOCK + tl.arange(0, BLOCK)
        inside = n < length
        on = existing(valid, image, n, valid_b, valid_n, inside)
        label = tl.load(y + image * y_b + n * y_n, mask=on, other=0).to(tl.int32)
        largest, every, sloped, e = exponentials(
            x, label, slopes, by_overlap, by_mass, image, n, x_b, x_c, x_n, on, s_k, s_c,
            C, TILE, BLOCK,
        )  # fmt: skip
        share = tl.where(on, 1 / every, 0.0)
        mean = sloped * share
        for tile in range(0, C, TILE):
            c = tile + tl.arange(0, TILE)
            if C > TILE:
                z = logits(x, image, c, n, x_b, x_c, x_n, on, C)
                e = tl.exp(z - largest[None, :])
                by_overlap, by_mass = by_sums(slopes + c * s_c, s_k, c < C)
            g = by_p(by_overlap, by_mass, c, label) - mean[None, :]
            at = gradient + image * g_b + (c.to(tl.int64) * g_c)[:, None] + (n * g_n)[None, :]
            inner = (c < C)[:, None] & inside[None, :]
            tl.store(at, e * share[None, :] * g, mask=inner)


@triton.jit
def sigmoid_of(x, y, valid, row, n, inside, x_b, x_c, x_n, y_b, y_c, y_n, v_b, v_c, v_n, C):
    """p, 1 - p and y, all 0 under void."""
    b, c = row // C, row % C
    on = inside
    if valid is not None:
        on = existing(valid + b * v_b + c * v_c, 0, n, 0, v_n, inside)
    z = clipped(tl.load(x + b * x_b + c * x_c + n * x_n, mask=on, other=0).to(tl.float32))
    a = tl.exp(-tl.abs(z))
    near, far = tl.where(on, 1 / (1 + a), 0.0), tl.where(on, a / (1 + a), 0.0)
    label = tl.load(y + b * y_b + c * y_c + n * y_n, mask=on, other=0).to(tl.float32)
    return tl.where(z > 0, near, far), tl.where(z > 0, far, near), label


@triton.jit
def sigmoid_sums(
    x, y, valid, rows, x_b, x_c, x_n, y_b, y_c, y_n, v_b, v_c, v_n, length, between,
    C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sums of a program's pixels; p y is min(p, y), which is the same where y is hard."""
    row, n = place(length, BLOCK)
    p, _, label = sigmoid_of(
        x, y, valid, row, n, n < length, x_b, x_c, x_n, y_b, y_c, y_n, v_b, v_c, v_n, C
    )
    overlap = tl.sum(tl.where(p < label, p, label))  # eq-soft-overlap
    store_sums(rows + tl.program_id(0), between, overlap, tl.sum(p), tl.sum(label), None)


@triton.jit
def sigmoid_sum_slopes(
    x, y, valid, slopes, gradient,
    x_b, x_c, x_n, y_b, y_c, y_n, v_b, v_c, v_n, s_k, s_b, s_c, g_b, g_c, g_n, length,
    C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """p (1 - p) times the slope by p."""
    row, n = place(length, BLOCK)
    b, c = row // C, row % C
    p, q, label = sigmoid_of(
        x, y, valid, row, n, n < length, x_b, x_c, x_n, y_b, y_c, y_n, v_b, v_c, v_n, C
    )
    here = slopes + b * s_b + c * s_c
    by_overlap, by_mass = by_sums(here, s_k, True)
    share = tl.where(p < label, 1.0, 0.0)
    at = gradient + b * g_b + c * g_c + n * g_n
    tl.store(at, p * q * (by_mass + share * by_overlap), mask=n < length)
