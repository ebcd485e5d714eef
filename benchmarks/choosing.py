"""Compare the losses on two tasks, and write book/data/choosing.json, which a chapter reads.

    python benchmarks/choosing.py

Every loss trains the U-Net of examples/train_nuclei.py with the same settings and three seeds, on
the rare class with two learning rates, and is tested on the fourth photograph. Two runs go side by
side, of one thread each.
"""

from __future__ import annotations

import json
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import segloss_core
from segloss_core import jaccard_index

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "examples"))
from train_nuclei import (  # noqa: E402
    LOSSES,
    TASKS,
    TEST,
    TRAIN,
    UNet,
    evaluate,
    load,
    object_scores,
    predict,
    train,
    training_layers,
)

RESULT = ROOT / "book" / "data" / "choosing.json"
SEEDS = (0, 1, 2)
SETTINGS: dict[str, Any] = {"steps": 300, "batch": 4, "size": 96}
RATES = {"nuclei": (0.01,), "border": (0.01, 0.003)}
COMPARED = {
    "nuclei": ("ce", "weight_map", "gap_map", "focal", "dice", "lovasz", "ce_dice"),
    "border": (
        *("ce", "weighted_ce", "balanced_ce", "focal"),
        *("dice", "tversky", "lovasz", "ce_dice"),
    ),
}
THRESHOLDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
    *(0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999),
)


def run(job: tuple[str, float, str, int]) -> dict[str, Any]:
    """Train and test once; `sweep` holds the scores at each of THRESHOLDS."""
    task, rate, loss, seed = job
    torch.set_num_threads(1)
    layers = training_layers(load(TRAIN), task, loss)
    model = train(LOSSES[loss](None), layers, rate=rate, seed=seed, **SETTINGS)
    test = load(TEST)
    logits, target = predict(model, test.image), TASKS[task](test.instances)
    sweep: dict[str, list[float]] = {}
    for threshold in THRESHOLDS:
        mask = logits > torch.tensor(threshold).logit()
        scores = {"iou": float(jaccard_index(mask, target))}
        if task == "nuclei":
            scores |= object_scores(mask, test.instances)
        for name, value in scores.items():
            sweep.setdefault(name, []).append(round(value, 4))
    scores = {k: round(v, 4) for k, v in evaluate(logits, test.instances, task).items()}
    return {"task": task, "rate": rate, "loss": loss, "seed": seed, **scores, "sweep": sweep}


def jobs() -> list[tuple[str, float, str, int]]:
    return [
        (task, rate, loss, seed)
        for task, losses in COMPARED.items()
        for rate in RATES[task]
        for loss in losses
        for seed in SEEDS
    ]


def write(runs: list[dict[str, Any]]) -> None:
    about = {
        "written_by": "benchmarks/choosing.py",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "segloss_core": segloss_core.__version__,
        },
        "seeds": SEEDS,
        "settings": SETTINGS,
        "rates": RATES,
        "parameters": sum(p.numel() for p in UNet().parameters()),
        "thresholds": THRESHOLDS,
    }
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in about.items()]
    lines.append('"runs": [\n' + ",\n".join(map(json.dumps, runs)) + "\n]")
    RESULT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    with ProcessPoolExecutor(2) as pool:
        write(list(tqdm(pool.map(run, jobs()), total=len(jobs()))))


if __name__ == "__main__":
    main()
