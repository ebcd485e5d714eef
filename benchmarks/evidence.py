"""What a trained network makes of every loss: the experiment behind the book's advice.

    python benchmarks/evidence.py --data DIR     # trains what is not there yet, resumes
    python benchmarks/evidence.py --collect      # writes book/data/evidence.json and evidence/
    python benchmarks/evidence.py --summary      # prints the tables

The U-Net of examples/train_nuclei.py learns four tasks from 70 photographs with every loss, is read
at several steps of one run, gets its threshold on 20 others and its scores on 70 more.

"nuclei": foreground, with a gap between nuclei that touch. "border": the band along which two
nuclei lie side by side, a rare class. "three": background, interior and border, one softmax; its
scores are those of the border. "centres": a disc of radius 2 in the middle of each nucleus.
"flipped": the border, learned from labels of which one in twenty is wrong. "edges": "nuclei" once
more, with losses and measures of the edge.

The learning rate is constant after a warm-up, and what is read is a mean of the weights over the
last steps, so that every reading is that of a finished network and a longer run begins with the
shorter one. A run is a task, a loss and a seed; what it found is appended to RUNS when it ends.

On one machine a run repeats to 0.002 in every share. Another machine rounds in another way, and a
run there is a new draw, as with another seed: nine runs moved by up to 0.04 after 300 steps, and by
up to 0.01 after 1000.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import platform
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from datetime import datetime, timezone
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

import segloss_core
from segloss_core import (
    BalancedCrossEntropyLoss,
    BoundaryLoss,
    CombinedLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    HausdorffLoss,
    JaccardLoss,
    LovaszHingeLoss,
    LovaszSoftmaxLoss,
    TverskyLoss,
    WeightedCrossEntropyLoss,
    boundary_iou,
    hausdorff_distance,
    surface_dice,
)

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT), str(ROOT / "examples")]
from benchmarks.__main__ import hardware  # noqa: E402
from train_nuclei import (  # noqa: E402
    PIXEL_WEIGHTS,
    Crops,
    Nuclei,
    UNet,
    border,
    load,
    object_scores,
    predict,
    separate,
    watershed,
)

INDEX = ROOT / "benchmarks" / "evidence.csv"
RUNS = ROOT / "_build" / "evidence"  # what is done, and how to go on with it
RESULT = ROOT / "book" / "data" / "evidence.json"
PARTS = ("train", "val", "test")

SEEDS = (0, 1, 2)
STEPS = (300, 1000, 3000)
SETTINGS: dict[str, Any] = {"rate": 0.005, "warm_up": 50, "eta": 8}
#: Crops a step, and their side: larger where borders, which are rare, must be among them.
CROPS = {
    **{task: (4, 64) for task in ("nuclei", "centres", "edges")},
    **{task: (4, 96) for task in ("border", "three", "flipped")},
}
#: The last step of "ce, then Lovász", and the step at which the loss changes.
REFINED = {300: 200, 1000: 667}

#: The picture strip: a corner of a photograph of the book, which is in none of the parts.
STRIP = {"photograph": "nuclei_10", "top": 112, "left": 16, "side": 128}
#: Its picture is drawn after so many steps, or at the end of a shorter run.
PICTURED = 1000


# ---- photographs ----


def names_of(part: str) -> list[str]:
    with INDEX.open(encoding="utf-8") as file:
        return [row["name"] for row in csv.DictReader(file) if row["name"].startswith(part + "_")]


def missing(folder: Path) -> list[Path]:
    names = [name for part in PARTS for name in names_of(part)]
    files = [folder / f"{name}_{kind}.png" for name in names for kind in ("image", "label")]
    return [file for file in files if not file.is_file()]


def stretch(image: Tensor) -> Tensor:
    """Intensities from 0 at the 1st to 1 at the 99.8th percentile of each photograph."""
    flat = image.flatten(1)
    low, high = (torch.quantile(flat, q, 1).view(-1, 1, 1, 1) for q in (0.01, 0.998))
    return ((image - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)


@lru_cache
def photographs(folder: Path, part: str) -> Nuclei:
    image, instances = load(names_of(part), folder)
    return Nuclei(stretch(image), instances)


# ---- tasks ----


def three(instances: Tensor) -> Tensor:
    """Class ids: 0 background, 1 interior, 2 border."""
    return torch.where(border(instances), 2, (separate(instances) > 0).long())


def centres(instances: Tensor) -> Tensor:
    """A disc of radius 2 round the centre of mass of every nucleus."""
    discs = torch.zeros(instances.shape, dtype=torch.bool)
    rows, columns = torch.meshgrid(*map(torch.arange, instances.shape[2:]), indexing="ij")
    for plane, numbers in zip(discs, instances.squeeze(1).numpy(), strict=True):
        present = np.unique(numbers[numbers > 0])
        for row, column in ndimage.center_of_mass(numbers > 0, numbers, present):
            plane |= (rows - round(row)) ** 2 + (columns - round(column)) ** 2 <= 4
    return discs


def foreground(instances: Tensor) -> Tensor:
    return separate(instances) > 0


TASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "nuclei": foreground,
    "border": border,
    "three": three,
    "centres": centres,
    "flipped": border,
    "edges": foreground,
}

#: The share of training pixels whose label is turned over; validation and test keep theirs.
FLIPPED = {"flipped": 0.05}


@lru_cache
def targets(folder: Path, part: str, task: str) -> Tensor:
    return TASKS[task](photographs(folder, part).instances)


@lru_cache
def training_layers(folder: Path, task: str, pixel_weight: str | None) -> dict[str, Tensor]:
    data = photographs(folder, "train")
    target = targets(folder, "train", task)
    if task in FLIPPED:
        draw = torch.rand(target.shape, generator=torch.Generator().manual_seed(0))
        target = target ^ (draw < FLIPPED[task])
    layers = {"image": data.image, "target": target}
    if pixel_weight is not None:
        layers["pixel_weight"] = PIXEL_WEIGHTS[pixel_weight](data.instances)
    return layers


# ---- losses ----


def with_ce(loss: nn.Module, **options: Any) -> nn.Module:
    return CombinedLoss({"ce": (0.5, CrossEntropyLoss(**options)), "other": (0.5, loss)})


def and_edges(region: nn.Module, edges: nn.Module, share: float) -> nn.Module:
    return CombinedLoss({"region": (1.0, region), "edges": (share, edges)})


#: The two maps weigh the pixels of cross entropy.
WEIGHED = {"both_shores": "weight_map", "gap_map": "gap_map"}

BINARY: dict[str, Callable[[], nn.Module]] = {
    "ce": CrossEntropyLoss,
    "weighted_ce": lambda: WeightedCrossEntropyLoss(beta=10.0),
    "balanced_ce": BalancedCrossEntropyLoss,
    "balanced_ce_image": lambda: BalancedCrossEntropyLoss(per_image=True),
    "focal": lambda: FocalLoss(gamma=2.0),
    "focal_alpha": lambda: FocalLoss(alpha=0.25, gamma=2.0),
    "both_shores": CrossEntropyLoss,
    "gap_map": CrossEntropyLoss,
    "dice": DiceLoss,
    "dice_image": lambda: DiceLoss(per_image=True),
    "jaccard": JaccardLoss,
    "tversky": lambda: TverskyLoss(alpha=0.3, beta=0.7),
    "tversky_precise": lambda: TverskyLoss(alpha=0.7, beta=0.3),
    "lovasz": LovaszHingeLoss,
    "ce_then_lovasz": CrossEntropyLoss,  # and LovaszHingeLoss in the last third
    "ce_dice": lambda: with_ce(DiceLoss()),
    "ce_tversky": lambda: with_ce(TverskyLoss(alpha=0.3, beta=0.7)),
    "ce_lovasz": lambda: with_ce(LovaszHingeLoss()),
    "top_k": lambda: CrossEntropyLoss(top_k=0.1),
    "boundary": BoundaryLoss,
    "ce_boundary": lambda: and_edges(CrossEntropyLoss(), BoundaryLoss(), 0.1),
    "dice_boundary": lambda: and_edges(DiceLoss(), BoundaryLoss(), 0.1),
    "ce_hausdorff": lambda: and_edges(CrossEntropyLoss(), HausdorffLoss(), 0.01),
}


SOFTMAX: dict[str, Callable[[], nn.Module]] = {
    "ce": lambda: CrossEntropyLoss(mode="multiclass"),
    # Weights 1, 1 and 10, which the mean divides by.
    "weighted_ce": lambda: CrossEntropyLoss(
        mode="multiclass", weight=torch.tensor([1.0, 1.0, 10.0])
    ),
    "focal": lambda: FocalLoss(mode="multiclass", gamma=2.0),
    "dice": lambda: DiceLoss(mode="multiclass"),
    "jaccard": lambda: JaccardLoss(mode="multiclass"),
    "tversky": lambda: TverskyLoss(mode="multiclass", alpha=0.3, beta=0.7),
    "lovasz": LovaszSoftmaxLoss,
    "ce_dice": lambda: with_ce(DiceLoss(mode="multiclass"), mode="multiclass"),
}


# ---- the plan ----


class Job(NamedTuple):
    task: str
    loss: str
    seed: int
    steps: int


MAPS_TOO = ("gap_map", "both_shores")
MAIN = (
    *("ce", "dice", "ce_dice", "focal", "lovasz", "tversky"),
    *("weighted_ce", "balanced_ce", "jaccard"),
)

EDGES = ("ce", "dice", "ce_dice", "boundary", "ce_boundary", "dice_boundary", "ce_hausdorff")

#: Task, losses, last step. What matters most comes first; a longer run goes on with a shorter one.
PLAN: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("nuclei", (*MAIN[:3], *MAPS_TOO, *MAIN[3:]), 300),
    ("border", ("ce",), 1000),
    ("centres", ("ce", "ce_dice", "dice", "focal", "weighted_ce", "tversky"), 300),
    ("nuclei", ("ce_then_lovasz", "dice_image", "balanced_ce_image"), 300),
    ("centres", ("ce", "ce_dice", "dice"), 1000),
    ("centres", ("lovasz", "balanced_ce"), 300),
    ("border", ("ce_dice", "dice", "focal", "tversky", "weighted_ce"), 1000),
    ("nuclei", ("ce", "dice", "ce_dice", "gap_map", "ce_then_lovasz"), 1000),
    ("three", ("ce", "ce_dice", "dice"), 1000),
    ("nuclei", ("both_shores", *MAIN[3:], "dice_image", "balanced_ce_image"), 1000),
    ("border", ("lovasz", "balanced_ce", "jaccard"), 1000),
    ("centres", ("focal", "tversky", "weighted_ce", "lovasz", "balanced_ce", "jaccard"), 1000),
    ("three", ("weighted_ce", "focal", "tversky", "lovasz", "jaccard"), 1000),
    ("flipped", ("ce", "focal", "dice", "top_k"), 1000),
    ("border", ("top_k",), 1000),
    ("edges", EDGES, 1000),
    ("nuclei", ("ce", "gap_map", "dice", "ce_dice"), 3000),
    ("border", ("ce", "ce_dice", "dice"), 3000),
    ("nuclei", ("ce_lovasz", "tversky_precise"), 1000),
    ("centres", ("ce", "ce_dice", "dice"), 3000),
    ("border", ("ce_lovasz", "tversky_precise", "focal_alpha"), 1000),
    ("border", ("focal", "tversky", "weighted_ce"), 3000),
    ("border", ("ce_then_lovasz", "ce_tversky", "balanced_ce_image", "dice_image"), 1000),
)


def plan() -> list[Job]:
    """Every run, in the order of the queue."""
    return [
        Job(task, loss, seed, steps)
        for task, losses, steps in PLAN
        for loss in losses
        for seed in SEEDS
    ]


def readings(job: Job) -> list[int]:
    """The steps at which a run is read; one that refines has no earlier state of its own."""
    if job.loss == "ce_then_lovasz":
        return [job.steps]
    return [step for step in STEPS if step <= job.steps]


# ---- training ----


def settle(mean: Tensor, new: Tensor, count: Tensor) -> Tensor:
    """The mean of the weights over about the last 1/(eta + 1) of all steps so far."""
    eta = SETTINGS["eta"]
    return mean + (new - mean) * (eta + 1) / (count + 1 + eta)


def train(job: Job, folder: Path, state: Path | None = None) -> Iterator[tuple[int, nn.Module]]:
    """Train, and yield each step of `readings(job)` with the network there.

    With `state`, a run goes on where that file was left, and leaves it at its end.
    """
    rate, warm_up = SETTINGS["rate"], SETTINGS["warm_up"]
    share, size = CROPS[job.task]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    softmax = job.task == "three"
    layers = training_layers(folder, job.task, WEIGHED.get(job.loss))
    # One number of crops for all lengths, so that a longer run begins with the shorter one.
    crops = Crops(layers, 10**6, size, job.seed)
    torch.manual_seed(job.seed)
    model = UNet(outputs=3 if softmax else 1).to(device)
    average = AveragedModel(model, avg_fn=settle)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    parts = {"model": model, "average": average, "optimizer": optimizer}
    begin = 0
    if state is not None and state.is_file():
        saved = torch.load(state, map_location=device)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        begin = saved["step"]
    criterion = (SOFTMAX if softmax else BINARY)[job.loss]().to(device)
    for step in range(begin, job.steps):
        if job.loss == "ce_then_lovasz" and step == REFINED[job.steps]:
            criterion = LovaszHingeLoss()
        chosen = [crops[step * share + i] for i in range(share)]
        batch = {name: torch.stack([c[name] for c in chosen]).to(device) for name in layers}
        image, target = batch.pop("image"), batch.pop("target")
        loss = criterion(model(image), target.squeeze(1) if softmax else target, **batch)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / warm_up)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        if step + 1 in readings(job):
            yield step + 1, average.module
    if state is not None:
        state.parent.mkdir(parents=True, exist_ok=True)
        saved = {name: part.state_dict() for name, part in parts.items()}
        torch.save(saved | {"step": job.steps}, state)


# ---- scores ----

#: Logits are counted in bins of 1/128 between -32 and 32; one edge is p = 1/2.
EDGES = torch.arange(-32, 32, 1 / 128, dtype=torch.float64)
HALF = len(EDGES) // 2
RECALLS = np.arange(1, 51) / 50
#: Merges against Dice over these thresholds, for these.
CUTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
CUT = {("nuclei", loss) for loss in ("ce", "both_shores", "gap_map", "ce_dice")}


def one_against_rest(logits: Tensor) -> Tensor:
    """The logit of the last class of a softmax against all others; a single one as it is."""
    if logits.shape[1] == 1:
        return logits
    return logits[:, -1:] - logits[:, :-1].logsumexp(1, keepdim=True)


class Counts:
    """How many positive and negative pixels have a logit in each bin, and what follows."""

    def __init__(self, z: Tensor, y: Tensor) -> None:
        bins = ((z.flatten().double() + 32) * 128).floor().clamp(0, len(EDGES) - 1).long()
        both = torch.bincount(bins + len(EDGES) * y.flatten().long(), minlength=2 * len(EDGES))
        self.negative, self.positive = both.view(2, -1).double().numpy()
        # With the threshold at the lower edge of a bin:
        self.tp, self.fp = (n[::-1].cumsum()[::-1] for n in (self.positive, self.negative))
        self.total = self.positive.sum()
        self.precision = self.tp / np.maximum(self.tp + self.fp, 1)
        self.recall = self.tp / max(self.total, 1)
        self.iou = self.tp / np.maximum(self.total + self.fp, 1)

    def average_precision(self) -> float:
        return float((self.precision * self.positive).sum() / max(self.total, 1))

    def curve(self) -> list[float]:
        """The precision at the highest threshold that reaches each of RECALLS."""
        return [float(self.precision[self.recall >= r - 1e-12][-1]) for r in RECALLS]

    def reliability(self, bins: int = 15) -> list[list[float]]:
        """Mean p, share of positives, share of pixels, in equal bins of p that hold any."""
        p = torch.sigmoid(EDGES + 1 / 256).numpy()
        where = np.minimum((p * bins).astype(int), bins - 1)
        pixels = self.positive + self.negative
        n, of_p, hits = (np.bincount(where, x, bins) for x in (pixels, pixels * p, self.positive))
        return [[float(of_p[b] / n[b]), float(hits[b] / n[b]), float(n[b] / n.sum())]
                for b in range(bins) if n[b]]  # fmt: skip

    def calibration_error(self) -> float:
        return sum(share * abs(p - found) for p, found, share in self.reliability())


def iou_of_images(mask: Tensor, y: Tensor) -> list[float]:
    """Of each photograph; 1 where neither has a pixel."""
    inter, union = (x.flatten(1).sum(1).double() for x in (mask & y, mask | y))
    return torch.where(union > 0, inter / union.clamp(min=1), 1.0).tolist()


def iou(mask: Tensor, y: Tensor) -> float:
    return float((mask & y).sum() / (mask | y).sum().clamp(min=1))


def found(mask: Tensor, instances: Tensor) -> list[float]:
    """The share of nuclei more than half covered: of the smallest third, and of the others."""
    covered, sizes = [], []
    for m, numbers in zip(mask.flatten(1), instances.flatten(1), strict=True):
        size = torch.bincount(numbers)
        inside = torch.bincount(numbers, m.double(), minlength=len(size))
        present = size[1:] > 0
        sizes.append(size[1:][present])
        covered.append((2 * inside > size)[1:][present])
    size, hit = torch.cat(sizes), torch.cat(covered).double()
    small = size <= size.double().quantile(1 / 3)
    return [float(hit[small].mean()), float(hit[~small].mean())]


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def logits_of(model: nn.Module, image: Tensor) -> Tensor:
    """A few photographs at a time and channels last, in two thirds of the time."""
    model = model.to(memory_format=torch.channels_last)
    few = (x.contiguous(memory_format=torch.channels_last) for x in image.split(2))
    return torch.cat([predict(model, x) for x in few])


def evaluate(model: nn.Module, folder: Path, task: str, cuts: bool = False) -> dict[str, Any]:
    """The scores of a network on the test photographs, and its curves."""
    logits = {part: logits_of(model, photographs(folder, part).image) for part in ("val", "test")}
    y = {part: targets(folder, part, task) for part in logits}
    rare = {part: y[part] == 2 if task == "three" else y[part] for part in logits}
    z = {part: one_against_rest(logits[part]) for part in logits}
    counts = {part: Counts(z[part], rare[part]) for part in logits}
    best, test = int(counts["val"].iou.argmax()), counts["test"]
    half, tuned = z["test"] >= 0, z["test"] >= EDGES[best]
    if task == "three":
        half = logits["test"].argmax(1, keepdim=True) == 2
    points = {"half": half, "val": tuned}
    scores: dict[str, Any] = {
        "ap": test.average_precision(),
        "ece": test.calibration_error(),
        "threshold_val": float(torch.sigmoid(EDGES[best])),
        "logit_val": float(EDGES[best]),
    }
    for name, mask in points.items():
        j, hits = iou(mask, rare["test"]), float((mask & rare["test"]).sum())
        scores |= {
            f"iou_{name}": j,
            f"dice_{name}": 2 * j / (1 + j),
            f"precision_{name}": hits / max(float(mask.sum()), 1),
            f"recall_{name}": hits / float(rare["test"].sum()),
        }
    instances = photographs(folder, "test").instances
    if task == "three":
        classes = logits["test"].argmax(1, keepdim=True)
        scores["mean_iou"] = float(np.mean([iou(classes == c, y["test"] == c) for c in range(3)]))
        scores |= objects(classes == 1, y["test"] == 1, instances)
    if task in ("nuclei", "edges"):
        scores |= objects(half, rare["test"], instances)
        _, f1, merges = of_objects(tuned, rare["test"], instances)
        scores |= {"object_f1_val": f1, "merges_val": merges}
        scores["found_small"], scores["found_other"] = found(half, instances)
    if task == "edges":
        scores |= edges(half, rare["test"])
    scores |= {
        "precisions": test.curve(),
        "reliability": test.reliability(),
        **{f"iou_images_{n}": iou_of_images(m, rare["test"]) for n, m in points.items()},
    }
    if cuts:
        scores["cuts"] = [
            [cut, *of_objects(z["test"] >= logit(cut), rare["test"], instances)] for cut in CUTS
        ]
    return {name: rounded(value) for name, value in scores.items()}


def edges(mask: Tensor, y: Tensor) -> dict[str, float]:
    """Measures of the edge, means of the photographs; of HD95 the median, as it may be infinite."""
    far = hausdorff_distance(mask, y, percentile=95, reduction="none")
    return {
        "boundary_iou": float(boundary_iou(mask, y, width=2)),
        "surface_dice": float(surface_dice(mask, y, tolerance=1)),
        "hd95": float(far.median()),
    }


def of_objects(mask: Tensor, y: Tensor, instances: Tensor) -> tuple[float, float, int]:
    """Dice coefficient, object F1 and merges."""
    j, scores = iou(mask, y), object_scores(mask, instances)
    return 2 * j / (1 + j), scores["object_f1"], int(scores["merged"])


def objects(mask: Tensor, y: Tensor, instances: Tensor) -> dict[str, float]:
    """Object F1, merges and IoU, before and after the watershed, whose smoothing was the best of 1,
    1.5, 2, 2.5 and 3 on the training annotation."""
    after = watershed(mask)
    scores = {"iou_watershed": iou(after, y)}
    for name, picture in (("", mask), ("_watershed", after)):
        _, f1, merges = of_objects(picture, y, instances)
        scores |= {f"object_f1{name}": f1, f"merges{name}": merges}
    return scores


def rounded(value: Any) -> Any:
    """Four digits after the point, and in the many numbers of a curve three that count."""
    if isinstance(value, list):
        return [rounded(x) if isinstance(x, list) else float(f"{x:.3g}") for x in value]
    return round(value, 4) if isinstance(value, float) else value


def strip(model: nn.Module) -> str:
    """The probabilities on the strip's corner, as text: in steps of 1/51, of which a picture shows
    no less than of 1/255, and which take two thirds of the room."""
    image = stretch(load([STRIP["photograph"]]).image)
    p = torch.sigmoid(one_against_rest(predict(model, image)))[0, 0]
    top, left, side = (STRIP[name] for name in ("top", "left", "side"))
    corner = p[top : top + side, left : left + side]
    return as_text((51 * corner).round().mul(5).to(torch.uint8).numpy())


def as_text(pixels: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(pixels.tobytes(), 9)).decode()


def run(job: Job, folder: Path, done: frozenset[int], state: Path | None) -> list[dict[str, Any]]:
    """Train, and return the scores of every reading that is not in `done`."""
    records = []
    for step, model in train(job, folder, state):
        if step in done:
            continue
        record = {"task": job.task, "loss": job.loss, "seed": job.seed, "step": step}
        record |= evaluate(model, folder, job.task, (job.task, job.loss) in CUT)
        if job.seed == SEEDS[0]:
            record["strip"] = strip(model)
        records.append(record)
    return records


# ---- the queue ----


Readings = dict[tuple[str, str, int, int], dict[str, Any]]


def by_key(records: Iterable[dict[str, Any]]) -> Readings:
    return {(r["task"], r["loss"], r["seed"], r["step"]): r for r in records}


def committed(result: Path = RESULT) -> Readings:
    """The readings that `collect` wrote, if with the settings of today."""
    if not result.is_file():
        return {}
    found = json.loads(result.read_text(encoding="utf-8"))
    settings, crops = (found["about"][name] for name in ("settings", "crops"))
    if settings != SETTINGS or any(tuple(crops[t]) != CROPS.get(t) for t in crops):
        return {}
    readings = by_key(found["runs"])
    for path in sorted(result.with_suffix("").glob("*.json")):
        drawn = json.loads(path.read_text(encoding="utf-8"))
        task, loss = path.stem.split(".")
        for curve in drawn["curves"]:
            readings[task, loss, curve["seed"], curve["step"]] |= curve
        pixels = np.array(Image.open(path.with_suffix(".png")))
        readings[task, loss, SEEDS[0], drawn["pictured"]]["strip"] = as_text(pixels)
    return readings


def read(runs: Path) -> Readings:
    """Every reading so far: the committed ones, and those in the folder of runs."""
    file = runs / "runs.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return committed() | by_key(map(json.loads, lines))


def waiting(jobs: Sequence[Job], runs: Path) -> list[tuple[Job, frozenset[int]]]:
    """The runs that lack a reading, each with the readings that it has."""
    there = read(runs)
    todo = []
    for job in jobs:
        done = frozenset(step for step in readings(job) if (*job[:3], step) in there)
        if done != set(readings(job)):
            todo.append((job, done))
    return todo


def work(jobs: Sequence[Job], folder: Path, runs: Path, pool: Executor) -> None:
    """Do all that is waiting, in order, and append what each run found when it ends."""
    todo = waiting(jobs, runs)
    bar = tqdm(total=sum(job.steps for job, _ in todo), unit="step", unit_scale=True)
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / "runs.jsonl").open("a", encoding="utf-8") as file:
        futures = {}
        for job, done in todo:
            state = runs / "states" / f"{job.task}-{job.loss}-{job.seed}.pt"
            if job.loss == "ce_then_lovasz":  # a longer one does not begin with a shorter one
                state = state.with_stem(f"{state.stem}-{job.steps}")
            futures[pool.submit(run, job, folder, done, state)] = job
        for future in as_completed(futures):
            for record in future.result():
                file.write(json.dumps(record) + "\n")
            file.flush()
            job = futures[future]
            bar.update(job.steps)
            bar.set_postfix_str(" ".join(map(str, job)))


# ---- the results ----

#: What a run holds beside its scores: lists, which are drawn, and its strip.
CURVES = ("precisions", "reliability", "iou_images_half", "iou_images_val", "cuts")


def complete(runs: Path) -> list[dict[str, Any]]:
    """The readings that are there for all seeds, in the order of the plan."""
    there = read(runs)
    order = dict.fromkeys((j.task, j.loss) for task in TASKS for j in plan() if j.task == task)
    groups = [(task, loss, step) for task, loss in order for step in STEPS]
    keys = [[(task, loss, seed, step) for seed in SEEDS] for task, loss, step in groups]
    return [there[key] for group in keys if all(k in there for k in group) for key in group]


def about(earlier: Sequence[str] = ()) -> dict[str, Any]:
    """How the runs were made; `earlier` are the machines of those that are committed."""
    machine = hardware("cuda" if torch.cuda.is_available() else "cpu")["name"]
    packages = {"torch": torch, "numpy": np, "scipy": scipy, "segloss_core": segloss_core}
    return {
        "written_by": "benchmarks/evidence.py",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "versions": {"python": platform.python_version()}
        | {name: package.__version__ for name, package in packages.items()},
        "machines": sorted({machine, *earlier}),
        "data": "BBBC038v1, stage1_train; ids in benchmarks/evidence.csv",
        "split": {part: len(names_of(part)) for part in PARTS},
        "seeds": SEEDS,
        "steps": STEPS,
        "settings": SETTINGS,
        "crops": CROPS,
        "refined": REFINED,
        "parameters": sum(p.numel() for p in UNet().parameters()),
        "recalls": RECALLS.tolist(),
        "cut_columns": ["threshold", "dice", "object_f1", "merges"],
        "strip": STRIP,
    }


def collect(runs: Path, result: Path = RESULT) -> None:
    """Write what is complete: scores to one file; beside it for each task and loss its curves, and
    the strip of the first seed."""
    records = complete(runs)
    rows = [{k: v for k, v in r.items() if k not in (*CURVES, "strip")} for r in records]
    before = json.loads(result.read_text(encoding="utf-8"))["about"] if result.is_file() else {}
    write(result, {"about": about(before.get("machines", ())), "runs": rows})
    for task, loss in dict.fromkeys((r["task"], r["loss"]) for r in records):
        own = [r for r in records if (r["task"], r["loss"]) == (task, loss)]
        # One picture of each: they are most of what a notebook takes along.
        (drawn,) = [r for r in own if "strip" in r and r["step"] == min(PICTURED, own[-1]["step"])]
        kept = ("seed", "step", *CURVES)
        path = result.with_suffix("") / f"{task}.{loss}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(
            path,
            {
                "pictured": drawn["step"],
                "curves": [{k: r[k] for k in kept if k in r} for r in own],
            },
        )
        pixels = np.frombuffer(zlib.decompress(base64.b64decode(drawn["strip"])), np.uint8)
        picture = Image.fromarray(pixels.reshape(STRIP["side"], -1))
        picture.save(path.with_suffix(".png"), optimize=True)


def write(path: Path, parts: dict[str, Any]) -> None:
    """As JSON, a line for each record."""
    lines = []
    for name, part in parts.items():
        if part and isinstance(part, list) and isinstance(part[0], dict):
            each = ",\n".join(json.dumps(record, separators=(",", ":")) for record in part)
            lines.append(f'"{name}": [\n{each}\n]')
        else:
            lines.append(f'"{name}": {json.dumps(part, separators=(",", ":"))}')
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


COLUMNS = ("ap", "iou_half", "iou_val", "ece", "threshold_val")
OBJECTS = ("object_f1", "merges", "object_f1_watershed", "merges_watershed")


def summary(records: Sequence[dict[str, Any]]) -> str:
    """For each task and step a table: mean of the seeds, and lowest and highest."""
    groups: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = {}
    for r in records:
        groups.setdefault((r["task"], r["step"]), {}).setdefault(r["loss"], []).append(r)
    parts = []
    for (task, step), losses in sorted(groups.items()):
        first = next(iter(losses.values()))[0]
        columns = [c for c in (*COLUMNS, *OBJECTS) if c in first]
        rows = [["loss", "seeds", *columns]]
        for loss, each in losses.items():
            rows.append([loss, str(len(each)), *(cell([r[c] for r in each]) for c in columns)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)) for row in rows]
        parts.append("\n".join([f"{task}, {step} steps", *(line.rstrip() for line in table)]))
    return "\n\n".join(parts)


def cell(values: Sequence[float]) -> str:
    """A mean with its range: .812 (.79-.83) for shares, 712 (690-730) for counts."""
    digits = 0 if max(values) > 1 else 3
    mean, low, high = (f"{x:.{digits}f}" for x in (np.mean(values), min(values), max(values)))
    return f"{mean} ({low}-{high})"


# ---- command ----


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a positive whole number, got {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="train on the 160 photographs in this folder")
    what.add_argument("--collect", action="store_true", help="write book/data/evidence.json")
    what.add_argument("--summary", action="store_true", help="print the tables of the runs so far")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of what is done")
    parser.add_argument("--processes", type=positive, default=2, help="runs side by side")
    parser.add_argument("--threads", type=positive, default=1, help="threads of each")
    options = parser.parse_args(arguments)
    if options.summary:
        print(summary(list(read(options.runs).values())))
        return
    if options.collect:
        collect(options.runs)
        return
    absent = missing(options.data)
    if absent:
        parser.error(
            f"--data: {absent[0]} is not there, nor are {len(absent) - 1} others. The photographs "
            "are in BBBC038v1 of the Broad Bioimage Benchmark Collection, stage1_train, under the "
            f"ids in {INDEX.relative_to(ROOT)}; each is stored under the name that stands there."
        )
    pool = ProcessPoolExecutor(
        options.processes,
        get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(options.threads,),
    )
    with pool:
        work(plan(), options.data, options.runs, pool)


if __name__ == "__main__":
    main()
