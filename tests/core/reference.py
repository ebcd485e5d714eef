"""The formulas again, as plain loops over pixels in 60-digit arithmetic.

Everything is nested lists: z[b][c][n] logits, y[b][n] class ids or y[b][c][n] numbers, and
valid[b][c][n] booleans (valid[b][0][n] in multiclass mode). No code is shared with the package.
"""

from fractions import Fraction
from itertools import pairwise
from math import ceil

import torch
from mpmath import cosh, exp, log, mp, mpf, nstr, sqrt

mp.dps = 60


def sigmoid(z):
    return 1 / (1 + exp(-z))


def probabilities(z, mode):
    if mode != "multiclass":
        return [[[sigmoid(v) for v in row] for row in image] for image in z]
    p = []
    for image in z:
        columns = []
        for column in zip(*image, strict=True):
            e = [exp(v - max(column)) for v in column]
            columns.append([v / sum(e) for v in e])
        p.append([list(row) for row in zip(*columns, strict=True)])
    return p


def shares(y, C):
    """Targets as y[b][c][n], from class ids too."""
    return [
        image
        if isinstance(image[0], list)
        else [[mpf(int(label == c)) for label in image] for c in range(C)]
        for image in y
    ]


def gradient(function, z):
    """Central differences; the step leaves 25 right digits."""
    h = mpf(10) ** -20
    result = []
    for image in z:
        for row in image:
            for n in range(len(row)):
                value = row[n]
                row[n] = value + h
                above = function(z)
                row[n] = value - h
                below = function(z)
                row[n] = value
                result.append((above - below) / (2 * h))
    return result


# ---- losses that are a sum over pixels ----


def pixel_mean(z, y, valid, mode, terms, pixel_weight=None, norm=None, divisor=None, top_k=1):
    """The sum of terms(p, y, c) over everything valid, over the sum of norm(y, c).

    With top_k over the largest of them alone, of equal ones any.
    """
    C, found = len(z[0]), []
    p, t = probabilities(z, mode), shares(y, C)
    norm = norm or (lambda label, c: 1)
    for b in range(len(z)):
        for n in range(len(z[0][0])):
            factor = 1 if pixel_weight is None else pixel_weight[b][n]
            losses = [factor * terms(p[b][c][n], t[b][c][n], c, b) for c in range(C)]
            if mode != "multiclass":
                each = zip(losses, range(C), strict=True)
                found += [(loss, norm(None, c)) for loss, c in each if valid[b][c][n]]
            elif valid[b][0][n]:
                ids = not isinstance(y[b][0], list)
                found.append((sum(losses), norm(y[b][n], None) if ids else 1))
    if found and top_k != 1:
        found.sort(key=lambda pair: -pair[0])
        found = found[: ceil(Fraction(nstr(top_k * len(found), 12)))]
    count = sum(n for _, n in found) if divisor is None else divisor
    return sum(loss for loss, _ in found) / count if count else mpf(0)


def pick(option, c):
    return option[c] if isinstance(option, list) else option


def cross_entropy(
    z, y, valid, mode, weight=None, pos_weight=1, label_smoothing=0, pixel_weight=None, top_k=1
):
    C = len(z[0])
    s, w = mpf(label_smoothing), weight or [1] * C

    def terms(p, t, c, b):
        t = (1 - s) * t + s / (C if mode == "multiclass" else 2)
        if mode == "multiclass":
            return -w[c] * t * log(p)
        return -w[c] * (pick(pos_weight, c) * t * log(p) + (1 - t) * log(1 - p))

    def norm(label, c):
        return w[label if c is None else c]

    return pixel_mean(z, y, valid, mode, terms, pixel_weight, norm, top_k=top_k)


# The functions that tests/core/cases.py hands in, by their names.
WRITTEN = {
    "generalized_cross_entropy": lambda log_p, log_q: (1 - exp(mpf("0.7") * log_p)) / mpf("0.7"),
    "focal_term": lambda log_p, log_q: -exp(2 * log_q) * log_p,
    "specific_dice": lambda tp, fp, fn, tn: 2 * tp / (2 * tp + fp + fn) * (tn + 1) / (tn + fp + 1),
    "cube": lambda s: (1 - s) ** 3,
    "log": lambda s: -log(s),
    "log_cosh": lambda s: log(cosh(1 - s)),
}


