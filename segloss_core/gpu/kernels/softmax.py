"""Pixel losses w q^gamma (-log p) of several classes, p of the label and q = 1 - p."""

import triton
import triton.language as tl

from .tiles import LARGEST, TINY, existing, log1p, logits, place


@triton.jit
def own_and_rest(
    x, image, n, label, x_b, x_c, x_n, on, class_weight,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr, SMOOTH: tl.constexpr,
):  # fmt: skip
    """Of a softmax the largest logit, the label's, its exponential and the sum of the others.

    That sum keeps the digits of q where p is near 1. Tile by tile, with what came before shrunk to
    a larger largest logit; the exponentials of the last tile are returned, too. For smoothing comes
    the weighted sum of all logits less the largest, with the sum of the weights.
    """
    rest = tl.zeros([BLOCK], tl.float32)
    e_own, z_own, largest = rest, rest, rest - float("inf")
    z_all, weights = rest, 0.0
    e = tl.zeros([TILE, BLOCK], tl.float32)
    for first in range(0, C, TILE):
        c = first + tl.arange(0, TILE)
        z = logits(x, image, c, n, x_b, x_c, x_n, on, C)
        own = c[:, None] == label[None, :]
        new = tl.maximum(largest, tl.max(z, 0))
        shrink, e = tl.exp(largest - new), tl.exp(z - new[None, :])
        rest = rest * shrink + tl.sum(tl.where(own, 0.0, e), 0)
        e_own = e_own * shrink + tl.sum(tl.where(own, e, 0.0), 0)
        z_own += tl.sum(tl.where(own, z, 0.0), 0)
        if SMOOTH:
            w = weight_of_class(class_weight, c, C)
            z_all += tl.where(weights > 0, weights * (largest - new), 0.0)
            below = tl.where((c < C)[:, None], z - new[None, :], 0.0)
            z_all += tl.sum(w[:, None] * below, 0)
            weights += tl.sum(w, 0)
        largest = new
    return largest, z_own, e_own, rest, e, z_all, weights


@triton.jit
def weight_of_class(class_weight, c, C: tl.constexpr):
    """1 where there are no weights; 0 beyond the last class."""
    w = tl.where(c < C, 1.0, 0.0)
    if class_weight is not None:
        w = tl.load(class_weight + c, mask=c < C, other=0).to(tl.float32)
    return w


@triton.jit
def focal(largest, z_own, e_own, rest, gamma, FOCAL: tl.constexpr):
    """A pixel's loss, and minus its slope by log p."""
    every = rest + e_own
    loss = tl.log(every) - (z_own - largest)
    push = 1.0
    if FOCAL:  # eq-focal-grad-softmax
        q = rest / every
        q = tl.where(q < TINY, TINY, q)
        # -log p is -log(1 - q), which keeps its digits where q is at most 1/2.
        loss = tl.where(q > 0.5, tl.where(loss > LARGEST, LARGEST, loss), -log1p(-q))
        power = tl.exp(gamma * tl.log(q))
        push = power * (1 + gamma * loss * (1 - q) / q)
        loss = loss * power
    return loss, push


@triton.jit
def pixel_weight(weight, class_weight, image, n, label, w_b, w_n, on):
    """What multiplies the loss of a pixel, 0 under void."""
    found = tl.where(on, 1.0, 0.0)
    if class_weight is not None:
        found = tl.load(class_weight + label, mask=on, other=0).to(tl.float32)
    if weight is not None:
        found *= tl.load(weight + image * w_b + n * w_n, mask=on, other=0).to(tl.float32)
    return found


@triton.jit
def softmax_losses(
    x, y, valid, weight, class_weight, losses, counts,
    x_b, x_c, x_n, y_b, y_n, valid_b, valid_n, w_b, w_n, length, gamma, smoothing,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr, FOCAL: tl.constexpr,
    SMOOTH: tl.constexpr,
):  # fmt: skip
    """The sum of a program's losses; into `counts`, if asked for, the number of valid pixels."""
    image, n = place(length, BLOCK)
    on = existing(valid, image, n, valid_b, valid_n, n < length)
    label = tl.load(y + image * y_b + n * y_n, mask=on, other=0).to(tl.int32)
    largest, z_own, e_own, rest, _, z_all, weights = own_and_rest(
        x, image, n, label, x_b, x_c, x_n, on, class_weight, C, TILE, BLOCK, SMOOTH
    )
    loss, _ = focal(largest, z_own, e_own, rest, gamma, FOCAL)
    loss *= pixel_weight(weight, class_weight, image, n, label, w_b, w_n, on)
    if SMOOTH:
        others = weights * tl.log(rest + e_own) - z_all
        others *= pixel_weight(weight, None, image, n, label, w_b, w_n, on)
        loss = (1 - smoothing) * loss + smoothing / C * others
    tl.store(losses + tl.program_id(0), tl.sum(loss))
    if counts is not None:
        tl.store(counts + tl.program_id(0), tl.sum(tl.where(on, 1.0, 0.0)))


@triton.jit
def softmax_slopes(
    x, y, valid, weight, class_weight, slope, factor, gradient,
    x_b, x_c, x_n, y_b, y_n, valid_b, valid_n, w_b, w_n, g_b, g_c, g_n, length, gamma, smoothing,
    C: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr, FOCAL: tl.constexpr,
    SMOOTH: tl.constexpr,
):  # fmt: skip
    """The gradient, from the logits alone; what is not in the last tile is read twice."""
    image, n = place(length, BLOCK)
    inside = n < length
    on = existing(valid, image, n, valid_b, valid_n, inside)
    label = tl.load(y + image * y_b + n * y_n, mask=on, other=0).to(tl.int32)
    largest, z_own, e_own, rest, e, _, weights = own_and_rest(
        x, image, n, label, x_b, x_c, x_n, on, class_weight, C, TILE, BLOCK, SMOOTH
    )
    _, push = focal(largest, z_own, e_own, rest, gamma, FOCAL)
    push *= pixel_weight(weight, class_weight, image, n, label, w_b, w_n, on)
    scale = tl.load(slope).to(tl.float32) * tl.load(factor)
    push *= (1 - smoothing) * scale / (rest + e_own)
    if SMOOTH:
        spread = pixel_weight(weight, None, image, n, label, w_b, w_n, on)
        spread *= smoothing / C * scale
    for tile in range(0, C, TILE):
        first = (C - 1) // TILE * TILE - tile  # from the last one back
        c = first + tl.arange(0, TILE)
        if tile > 0:
            z = logits(x, image, c, n, x_b, x_c, x_n, on, C)
            e = tl.exp(z - largest[None, :])
        slopes = tl.where(c[:, None] == label[None, :], -rest[None, :], e) * push[None, :]
        if SMOOTH:
            excess = e * (weights / (rest + e_own))[None, :]
            excess -= weight_of_class(class_weight, c, C)[:, None]
            slopes += excess * spread[None, :]
        at = gradient + image * g_b + (c.to(tl.int64) * g_c)[:, None] + (n * g_n)[None, :]
        tl.store(at, slopes, mask=(c < C)[:, None] & inside[None, :])  # p - 1 = -q
