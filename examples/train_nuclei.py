"""Train a small U-Net on photographs of cell nuclei with a loss of your choice.

    python examples/train_nuclei.py --loss weight_map
    torchrun --nproc-per-node=2 examples/train_nuclei.py --task border --loss dice

Two tasks, each with one logit per pixel. "nuclei": where the nuclei are, with a gap between those
that touch. "border": the narrow band along which two of them lie side by side, a very rare class.
Three photographs train, the fourth tests. N processes give the model of one, up to rounding.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from tqdm import tqdm

from segloss_core import (
    BalancedCrossEntropyLoss,
    CombinedLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    LovaszHingeLoss,
    TverskyLoss,
    WeightedCrossEntropyLoss,
    jaccard_index,
    two_nearest_distances,
    unet_weight_map,
)

FOLDER = Path(__file__).parents[1] / "book" / "data" / "nuclei"
TRAIN, TEST = ("nuclei_00", "nuclei_01", "nuclei_11"), ("nuclei_10",)

# Region losses take their sums over the whole batch, so they are told of the other processes.
LOSSES: dict[str, Callable[[ProcessGroup | None], nn.Module]] = {
    "ce": lambda group: CrossEntropyLoss(),
    "weight_map": lambda group: CrossEntropyLoss(),  # with PIXEL_WEIGHTS, as is the next
    "gap_map": lambda group: CrossEntropyLoss(),
    "weighted_ce": lambda group: WeightedCrossEntropyLoss(beta=10.0),
    "balanced_ce": lambda group: BalancedCrossEntropyLoss(),
    "focal": lambda group: FocalLoss(gamma=2.0),
    "dice": lambda group: DiceLoss(process_group=group),
    "tversky": lambda group: TverskyLoss(alpha=0.3, beta=0.7, process_group=group),
    "lovasz": lambda group: LovaszHingeLoss(process_group=group),
    "ce_dice": lambda group: CombinedLoss(
        {"ce": (0.5, CrossEntropyLoss()), "dice": (0.5, DiceLoss(process_group=group))}
    ),
}


# ---- data ----


class Nuclei(NamedTuple):
    """Photographs and their annotation."""

    image: Tensor  # (B, 1, H, W), intensities in [0, 1]
    instances: Tensor  # (B, 1, H, W), the number of the nucleus, 0 = background


def load(names: Sequence[str], folder: Path = FOLDER) -> Nuclei:
    def read(kind: str) -> Tensor:
        pictures = [np.array(Image.open(folder / f"{name}_{kind}.png")) for name in names]
        return torch.from_numpy(np.stack(pictures)).unsqueeze(1)

    return Nuclei(read("image").float() / 255, read("label").long())


def separate(instances: Tensor) -> Tensor:
    """Put background between touching nuclei, about one pixel, taken from the smaller number."""
    largest = F.max_pool2d(instances.float(), 3, stride=1, padding=1)
    return torch.where(largest > instances, 0, instances)


def border(instances: Tensor) -> Tensor:
    """The pixels that are within 3 pixels of two nuclei together, d1 + d2 <= 3."""
    d1, d2 = two_nearest_distances(instances.squeeze(1))
    return (d1 + d2 <= 3).unsqueeze(1)


TASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "nuclei": lambda instances: separate(instances) > 0,
    "border": border,
}


def weight_map(instances: Tensor) -> Tensor:
    """The U-Net's weights, of whole photographs: a nucleus beyond the crop's edge counts, too."""
    return unet_weight_map(separate(instances).squeeze(1)).unsqueeze(1)


def gap_map(instances: Tensor) -> Tensor:
    """The same on the background, 1 on the nuclei: the gaps win over their own edges."""
    return torch.where(separate(instances) > 0, 1, weight_map(instances))


PIXEL_WEIGHTS = {"weight_map": weight_map, "gap_map": gap_map}


def training_layers(data: Nuclei, task: str, loss: str) -> dict[str, Tensor]:
    """What `train` takes: photographs, target, and the weights of those losses that have them."""
    layers = {"image": data.image, "target": TASKS[task](data.instances)}
    if loss in PIXEL_WEIGHTS:
        layers["pixel_weight"] = PIXEL_WEIGHTS[loss](data.instances)
    return layers


class Crops(Dataset[dict[str, Tensor]]):
    """Random square crops, turned and mirrored; number i is the same in every process."""

    def __init__(self, layers: dict[str, Tensor], count: int, size: int, seed: int) -> None:
        self.layers, self.count, self.size, self.seed = layers, count, size, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        g = torch.Generator().manual_seed(self.seed * self.count + index)

        def pick(choices: int) -> int:
            return int(torch.randint(choices, (), generator=g))

        images, _, height, width = next(iter(self.layers.values())).shape
        b, top, left = pick(images), pick(height - self.size + 1), pick(width - self.size + 1)
        turns, mirror = pick(4), pick(2)

        def crop(layer: Tensor) -> Tensor:
            square = layer[b, :, top : top + self.size, left : left + self.size]
            square = torch.rot90(square, turns, (1, 2))
            return square.flip(2) if mirror else square

        return {name: crop(layer) for name, layer in self.layers.items()}


# ---- model ----


def double_conv(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, padding=1, bias=False),
        nn.GroupNorm(4, out),
        nn.LeakyReLU(0.1),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        nn.GroupNorm(4, out),
        nn.LeakyReLU(0.1),
    )


class UNet(nn.Module):
    """Three levels, about 30,000 parameters; (B, 1, H, W) to logits (B, outputs, H, W)."""

    def __init__(self, width: int = 8, outputs: int = 1) -> None:
        super().__init__()
        self.down1 = double_conv(1, width)
        self.down2 = double_conv(width, 2 * width)
        self.bottom = double_conv(2 * width, 4 * width)
        self.up2 = double_conv(6 * width, 2 * width)
        self.up1 = double_conv(3 * width, width)
        self.head = nn.Conv2d(width, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.down1(image)
        middle = self.down2(F.max_pool2d(fine, 2))
        coarse = self.bottom(F.max_pool2d(middle, 2))
        middle = self.up2(torch.cat([F.interpolate(coarse, scale_factor=2), middle], 1))
        fine = self.up1(torch.cat([F.interpolate(middle, scale_factor=2), fine], 1))
        logits: Tensor = self.head(fine)
        return logits


# ---- training ----


def train(
    criterion: nn.Module,
    layers: dict[str, Tensor],
    *,
    steps: int = 300,
    batch: int = 4,
    size: int = 96,
    rate: float = 0.01,
    seed: int = 0,
    device: str | torch.device = "cpu",
    half: bool = False,
    group: ProcessGroup | None = None,
    progress: bool = False,
) -> UNet:
    """Train a new U-Net on `layers`: "image", "target", and what else the criterion takes.

    `batch` counts the crops of all processes together; `half` computes the network, not the loss,
    in bfloat16.
    """
    device = torch.device(device)
    torch.manual_seed(seed)
    model = UNet().to(device)
    network: nn.Module = model
    sampler: DistributedSampler[dict[str, Tensor]] | None = None
    share = batch
    crops = Crops(layers, steps * batch, size, seed)
    if group is not None:
        network = DistributedDataParallel(model, process_group=group)
        sampler = DistributedSampler(crops, group.size(), group.rank(), shuffle=False)
        share = batch // group.size()
    criterion = criterion.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    bar = tqdm(DataLoader(crops, share, sampler=sampler), disable=not progress)
    for step, crop in enumerate(bar):
        extra = {name: layer.to(device) for name, layer in crop.items()}
        image, target = extra.pop("image"), extra.pop("target")
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = network(image)
        loss = criterion(logits, target, **extra)  # in float32, whatever the logits are
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    return model


# ---- evaluation ----


@torch.no_grad()
def predict(model: nn.Module, image: Tensor) -> Tensor:
    """The logits of whole photographs, on the CPU."""
    logits: Tensor = model.eval()(image.to(next(model.parameters()).device))
    return logits.cpu()


def average_precision(score: Tensor, target: Tensor) -> float:
    """The area under the curve of precision against recall over all thresholds on `score`."""
    hit = target.flatten().bool()[score.flatten().argsort(descending=True, stable=True)]
    precision = hit.cumsum(0) / torch.arange(1, len(hit) + 1)
    return float(precision[hit].double().mean())


def watershed(mask: Tensor, smoothing: float = 1.5) -> Tensor:
    """Cut the pieces of a mask (B, 1, H, W) along the valleys of their smoothed distance map.

    Every pixel climbs to its highest neighbour until it stands on a peak; where two peaks meet, one
    pixel becomes background. `smoothing` is a standard deviation in pixels.
    """
    pictures = mask.squeeze(1).numpy()
    depths = [ndimage.distance_transform_edt(picture) for picture in pictures]
    depths = [ndimage.gaussian_filter(depth, smoothing) for depth in depths]
    heights = torch.from_numpy(np.stack(depths)).unsqueeze(1)
    _, up = F.max_pool2d(heights, 3, stride=1, padding=1, return_indices=True)
    up = up.flatten(1)
    for _ in range(8):  # 256 steps, as far as a photograph is wide
        up = up.gather(1, up)
    return separate(torch.where(mask, up.view(mask.shape) + 1, 0)) > 0


def object_scores(mask: Tensor, instances: Tensor) -> dict[str, float]:
    """Compare the connected pieces of a mask (B, 1, H, W) with the annotated nuclei.

    object_f1: pieces and nuclei whose IoU exceeds 1/2 are pairs; 2 pairs / (pieces + nuclei).
    merged: nuclei that share a piece, which holds more than half of each, with another one.
    """
    pairs = pieces = nuclei = merged = 0
    for picture, numbers in zip(mask.squeeze(1), instances.squeeze(1), strict=True):
        labels, found = ndimage.label(picture.numpy())
        count = int(numbers.max())
        cell = numbers.flatten() * (found + 1) + torch.from_numpy(labels).long().flatten()
        table = torch.bincount(cell, minlength=(count + 1) * (found + 1))
        table = table.view(count + 1, found + 1)
        shared, of_nucleus, of_piece = table[1:, 1:], table[1:].sum(1, True), table[:, 1:].sum(0)
        pairs += int((2 * shared > of_nucleus + of_piece - shared).sum())
        guests = (2 * shared > of_nucleus).sum(0)
        merged += int(guests[guests > 1].sum())
        pieces, nuclei = pieces + found, nuclei + count
    return {"object_f1": 2 * pairs / max(pieces + nuclei, 1), "merged": merged}


def evaluate(logits: Tensor, instances: Tensor, task: str) -> dict[str, float]:
    """IoU at p = 1/2 and average precision; for the task "nuclei" also the scores of objects,
    before and after the watershed."""
    target, mask = TASKS[task](instances), logits > 0
    scores = {
        "iou": float(jaccard_index(mask, target)),
        "average_precision": average_precision(logits, target),
    }
    if task == "nuclei":
        scores |= object_scores(mask, instances)
        after = object_scores(watershed(mask), instances)
        scores |= {f"{name}_watershed": value for name, value in after.items()}
    return scores


# ---- command ----


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a positive whole number, got {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loss", choices=LOSSES, default="ce_dice")
    parser.add_argument("--task", choices=TASKS, default="nuclei")
    parser.add_argument("--steps", type=positive, default=300)
    parser.add_argument("--batch", type=positive, default=4, help="crops a step, of all processes")
    parser.add_argument("--size", type=positive, default=96, help="side of a crop, multiple of 4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder of the photographs")
    options = parser.parse_args(arguments)

    # torchrun sets these two.
    rank, ranks = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if options.batch % ranks:
        parser.error(f"--batch: expected a multiple of the {ranks} processes, got {options.batch}")
    try:
        data, test = load(TRAIN, options.data), load(TEST, options.data)
    except FileNotFoundError as error:
        parser.error(f"--data: {error.filename} is not there")
    side = min(data.image.shape[2:])
    if options.size % 4 or options.size > side:
        parser.error(f"--size: expected a multiple of 4 up to {side}, got {options.size}")

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", rank) if gpu else torch.device("cpu")
    group = None
    if ranks > 1:
        dist.init_process_group("nccl" if gpu else "gloo")
        group = dist.group.WORLD
    model = train(
        LOSSES[options.loss](group),
        training_layers(data, options.task, options.loss),
        steps=options.steps,
        batch=options.batch,
        size=options.size,
        seed=options.seed,
        device=device,
        half=gpu,
        group=group,
        progress=rank == 0,
    )
    scores = evaluate(predict(model, test.image), test.instances, options.task)
    if rank == 0:
        print("  ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    if group is not None:
        dist.destroy_process_group()
    return scores


if __name__ == "__main__":
    main()