def pixel_loss(z, y, valid, mode, term, weight=None, pixel_weight=None, top_k=1):
    w, term = weight or [1] * len(z[0]), written(term)

    def terms(p, t, c, b):
        own = t * term(log(p), log(1 - p)) if t else 0
        if mode == "multiclass":
            return w[c] * own
        return w[c] * (own + (1 - t) * term(log(1 - p), log(p)))

    def norm(label, c):
        return w[label if c is None else c]

    return pixel_mean(z, y, valid, mode, terms, pixel_weight, norm, top_k=top_k)


def weighted_cross_entropy(z, y, valid, mode, beta, pixel_weight=None, top_k=1):
    return cross_entropy(z, y, valid, mode, pos_weight=beta, pixel_weight=pixel_weight, top_k=top_k)


def balanced_cross_entropy(
    z, y, valid, mode, beta=None, eps=1e-4, per_image=False, pixel_weight=None, top_k=1
):
    def share(c, b):
        images = [b] if per_image else range(len(z))
        values = [1 - y[i][c][n] for i in images for n in range(len(z[0][0])) if valid[i][c][n]]
        negatives = sum(values, mpf(0)) / len(values) if values else mpf(0)
        return min(max(negatives, mpf(eps)), 1 - mpf(eps))

    def terms(p, t, c, b):
        k = share(c, b) if beta is None else mpf(pick(beta, c))
        return -(k * t * log(p) + (1 - k) * (1 - t) * log(1 - p))

    return pixel_mean(z, y, valid, mode, terms, pixel_weight, top_k=top_k)


def focal(z, y, valid, mode, alpha=None, gamma=2, normalizer="pixels", pixel_weight=None, top_k=1):
    C, g = len(z[0]), mpf(gamma)
    t = shares(y, C)

    def terms(p, t, c, b):
        if mode == "multiclass":
            return -(1 if alpha is None else alpha[c]) * t * (1 - p) ** g * log(p)
        a, a0 = (1, 1) if alpha is None else (pick(alpha, c), 1 - mpf(pick(alpha, c)))
        return -(a * t * (1 - p) ** g * log(p) + a0 * (1 - t) * p**g * log(1 - p))

    positives = None
    if normalizer == "positives":
        positives = mpf(0)
        for b in range(len(z)):
            for c in range(1 if mode == "multiclass" else 0, C):
                for n in range(len(z[0][0])):
                    if valid[b][0 if mode == "multiclass" else c][n]:
                        positives += t[b][c][n]
        positives = max(positives, mpf(1))
    return pixel_mean(z, y, valid, mode, terms, pixel_weight, divisor=positives, top_k=top_k)


# ---- losses on overlaps ----


def region_mean(
    z,
    y,
    valid,
    mode,
    loss,
    empty_rule=True,
    classes="present",
    weight=None,
    per_image=False,
    empty=lambda s, q: q,
):
    """loss([(score, p, t), ...]) of every class, averaged over classes, then images."""
    B, C, N = len(z), len(z[0]), len(z[0][0])
    p, t = probabilities(z, mode), shares(y, C)
    results = []
    for images in [[b] for b in range(B)] if per_image else [range(B)]:
        total, count = mpf(0), mpf(0)
        for c in range(C) if isinstance(classes, str) else classes:
            pixels = [
                (z[b][c][n], p[b][c][n], t[b][c][n])
                for b in images
                for n in range(N)
                if valid[b][0 if mode == "multiclass" else c][n]
            ]
            absent = sum((k for _, _, k in pixels), mpf(0)) == 0
            if not pixels or (absent and classes == "present" and mode != "binary"):
                continue
            if absent and empty_rule:
                value = sum(empty(s, q) for s, q, _ in pixels) / len(pixels)
            else:
                value = loss(pixels)
            w = mpf(1) if weight is None else weight[c]
            total, count = total + w * value, count + w
        if count:
            results.append(total / count)
    return sum(results) / len(results) if results else mpf(0)


def counts(pixels):
    tp = sum(min(q, t) for _, q, t in pixels)
    fp = sum(max(q - t, mpf(0)) for _, q, t in pixels)
    fn = sum(max(t - q, mpf(0)) for _, q, t in pixels)
    return tp, fp, fn, sum(1 - max(q, t) for _, q, t in pixels)


