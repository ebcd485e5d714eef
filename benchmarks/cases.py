"""What is measured: losses, workloads, and the calls of every package for the same value.

A package with another convention (a mean over images, over classes as well) is timed as it is, and
its value is compared with segloss_core under that convention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import segloss_core as core

from . import textbook
from .peers import losses_of

Call = Callable[[Tensor], Tensor]
VOID = 255
OURS = "segloss_core"


@dataclass
class Workload:
    """Logits and targets as a training step has them; all classes occur."""

    shape: tuple[int, ...]
    device: str = "cpu"
    void: float = 0.0  # share of the pixels
    name: str = field(init=False)
    z: Tensor = field(init=False)
    y: Tensor = field(init=False)  # class ids (B, *), or (B, 1, *) zeros and ones

    def __post_init__(self) -> None:
        batch, classes, *spatial = self.shape
        mode = "binary" if classes == 1 else "multiclass"
        self.name = f"{mode} {'×'.join(map(str, self.shape))}"
        generator = torch.Generator().manual_seed(0)
        self.z = torch.randn(self.shape, generator=generator)
        ids = torch.randint(max(2, classes), (batch, *spatial), generator=generator)
        noise = torch.rand(ids.shape, generator=generator)
        if classes == 1:  # one pixel in ten is foreground
            self.y = (noise < 0.1).float().unsqueeze(1)
        else:
            self.y = ids.masked_fill(noise < self.void, VOID)
            self.name += f", {self.void:.0%} void" if self.void else ""
            # A network that has learnt something: else every error is about the same.
            self.z += 3 * F.one_hot(ids, classes).movedim(-1, 1)
        self.z, self.y = self.z.to(self.device), self.y.to(self.device)


@dataclass
class Case:
    """A loss on a workload, by segloss_core first and then by everybody who has it."""

    name: str
    loss: str
    workload: Workload
    calls: dict[str, Call]
    expected: dict[str, Call] = field(default_factory=dict)  # of a peer with another convention
    variants: dict[str, Call] = field(default_factory=dict)  # of segloss_core, each a case by name


def cases(quick: bool, device: str) -> Iterator[Case]:
    """`quick`: small inputs in place of the full size."""
    if not quick:
        yield from binary(Workload((8, 1, 512, 512), device))
        yield from multiclass(
            Workload((4, 19, 512, 512), device, void=0.05), Workload((4, 19, 512, 512), device)
        )
        yield from lovasz_softmax(Workload((1, 19, 1024, 2048), device))
        yield from weight_maps(512, (20, 100, 400), device)
        yield from distances((512, 1024), device)
        yield from edges(Workload((2, 19, 256, 512), device))
    else:
        yield from weight_maps(256, (5, 20), device)
        yield from distances((128,), device)
        yield from edges(Workload((2, 4, 64, 64), device))
    yield from binary(Workload((2, 1, 128, 128), device))
    yield from multiclass(
        Workload((2, 4, 128, 128), device, 0.05), Workload((2, 4, 128, 128), device)
    )


def binary(work: Workload) -> Iterator[Case]:
    smp, monai, kornia = map(losses_of, ("segmentation_models_pytorch", "monai", "kornia"))
    y = work.y
    weight = 1 + 9 * torch.rand(y.shape, generator=torch.Generator().manual_seed(1)).to(y.device)
    pos_weight = torch.tensor(3.0, device=y.device)
    bce = F.binary_cross_entropy_with_logits
    mean = {"reduction": "mean"}
    batch = {"sigmoid": True, "batch": True, "smooth_nr": 0.0, "smooth_dr": 1e-7}

    def case(name: str, loss: str, calls: dict[str, Call], **ours: object) -> Case:
        call = partial(getattr(core, loss), target=y, **ours)
        return Case(name, loss, work, {OURS: call, **calls})

    yield case("BCE", "cross_entropy_loss", {"torch": lambda z: bce(z, y)})
    yield case(
        "weight-map BCE",
        "cross_entropy_loss",
        {"torch": lambda z: bce(z, y, weight=weight)},
        pixel_weight=weight,
    )
    yield case(
        "BCE with pos_weight",
        "weighted_cross_entropy_loss",
        {"torch": lambda z: bce(z, y, pos_weight=pos_weight)},
        beta=3.0,
    )
    yield case(
        "balanced BCE",
        "balanced_cross_entropy_loss",
        {"textbook": lambda z: textbook.balanced_cross_entropy(z, y)},
    )
    yield case(
        "focal",
        "focal_loss",
        {
            "smp": lambda z: smp.FocalLoss("binary")(z, y),
            "monai": lambda z: monai.FocalLoss()(z, y),
            "kornia": lambda z: kornia.binary_focal_loss_with_logits(z, y, alpha=None, **mean),
            "textbook": lambda z: textbook.binary_focal(z, y),
        },
    )
    yield case(
        "Dice",
        "dice_loss",
        {
            "smp": lambda z: smp.DiceLoss("binary")(z, y),
            "monai": lambda z: monai.DiceLoss(**batch)(z, y),
            "textbook": lambda z: textbook.binary_tversky(z, y),
        },
    )
    yield case(
        "Jaccard",
        "jaccard_loss",
        {
            "smp": lambda z: smp.JaccardLoss("binary")(z, y),
            "monai": lambda z: monai.DiceLoss(jaccard=True, **batch)(z, y),
            "textbook": lambda z: textbook.binary_tversky(z, y, 1.0, 1.0),
        },
    )
    yield case(
        "Tversky",
        "tversky_loss",
        {
            "smp": lambda z: smp.TverskyLoss("binary", alpha=0.3, beta=0.7)(z, y),
            "monai": lambda z: monai.TverskyLoss(alpha=0.3, beta=0.7, **batch)(z, y),
            "textbook": lambda z: textbook.binary_tversky(z, y, 0.3, 0.7),
        },
        alpha=0.3,
        beta=0.7,
    )
    hinge = case(
        "Lovász hinge",
        "lovasz_hinge_loss",
        {
            "smp": lambda z: smp.LovaszLoss("binary", per_image=False)(z, y),
            "kornia": lambda z: kornia.lovasz_hinge_loss(z, y[:, 0].long()),
            "textbook": lambda z: textbook.lovasz_hinge(z, y),
        },
    )
    hinge.expected["kornia"] = partial(core.lovasz_hinge_loss, target=y, per_image=True)
    yield hinge


def multiclass(work: Workload, whole: Workload) -> Iterator[Case]:
    """With void pixels, and `whole` without, for what not everybody can do with them."""
    smp, monai, kornia = map(losses_of, ("segmentation_models_pytorch", "monai", "kornia"))
    y, classes = work.y, work.shape[1]
    generator = torch.Generator().manual_seed(1)
    weight = (0.5 + torch.rand(classes, generator=generator)).to(y.device)
    weight_map = (1 + 9 * torch.rand(y.shape, generator=generator)).to(y.device)
    valid = y != VOID
    ours = {"target": y, "mode": "multiclass", "ignore_index": VOID}
    void = {"ignore_index": VOID}
    batch = {"softmax": True, "to_onehot_y": True, "batch": True, **void}
    batch |= {"smooth_nr": 0.0, "smooth_dr": 1e-7}

    def weighted_map(z: Tensor) -> Tensor:
        losses = F.cross_entropy(z, y, reduction="none", **void)
        return (losses * weight_map).sum() / valid.sum()

    def case(name: str, loss: str, calls: dict[str, Call], **options: object) -> Case:
        call = partial(getattr(core, loss), **ours, **options)
        return Case(name, loss, work, {OURS: call, **calls})

    yield case("CE", "cross_entropy_loss", {"torch": lambda z: F.cross_entropy(z, y, **void)})
    yield case(
        "weighted CE",
        "cross_entropy_loss",
        {"torch": lambda z: F.cross_entropy(z, y, weight, **void)},
        weight=weight,
    )
    yield case(
        "weight-map CE", "cross_entropy_loss", {"torch": weighted_map}, pixel_weight=weight_map
    )
    focal = case(
        "softmax focal",
        "focal_loss",
        {
            "monai": lambda z: monai.FocalLoss(use_softmax=True, to_onehot_y=True, **void)(
                z, y.unsqueeze(1)
            ),
            "kornia": lambda z: kornia.focal_loss(z, y, None, reduction="mean", **void),
            "textbook": lambda z: textbook.softmax_focal(z, y, VOID),
        },
    )
    share = valid.float().mean() / classes  # kornia divides by all pixels and classes
    focal.expected["kornia"] = lambda z: share * core.focal_loss(z, **ours)
    yield focal
    dice = case(
        "Dice",
        "dice_loss",
        {
            "smp": lambda z: smp.DiceLoss("multiclass", **void)(z, y),
            "monai": lambda z: monai.DiceLoss(**batch)(z, y.unsqueeze(1)),
            "kornia": lambda z: kornia.dice_loss(z, y, average="macro", **void),
        },
    )
    dice.expected["kornia"] = partial(core.dice_loss, **ours, per_image=True)
    yield dice
    yield case(
        "Jaccard",
        "jaccard_loss",
        {"monai": lambda z: monai.DiceLoss(jaccard=True, **batch)(z, y.unsqueeze(1))},
    )
    options = {"alpha": 0.3, "beta": 0.7}
    tversky = case(
        "Tversky",
        "tversky_loss",
        {
            "smp": lambda z: smp.TverskyLoss("multiclass", **void, **options)(z, y),
            "monai": lambda z: monai.TverskyLoss(**batch, **options)(z, y.unsqueeze(1)),
            "kornia": lambda z: kornia.tversky_loss(z, y, 0.3, 0.7, **void),
        },
        **options,
    )
    tversky.expected["kornia"] = partial(core.tversky_loss, **ours, **options, per_image=True)
    yield tversky
    dice = Case(
        "Dice",
        "dice_loss",
        whole,
        {OURS: partial(core.dice_loss, target=whole.y, mode="multiclass")},
    )
    dice.calls["textbook"] = lambda z: textbook.tversky(z, whole.y)
    yield dice
    yield from lovasz_softmax(whole)


def lovasz_softmax(work: Workload) -> Iterator[Case]:
    smp, kornia = losses_of("segmentation_models_pytorch"), losses_of("kornia")
    y = work.y
    loss = partial(core.lovasz_softmax_loss, target=y)
    yield Case(
        "Lovász softmax",
        "lovasz_softmax_loss",
        work,
        {
            OURS: loss,
            "smp": lambda z: smp.LovaszLoss("multiclass")(z, y),
            "kornia": lambda z: kornia.lovasz_softmax_loss(z, y),
            "textbook": lambda z: textbook.lovasz_softmax(z, y),
        },
        expected={"kornia": partial(loss, per_image=True)},
        variants={"Lovász softmax, 4096 bins": partial(loss, bins=4096)},
    )


def weight_maps(size: int, counts: tuple[int, ...], device: str) -> Iterator[Case]:
    """The U-Net's map of round cells, which the textbook takes from scipy on the CPU."""
    for cells in counts:
        ids = cell_image(size, cells)
        work = Workload((1, 1, size, size), device)
        work.z, work.name = ids.to(device), f"{size}×{size}, {cells} cells"
        calls = {OURS: core.unet_weight_map}
        if device == "cpu":
            calls["textbook"] = textbook.unet_weight_map
        yield Case("weight map", "unet_weight_map", work, calls)


