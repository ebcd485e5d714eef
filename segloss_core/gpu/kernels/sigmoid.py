"""Pixel losses of one channel: high y q^gamma (-log p) - low (1 - y) p^gamma log q, q = 1 - p."""

import triton
import triton.language as tl

from .tiles import clipped, existing, log1p, place


@triton.jit
def terms(z, gamma, FOCAL: tl.constexpr):
    """q^gamma (-log p) and -p^gamma log q, and their slopes by z."""
    a = tl.exp(-tl.abs(z))
    near, far, common = 1 / (1 + a), a / (1 + a), log1p(a)
    p, q = tl.where(z > 0, near, far), tl.where(z > 0, far, near)
    high = tl.where(z < 0, -z, 0.0) + common  # -log p
    low = tl.where(z > 0, z, 0.0) + common  # -log q
    high_slope, low_slope = -q, p
    if FOCAL:  # eq-focal-grad
        of_q, of_p = tl.exp(-gamma * low), tl.exp(-gamma * high)
        high_slope = -of_q * (gamma * p * high + q)
        low_slope = of_p * (gamma * q * low + p)
        high, low = of_q * high, of_p * low
    return high, low, high_slope, low_slope


@triton.jit
def pixels(
    x, y, valid, weight, low, high, row, n, on,
    x_b, x_c, x_n, y_b, y_c, y_n, w_b, w_c, w_n, low_b, low_c, high_b, high_c, smoothing,
    C: tl.constexpr, SMOOTH: tl.constexpr,
):  # fmt: skip
    """Logits, and the weights of -log p and of -log q: 0 under void."""
    b, c = row // C, row % C
    z = clipped(tl.load(x + b * x_b + c * x_c + n * x_n, mask=on, other=0).to(tl.float32))
    of_high = tl.load(y + b * y_b + c * y_c + n * y_n, mask=on, other=0).to(tl.float32)
    if SMOOTH:
        of_high = tl.where(on, of_high + smoothing * (0.5 - of_high), 0.0)
    of_low = tl.where(on, 1 - of_high, 0.0)
    if low is not None:
        of_low *= tl.load(low + b * low_b + c * low_c).to(tl.float32)
        of_high *= tl.load(high + b * high_b + c * high_c).to(tl.float32)
    if weight is not None:
        w = tl.load(weight + b * w_b + c * w_c + n * w_n, mask=on, other=0).to(tl.float32)
        of_low, of_high = of_low * w, of_high * w
    return z, of_high, of_low


@triton.jit
def sigmoid_losses(
    x, y, valid, weight, low, high, losses, counts,
    x_b, x_c, x_n, y_b, y_c, y_n, valid_b, valid_c, valid_n, w_b, w_c, w_n,
    low_b, low_c, high_b, high_c, length, gamma, smoothing,
    C: tl.constexpr, BLOCK: tl.constexpr, FOCAL: tl.constexpr, SMOOTH: tl.constexpr,
):  # fmt: skip
    """The sum of a program's losses; into `counts`, if asked for, the number of valid pixels."""
    row, n = place(length, BLOCK)
    on = n < length
    if valid is not None:
        on = existing(valid + row // C * valid_b + row % C * valid_c, 0, n, 0, valid_n, on)
    z, of_high, of_low = pixels(
        x, y, valid, weight, low, high, row, n, on,
        x_b, x_c, x_n, y_b, y_c, y_n, w_b, w_c, w_n, low_b, low_c, high_b, high_c, smoothing,
        C, SMOOTH,
    )  # fmt: skip
    if_high, if_low, _, _ = terms(z, gamma, FOCAL)
    tl.store(losses + tl.program_id(0), tl.sum(of_high * if_high + of_low * if_low))
    if counts is not None:
        tl.store(counts + tl.program_id(0), tl.sum(tl.where(on, 1.0, 0.0)))


@triton.jit
def sigmoid_slopes(
    x, y, valid, weight, low, high, slope, factor, gradient,
    x_b, x_c, x_n, y_b, y_c, y_n, valid_b, valid_c, valid_n, w_b, w_c, w_n,
    low_b, low_c, high_b, high_c, g_b, g_c, g_n, length, gamma, smoothing,
    C: tl.constexpr, BLOCK: tl.constexpr, FOCAL: tl.constexpr, SMOOTH: tl.constexpr,
):  # fmt: skip
    """The gradient, from the logits alone."""
    row, n = place(length, BLOCK)
    on = n < length
    if valid is not None:
        on = existing(valid + row // C * valid_b + row % C * valid_c, 0, n, 0, valid_n, on)
    z, of_high, of_low = pixels(
        x, y, valid, weight, low, high, row, n, on,
        x_b, x_c, x_n, y_b, y_c, y_n, w_b, w_c, w_n, low_b, low_c, high_b, high_c, smoothing,
        C, SMOOTH,
    )  # fmt: skip
    _, _, if_high, if_low = terms(z, gamma, FOCAL)
    slopes = of_high * if_high + of_low * if_low
    slopes *= tl.load(slope).to(tl.float32) * tl.load(factor)
    at = gradient + row // C * g_b + row % C * g_c + n * g_n
    tl.store(at, slopes, mask=n < length)