def tversky(
    z,
    y,
    valid,
    mode,
    alpha=0.5,
    beta=0.5,
    gamma=1,
    smooth=0,
    squared=False,
    factor=1,
    transform=None,
    **options,
):
    a, b, g, s = mpf(alpha), mpf(beta), mpf(gamma), mpf(smooth) / factor
    of_score = (lambda score: (1 - score) ** g) if transform is None else written(transform)

    def loss(pixels):
        if squared:
            top = 2 * sum(q * t for _, q, t in pixels) + smooth
            return of_score(top / (sum(q * q + t * t for _, q, t in pixels) + smooth))
        tp, fp, fn, _ = counts(pixels)
        return of_score((tp + s) / (tp + a * fp + b * fn + s))

    return region_mean(z, y, valid, mode, loss, smooth == 0, **options)


def written(function):
    return WRITTEN[function if isinstance(function, str) else function.__name__]


def region_loss(z, y, valid, mode, index, transform=None, **options):
    of_score = (lambda score: 1 - score) if transform is None else written(transform)

    def loss(pixels):
        return of_score(written(index)(*counts(pixels)))

    return region_mean(z, y, valid, mode, loss, **options)


def mcc(z, y, valid, mode, **options):
    def loss(pixels):
        tp, fp, fn, tn = counts(pixels)
        if tn + fp == 0:  # the target fills the image
            return fn / (tp + fn)
        margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return 1 - (tp * tn - fp * fn) / sqrt(margins)

    return region_mean(z, y, valid, mode, loss, **options)


def generalized_dice(
    z, y, valid, mode, weight="inverse_square", classes="present", per_image=False
):
    B, C, N = len(z), len(z[0]), len(z[0][0])
    p, t = probabilities(z, mode), shares(y, C)
    results = []
    for images in [[b] for b in range(B)] if per_image else [range(B)]:
        top, bottom, means = mpf(0), mpf(0), []
        for c in range(C) if isinstance(classes, str) else classes:
            pixels = [
                (None, p[b][c][n], t[b][c][n])
                for b in images
                for n in range(N)
                if valid[b][0 if mode == "multiclass" else c][n]
            ]
            tp, fp, fn, _ = counts(pixels)
            if tp + fn > 0:
                power = {"inverse": 1, "inverse_square": 2}
                own = 1 / (tp + fn) ** power[weight] if isinstance(weight, str) else weight[c]
                top, bottom = top + own * 2 * tp, bottom + own * (2 * tp + fp + fn)
            elif pixels and (classes != "present" or mode == "binary"):
                means.append(sum(q for _, q, _ in pixels) / len(pixels))
        if bottom:
            results.append(1 - top / bottom)
        elif means:
            results.append(sum(means) / len(means))
    return sum(results) / len(results) if results else mpf(0)


def dice(z, y, valid, mode, **options):
    return tversky(z, y, valid, mode, factor=2, **options)


def jaccard(z, y, valid, mode, **options):
    return tversky(z, y, valid, mode, alpha=1, beta=1, **options)


def lovasz_extension(errors, foreground):
    """Pixels turn wrong one by one, the largest error first; J is recounted from the sets."""
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    truth = {i for i in order if foreground[i]}

    def jaccard_loss(wrong):
        return 1 - mpf(len(truth - wrong)) / len(truth | wrong) if truth | wrong else mpf(0)

    steps = [set(order[:k]) for k in range(len(order) + 1)]
    gains = [jaccard_loss(after) - jaccard_loss(before) for before, after in pairwise(steps)]
    return sum((errors[i] * gain for i, gain in zip(order, gains, strict=True)), mpf(0))


def lovasz_hinge(z, y, valid, mode, **options):
    def loss(pixels):
        errors = [max(mpf(0), 1 - s * (2 * t - 1)) for s, _, t in pixels]
        return lovasz_extension(errors, [t == 1 for _, _, t in pixels])

    options["empty"] = lambda s, q: max(mpf(0), 1 + s)
    return region_mean(z, y, valid, mode, loss, **options)


def lovasz_softmax(z, y, valid, mode, **options):
    def loss(pixels):
        return lovasz_extension([abs(t - q) for _, q, t in pixels], [t == 1 for _, _, t in pixels])

    return region_mean(z, y, valid, mode, loss, **options)


# ---- distances ----


