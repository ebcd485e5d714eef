"""How the cost of a loss grows with the image and with the number of classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from tqdm import tqdm

import segloss_core as core

from .cases import Call, Workload, cell_image
from .measure import step

SIZES = (256, 512, 1024, 2048, 4096)
CLASSES = (2, 4, 8, 16, 32)
ROUNDS = 3


def measure(device: str, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Nanoseconds per pixel: every loss over the sizes, softmax losses over the classes at 512.

    The best of some rounds over all sizes, so that no size alone has the machine's slow minutes.
    """
    best: dict[tuple[str, int, int], float] = {}
    for _ in tqdm(range(ROUNDS), desc="scale"):
        for size, classes, (loss, call, z) in every_call(device, sizes):
            step(call, z)
            times = [step(call, z)[0] for _ in range(5 if size < 2048 else 1)]
            key = loss, size, classes
            best[key] = min(*times, best.get(key, math.inf))
    return [
        {
            "loss": loss,
            "size": size,
            "classes": classes,
            "ns_per_pixel": round(1e6 * ms / size**2, 2),
        }
        for (loss, size, classes), ms in best.items()
    ]


def every_call(
    device: str, sizes: tuple[int, ...]
) -> Iterator[tuple[int, int, tuple[str, Call, torch.Tensor]]]:
    for size in sizes:
        yield from ((size, 1, call) for call in binary(size, device))
        yield from ((size, 4, call) for call in multiclass(size, 4, device))
    for classes in CLASSES:
        if classes != 4:
            yield from ((512, classes, call) for call in multiclass(512, classes, device))


def binary(size: int, device: str) -> list[tuple[str, Call, torch.Tensor]]:
    work = Workload((1, 1, size, size), device)
    ids = cell_image(size, 64).to(device)
    y = {"target": work.y}
    calls: list[tuple[str, Call]] = [
        ("cross_entropy_loss, binary", lambda z: core.cross_entropy_loss(z, **y)),
        ("weighted_cross_entropy_loss", lambda z: core.weighted_cross_entropy_loss(z, beta=3, **y)),
        ("balanced_cross_entropy_loss", lambda z: core.balanced_cross_entropy_loss(z, **y)),
        ("focal_loss, binary", lambda z: core.focal_loss(z, **y)),
        ("dice_loss, binary", lambda z: core.dice_loss(z, **y)),
        ("lovasz_hinge_loss", lambda z: core.lovasz_hinge_loss(z, **y)),
    ]
    rows = [(loss, call, work.z) for loss, call in calls]
    return [*rows, ("unet_weight_map", core.unet_weight_map, ids)]


def multiclass(size: int, classes: int, device: str) -> list[tuple[str, Call, torch.Tensor]]:
    work = Workload((1, classes, size, size), device)
    y = {"target": work.y}
    several = {**y, "mode": "multiclass"}
    calls: list[tuple[str, Call]] = [
        ("cross_entropy_loss", lambda z: core.cross_entropy_loss(z, **several)),
        ("focal_loss", lambda z: core.focal_loss(z, **several)),
        ("dice_loss", lambda z: core.dice_loss(z, **several)),
        ("jaccard_loss", lambda z: core.jaccard_loss(z, **several)),
        ("tversky_loss", lambda z: core.tversky_loss(z, **several)),
        ("lovasz_softmax_loss", lambda z: core.lovasz_softmax_loss(z, **y)),
        ("lovasz_softmax_loss, bins", lambda z: core.lovasz_softmax_loss(z, bins=4096, **y)),
    ]
    return [(loss, call, work.z) for loss, call in calls]


def copy_bandwidth() -> float:
    """Gigabytes per second that a copy on the GPU reads and writes."""
    x = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    best = min(
        step(lambda _: x.clone(), torch.zeros(1, device="cuda").long())[0] for _ in range(20)
    )
    return round(2 * x.nbytes / best / 1e6, 1)
