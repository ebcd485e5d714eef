"""The Lovász losses around a sort: keys before it, steps of the Jaccard loss and slopes after it.
Around a histogram: counts before it, losses and slopes after it.

A key is an integer that grows as the error shrinks, and is even for foreground. Keys and slopes
stand class by class, (C, B, N).
"""

import triton
import triton.language as tl

from .region import exponentials
from .tiles import clipped, existing, logits, place

TOP = tl.constexpr(2**31 - 1)


@triton.jit
def to_keys(errors, foreground):
    """The bits of floats >= 0 are ordered as integers are. Shifted, their highest bit is the sign
    of the integer; all others are inverted."""
    bits = errors.to(tl.int32, bitcast=True) << 1
    return (bits | tl.where(foreground, 1, 0)) ^ TOP


@triton.jit
def from_keys(keys):
    """The errors, and whether they are foreground's."""
    errors = ((keys ^ TOP) >> 1) & TOP
    return errors.to(tl.float32, bitcast=True), (keys & 1) == 0


@triton.jit
def softmax_keys(
    x, y, valid, keys, rows, x_b, x_c, x_n, y_b, y_n, valid_b, valid_n, length, images, between,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The keys of |p - y|, and into two rows a program's sums of p and of y."""
    image, n = place(length, BLOCK)
    inside = n < length
    on = existing(valid, image, n, valid_b, valid_n, inside)
    label = tl.load(y + image * y_b + n * y_n, mask=on, other=0).to(tl.int32)
    nothing = tl.zeros([TILE], tl.float32)
    largest, every, _, e = exponentials(
        x, label, None, nothing, nothing, image, n, x_b, x_c, x_n, on, 0, 0, C, TILE, BLOCK
    )
    share = tl.where(on, 1 / every, 0.0)
    for tile in range(0, C, TILE):
        c = tile + tl.arange(0, TILE)
        if C > TILE:
            z = logits(x, image, c, n, x_b, x_c, x_n, on, C)
            e = tl.exp(z - largest[None, :])
        p, own = e * share[None, :], (c[:, None] == label[None, :]) & on[None, :]
        row = rows + tl.program_id(0).to(tl.int64) * C + c
        tl.store(row, tl.sum(p, 1), mask=c < C)
        tl.store(row + between, tl.sum(tl.where(own, 1.0, 0.0), 1), mask=c < C)
        key = to_keys(tl.where(own, 1 - p, p), own)
        at = keys + ((c.to(tl.int64) * images + image) * length)[:, None] + n[None, :]
        tl.store(at, key, mask=(c < C)[:, None] & inside[None, :])


@triton.jit
def hinge_keys(
    x, y, valid, keys, rows, x_b, x_c, x_n, y_b, y_c, y_n, v_b, v_c, v_n, length, images,
    C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The keys of max(0, 1 - z (2 y - 1)), and a program's sum of y."""
    row, n = place(length, BLOCK)
    b, c = row // C, row % C
    inside = n < length
    on = inside
    if valid is not None:
        on = existing(valid + b * v_b + c * v_c, 0, n, 0, v_n, on)
    z = clipped(tl.load(x + b * x_b + c * x_c + n * x_n, mask=on, other=0).to(tl.float32))
    label = tl.load(y + b * y_b + c * y_c + n * y_n, mask=on, other=0).to(tl.float32)
    errors = 1 - z * (2 * label - 1)
    errors = tl.where(on, tl.where(errors < 0, 0.0, errors), 0.0)
    tl.store(keys + (c * images + b) * length + n, to_keys(errors, label > 0), mask=inside)
    tl.store(rows + tl.program_id(0), tl.sum(label))


@triton.jit
def in_order(keys, order, seen, slopes, losses, length, HINGE: tl.constexpr, BLOCK: tl.constexpr):
    """From sorted keys, and how much background is seen so far, losses and slopes.

    A slope is that by z, or for the softmax p times that by p. Of the hinge a region without
    foreground costs the sum of its errors; the softmax has another filling.
    """
    row, n = place(length, BLOCK)
    inside = n < length
    at = row * length + n
    errors, foreground = from_keys(tl.load(keys + at, mask=inside, other=TOP))
    objects = length - tl.load(seen + (row + 1) * length - 1)
    union = objects + tl.load(seen + at, mask=inside, other=0)
    hits = union - n - 1
    below = tl.where(union > 1, union - 1, 1).to(tl.float32)
    steps = tl.where(foreground, 1.0, hits.to(tl.float32) / below)
    steps = steps / union.to(tl.float32)  # eq-lovasz-steps
    if HINGE:
        steps = tl.where(objects > 0, steps, 1.0)
        slope = tl.where(errors > 0, 1.0, errors) * tl.where(foreground, -steps, steps)
    else:
        slope = (errors - tl.where(foreground, 1.0, 0.0)) * steps
    to = slopes + row * length + tl.load(order + at, mask=inside, other=0)
    tl.store(to, slope, mask=inside)
    loss = tl.where((steps == 0) | (n >= length), 0.0, errors * steps)
    tl.store(losses + tl.program_id(0), tl.sum(loss))


@triton.jit
def softmax_slopes(
    x, valid, slopes, by_rows, gradient,
    x_b, x_c, x_n, valid_b, valid_n, s_k, s_b, s_c, g_b, g_c, g_n, length, images,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """From p times the slopes by p, s_c, the gradient s_k - p_k sum_c s_c."""
    image, n = place(length, BLOCK)
    inside = n < length
    on = existing(valid, image, n, valid_b, valid_n, inside)
    by_rows += image * s_b
    nothing = tl.zeros([TILE], tl.float32)
    largest, every, _, e = exponentials(
        x, n, None, nothing, nothing, image, n, x_b, x_c, x_n, on, 0, 0, C, TILE, BLOCK
    )
    share = tl.where(on, 1 / every, 0.0)
    total = tl.zeros([BLOCK], tl.float32)
    s = tl.zeros([TILE, BLOCK], tl.float32)
    for tile in range(0, C, TILE):
        c = tile + tl.arange(0, TILE)
        if C > TILE:
            e = tl.exp(logits(x, image, c, n, x_b, x_c, x_n, on, C) - largest[None, :])
        s = by_logits(slopes, by_rows, e * share[None, :], c, n, image, s_k, s_c, length, images, C)
        total += tl.sum(s, 0)
    for tile in range(0, C, TILE):
        c = tile + tl.arange(0, TILE)
        if C > TILE:
            e = tl.exp(logits(x, image, c, n, x_b, x_c, x_n, on, C) - largest[None, :])
            p = e * share[None, :]
            s = by_logits(slopes, by_rows, p, c, n, image, s_k, s_c, length, images, C)
        at = gradient + image * g_b + (c.to(tl.int64) * g_c)[:, None] + (n * g_n)[None, :]
        slope = s - e * share[None, :] * total[None, :]
        tl.store(at, slope, mask=(c < C)[:, None] & inside[None, :])


@triton.jit
def by_logits(slopes, by_rows, p, c, n, image, s_k, s_c, length, images, C: tl.constexpr):
    """p times the slope by p, of the loss and of what fills an empty class: the mean of p."""
    by_loss = tl.load(by_rows + c * s_c, mask=c < C, other=0).to(tl.float32)
    by_mass = tl.load(by_rows + s_k + c * s_c, mask=c < C, other=0).to(tl.float32)
    at = slopes + ((c.to(tl.int64) * images + image) * length)[:, None] + n[None, :]
    stored = tl.load(at, mask=(c < C)[:, None] & (n < length)[None, :], other=0)
    return stored * by_loss[:, None] + p * by_mass[:, None]


@triton.jit
def softmax_counts(
    x, y, valid, counts, rows, x_b, x_c, x_n, y_b, y_n, valid_b, valid_n, length, bins, between,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """How many errors of each class lie in each bin, foreground and background, (2, C, bins).

    Whole numbers, so that their order does not matter. Most of the background lies in the lowest
    bin, which a program counts by itself. Into a row goes the program's sum of p.
    """
    image, n = place(length, BLOCK)
    on = existing(valid, image, n, valid_b, valid_n, n < length)
    label = tl.load(y + image * y_b + n * y_n, mask=on, other=0).to(tl.int32)
    nothing = tl.zeros([TILE], tl.float32)
    largest, every, _, e = exponentials(
        x, label, None, nothing, nothing, image, n, x_b, x_c, x_n, on, 0, 0, C, TILE, BLOCK
    )
    share = tl.where(on, 1 / every, 0.0)
    for tile in range(0, C, TILE):
        c = tile + tl.arange(0, TILE)
        if C > TILE:
            z = logits(x, image, c, n, x_b, x_c, x_n, on, C)
            e = tl.exp(z - largest[None, :])
        p, own = e * share[None, :], c[:, None] == label[None, :]
        tl.store(rows + tl.program_id(0).to(tl.int64) * C + c, tl.sum(p, 1), mask=c < C)
        level = bin_of(tl.where(own, 1 - p, p), bins)
        there = on[None, :] & (c < C)[:, None]
        lowest = (level == 0) & ~own
        number = tl.sum(tl.where(there & lowest, 1, 0), 1)
        tl.atomic_add(counts + between + c * bins, number, mask=c < C, sem="relaxed")
        cell = counts + (c * bins)[:, None] + level + tl.where(own, 0, between)
        tl.atomic_add(cell, 1, mask=there & ~lowest, sem="relaxed")


@triton.jit
def bin_of(errors, bins):
    """That of NaN is the lowest."""
    level = (errors * bins).to(tl.int32)
    level = tl.where(level < bins, level, bins - 1)
    return tl.where(errors > 0, level, 0)


@triton.jit
def binned_losses(
    x, y, valid, steps, rows, x_b, x_c, x_n, y_b, y_n, valid_b, valid_n, length, bins, between,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Into a row a program's sums of the errors times the steps of their bins."""
    image, n = place(length, BLOCK)
    on = existing(valid, image, n, valid_b, valid_n, n < length)
    label = tl.load(y + image * y_b + n * y_n, mask=on, other=0).to(tl.int32)
    nothing = tl.zeros([TILE], tl.float32)
    largest, every, _, e = exponentials(
        x, label, None, nothing, nothing, image, n, x_b, x_c, x_n, on, 0, 0, C, TILE, BLOCK
    )
    share = tl.where(on, 1 / every, 0.0)
    for tile in range(0, C, TILE):
        c = tile + tl.arange(0, TILE)
        if C > TILE:
            z = logits(x, image, c, n, x_b, x_c, x_n, on, C)
            e = tl.exp(z - largest[None, :])
        p, own = e * share[None, :], c[:, None] == label[None, :]
        errors = tl.where(own, 1 - p, p)
        step = steps_of(steps, errors, own, c, on, bins, between, C)
        tl.store(rows + tl.program_id(0).to(tl.int64) * C + c, tl.sum(errors * step, 1), mask=c < C)


@triton.jit
def steps_of(steps, errors, own, c, on, bins, between, C: tl.constexpr):
    """Of foreground and, `between` behind it, of background; 0 under void."""
    cell = steps + (c * bins)[:, None] + bin_of(errors, bins) + tl.where(own, 0, between)
    return tl.load(cell, mask=(c < C)[:, None] & on[None, :], other=0)


@triton.jit
def binned_slopes(
    x, y, valid, steps, by_rows, gradient,
    x_b, x_c, x_n, y_b, y_n, valid_b, valid_n, s_k, s_c, g_b, g_c, g_n, length, bins, between,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """p_k (g_k - sum_c g_c p_c), g the slope by p, of the loss and of what fills an empty class."""
    image, n = place(length, BLOCK)
    inside = n < length
    on = existing(valid, image, n, valid_b, valid_n, inside)
    label = tl.load(y + image * y_b + n * y_n, mask=on, other=0).to(tl.int32)
    nothing = tl.zeros([TILE], tl.float32)
    largest, every, _, e = exponentials(
        x, label, None, nothing, nothing, image, n, x_b, x_c, x_n, on, 0, 0, C, TILE, BLOCK
    )
    share = tl.where(on, 1 / every, 0.0)
    total = tl.zeros([BLOCK], tl.float32)
    s = tl.zeros([TILE, BLOCK], tl.float32)
    for tile in range(0, C, TILE):
        c = tile + tl.arange(0, TILE)
        if C > TILE:
            e = tl.exp(logits(x, image, c, n, x_b, x_c, x_n, on, C) - largest[None, :])
        p = e * share[None, :]
        s = by_bins(steps, by_rows, p, c, label, on, s_k, s_c, bins, between, C)
        total += tl.sum(s, 0)
    for tile in range(0, C, TILE):
        c = tile + tl.arange(0, TILE)
        if C > TILE:
            e = tl.exp(logits(x, image, c, n, x_b, x_c, x_n, on, C) - largest[None, :])
            p = e * share[None, :]
            s = by_bins(steps, by_rows, p, c, label, on, s_k, s_c, bins, between, C)
        at = gradient + image * g_b + (c.to(tl.int64) * g_c)[:, None] + (n * g_n)[None, :]
        slope = s - e * share[None, :] * total[None, :]
        tl.store(at, slope, mask=(c < C)[:, None] & inside[None, :])


@triton.jit
def by_bins(steps, by_rows, p, c, label, on, s_k, s_c, bins, between, C: tl.constexpr):
    """p times the slope by p."""
    by_loss = tl.load(by_rows + c * s_c, mask=c < C, other=0).to(tl.float32)
    by_mass = tl.load(by_rows + s_k + c * s_c, mask=c < C, other=0).to(tl.float32)
    own = c[:, None] == label[None, :]
    step = steps_of(steps, tl.where(own, 1 - p, p), own, c, on, bins, between, C)
    return p * (tl.where(own, -step, step) * by_loss[:, None] + by_mass[:, None])