def two_nearest(instances, spacing=None):
    """(B, *) ids to the distances (B, *) to the nearest two instances, each against all pixels."""
    size = torch.tensor(spacing or [1.0] * (instances.ndim - 1), dtype=torch.float64)
    results = []
    for image in instances.long():  # few operations are there for unsigned integers
        places = torch.ones_like(image).nonzero() * size
        distances = [torch.full((len(places), 2), torch.inf, dtype=torch.float64)]
        for label in image.unique()[image.unique() > 0]:
            own = places[(image == label).flatten()]
            distances.append((places[:, None] - own[None]).norm(dim=-1).amin(1, keepdim=True))
        two = torch.cat(distances, 1).sort(1).values[:, :2]
        results.append(two.T.reshape(2, *image.shape))
    return torch.stack(results, 1)


def unet_weights(instances, w0=10.0, sigma=5.0, class_weight=None):
    d1, d2 = two_nearest(instances)
    pair = torch.ones(2) if class_weight is None else class_weight
    return pair.double()[(instances > 0).long()] + w0 * (-((d1 + d2) ** 2) / (2 * sigma**2)).exp()


# ---- distances to edges ----


def to_nearest(places, spacing=None, half=0.0):
    """(*) bool to the distances (*) to the nearest place, each pixel against all places."""
    size = torch.tensor(spacing or [1.0] * places.ndim, dtype=torch.float64)
    at = torch.ones_like(places).nonzero()
    if not places.any():
        return torch.full(places.shape, torch.inf, dtype=torch.float64)
    gap = (at[:, None] - places.nonzero()[None]).abs()
    return ((gap - half).clamp(min=0) * size).norm(dim=-1).amin(1).reshape(places.shape)


def signed_distance(inside, valid, spacing=None, convention="edge"):
    """(*) bool: minus the distance to the valid pixels outside, or the distance to those inside."""
    half = 0.5 if convention == "edge" else 0.0
    to_outside = to_nearest(~inside & valid, spacing, half) - float(convention == "kervadec")
    phi = torch.where(inside, -to_outside, to_nearest(inside & valid, spacing, half))
    return torch.where(valid, phi, 0)


def signed_distances(inside, valid, spacing=None, convention="edge"):
    """(B, C, *) bool to (B, C, *)."""
    maps = [
        signed_distance(x, v, spacing, convention)
        for x, v in zip(inside.flatten(0, 1), valid.flatten(0, 1), strict=True)
    ]
    return torch.stack(maps).reshape(inside.shape) if maps else inside.double()


def mean_of_costs(z, y, valid, mode, cost, classes="present", weight=None, per_image=False):
    """cost(p, t, b, c, n) over the valid pixels of a class; presence by t > 1/2."""
    B, C, N = len(z), len(z[0]), len(z[0][0])
    p, t = probabilities(z, mode), shares(y, C)
    results = []
    for images in [[b] for b in range(B)] if per_image else [range(B)]:
        total, count = mpf(0), mpf(0)
        for c in range(C) if isinstance(classes, str) else classes:
            row = 0 if mode == "multiclass" else c
            pixels = [(b, n) for b in images for n in range(N) if valid[b][row][n]]
            absent = not any(t[b][c][n] > 0.5 for b, n in pixels)
            if not pixels or (absent and classes == "present" and mode != "binary"):
                continue
            w = mpf(1) if weight is None else weight[c]
            costs = [cost(p[b][c][n], t[b][c][n], b, c, n) for b, n in pixels]
            total, count = total + w * sum(costs) / len(costs), count + w
        if count:
            results.append(total / count)
    return sum(results) / len(results) if results else mpf(0)


def boundary(z, y, valid, mode, phi, **options):
    """Without another side phi is 1 or -1."""

    def cost(p, t, b, c, n):
        d = phi[b][c][n]
        return p * (d if abs(d) != float("inf") else 1 if d > 0 else -1)

    return mean_of_costs(z, y, valid, mode, cost, **options)


def hausdorff(z, y, valid, mode, d_y, d_p, exponent=2, **options):
    def cost(p, t, b, c, n):
        to_y, to_p = abs(d_y[b][c][n]), abs(d_p[b][c][n])
        if to_y == float("inf"):
            return abs(p - t)
        return (p - t) ** 2 * (to_y**exponent + (0 if to_p == float("inf") else to_p**exponent))

    return mean_of_costs(z, y, valid, mode, cost, **options)