def distances(sizes: tuple[int, ...], device: str) -> Iterator[Case]:
    """Both sides of a mask, which scipy measures on the CPU: near edges, and far ones."""
    for size in sizes:
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(1, 1, size, size, generator=generator)
        smooth = F.avg_pool2d(noise, 15, stride=1, padding=7, count_include_pad=False)
        disc = cell_image(size, 1).unsqueeze(1) > 0
        pixel = torch.zeros_like(disc)
        pixel[0, 0, size // 3, size // 5] = True
        masks = {"noise": noise < 0.5, "blobs": smooth < smooth.median(), "disc": disc}
        for name, mask in {**masks, "one pixel": pixel}.items():
            work = Workload((1, 1, size, size), device)
            work.z, work.name = mask.to(device), f"{size}×{size}, {name}"
            calls = {OURS: partial(core.signed_distance, convention="centre")}
            if device == "cpu":
                calls["scipy"] = textbook.signed_distance
            yield Case("signed distance", "signed_distance", work, calls)


def edges(work: Workload) -> Iterator[Case]:
    monai, y = losses_of("monai"), work.y
    one_hot = {"softmax": True, "to_onehot_y": True, "include_background": True}
    for name, loss, theirs, ours in (
        ("boundary", "boundary_loss", "BoundaryLoss", {"convention": "kervadec"}),
        ("Hausdorff", "hausdorff_loss", "HausdorffDTLoss", {}),
    ):
        call = partial(getattr(core, loss), target=y, mode="multiclass", **ours)
        case = Case(name, loss, work, {OURS: call})
        if work.device == "cpu":  # it takes its distances from scipy
            other = getattr(monai, theirs)(**one_hot)
            case.calls["monai"] = lambda z, other=other: other(z, y.unsqueeze(1))
        yield case


def cell_image(size: int, cells: int) -> Tensor:
    """Discs (1, size, size), at random places on a grid, a few pixels apart."""
    side = int(cells**0.5 + 0.999)
    pitch = size / side
    generator = torch.Generator().manual_seed(cells)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    ids = torch.zeros(size, size, dtype=torch.long)
    for cell in range(cells):
        shift = 0.15 * pitch * (torch.rand(2, generator=generator) - 0.5)
        row, column = (torch.tensor([cell // side, cell % side]) + 0.5) * pitch + shift
        ids[(rows - row) ** 2 + (columns - column) ** 2 < (0.4 * pitch) ** 2] = cell + 1
    return ids.unsqueeze(0)
