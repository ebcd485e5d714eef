"""Measure segloss_core beside its peers and write benchmarks/results/<machine>.json and .md.

    python -m benchmarks [--quick] [--device cuda]

Times are of forward and backward, everybody in turn in one process; a ratio is a peer's time over
that of segloss_core in the same round. Values are compared before times are taken. All of it is
done in several processes, for in each one buffers lie elsewhere: the spread is theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from tqdm import tqdm

from .table import write_table

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "segmentation_models_pytorch", "monai", "kornia", "scipy", "numpy")
PROCESSES, ROUNDS = 4, 2  # rounds in each process
# Up to so many logits, calls in a row; a round's time is their median.
REPEATS = ((2**18, 20), (2**22, 5), (float("inf"), 1))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small inputs only; nothing written")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--part", help=argparse.SUPPRESS)  # what a child process measures
    arguments = parser.parse_args()
    if arguments.part:
        rows = measure(arguments.part, arguments.quick, arguments.device)
        print(json.dumps(rows, ensure_ascii=False))
        return

    report: dict[str, Any] = {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "hardware": hardware(arguments.device),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "quick": arguments.quick,
        "measurements": [],
    }
    memory = {}
    for row in child("memory", 1, arguments):
        memory[row["case"], row["workload"], row["implementation"]] = row["memory"]
    threads = (1,) if arguments.device == "cuda" else (1, 2)
    for count in threads:
        processes = 2 if arguments.quick else PROCESSES
        runs = [child("time", count, arguments) for _ in range(processes)]
        for rows in zip(*runs, strict=True):
            row = over_processes(rows)
            key = row["case"], row["workload"], row["implementation"]
            report["measurements"].append({**row, "threads": count, "memory": memory.get(key)})
    report["scale"] = child("scale", 1, arguments)
    if arguments.device == "cuda":
        report["hardware"]["copy_gb_per_s"] = child("copy", 1, arguments)[0]["copy_gb_per_s"]

    print(write_table(report))
    if not arguments.quick:
        RESULTS.mkdir(exist_ok=True)
        name = "".join(c if c.isalnum() else "-" for c in report["hardware"]["name"].lower())
        path = RESULTS / "-".join(filter(None, name.split("-")))
        path.with_suffix(".json").write_text(
            json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        )
        path.with_suffix(".md").write_text(write_table(report))
        print(f"written: {path}.json, {path}.md")


def child(part: str, threads: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A process of its own, with its threads bound to cores."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks", "--part", part]
    command += ["--device", arguments.device, *(["--quick"] if arguments.quick else [])]
    bound = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores", "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command, env={**os.environ, **bound}, stdout=subprocess.PIPE, text=True, check=True
    )
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def measure(part: str, quick: bool, device: str) -> list[dict[str, Any]]:
    from . import scale
    from .cases import cases

    if part == "scale":
        return scale.measure(device, (256, 512) if quick else scale.SIZES)
    if part == "copy":
        return [{"copy_gb_per_s": scale.copy_bandwidth()}]
    rows = []
    for case in tqdm(list(cases(quick, device)), desc=part):
        rows += memory_rows(case) if part == "memory" else time_rows(case, device)
    return rows


def memory_rows(case: Any) -> list[dict[str, Any]]:
    from .cases import OURS
    from .measure import peak_memory

    calls = {(case.name, name): call for name, call in case.calls.items()}
    calls |= {(name, OURS): call for name, call in case.variants.items()}
    return [
        {
            "case": name,
            "workload": case.workload.name,
            "implementation": implementation,
            "memory": round(peak_memory(call, case.workload.z), 2),
        }
        for (name, implementation), call in calls.items()
    ]


def time_rows(case: Any, device: str) -> list[dict[str, Any]]:
    """What one process has measured: times, and ratios but for segloss_core."""
    from .cases import OURS
    from .measure import check_values, interleave

    values = check_values(case)
    repeats = next(n for size, n in REPEATS if case.workload.z.numel() < size)
    times = interleave(case, ROUNDS, repeats)
    rows = []
    for name, ours in {case.name: OURS, **{variant: variant for variant in case.variants}}.items():
        for implementation in (ours, *(peer for peer in case.calls if peer != OURS)):
            pairs = zip(times[implementation], times[ours], strict=True)
            is_ours = implementation == ours
            rows.append(
                {
                    "case": name,
                    "loss": case.loss,
                    "workload": case.workload.name,
                    "device": device,
                    "implementation": OURS if is_ours else implementation,
                    "ms": median(times[implementation]),
                    "ratio": None if is_ours else median(theirs / own for theirs, own in pairs),
                    "value": values[implementation],
                }
            )
    return rows


def over_processes(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The same row of several processes: the medians, and the smallest and largest."""
    found: dict[str, Any] = {k: v for k, v in rows[0].items() if k not in ("ms", "ratio")}
    times = [row["ms"] for row in rows]
    found |= {"median_ms": median(times), "low_ms": min(times), "high_ms": max(times)}
    found = {k: round(v, 4) if k.endswith("_ms") else v for k, v in found.items()}
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    for key, choose in (("ratio", median), ("ratio_low", min), ("ratio_high", max)):
        found[key] = round(choose(ratios), 3) if ratios else None
    return found


def hardware(device: str) -> dict[str, Any]:
    import torch

    cores = os.cpu_count()
    memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    processor = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    name = torch.cuda.get_device_name() if device == "cuda" else f"{processor}, {cores} cores"
    return {"name": name, "processor": processor, "cores": cores, "memory_gib": memory}


if __name__ == "__main__":
    main()
