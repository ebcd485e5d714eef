"""Another checkout beside this one: what forward and backward of our losses take in both, in turn.

    git worktree add ../before 1ce65cd
    python -m benchmarks.before ../before

prints for some losses, on one thread, the median and the range of five runs of each.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

ROOT = Path(__file__).parents[1]
RUNS = 5
LOSSES = ("BCE", "focal", "Dice", "CE")


def measure() -> dict[str, float]:
    """Milliseconds of the losses of the segloss_core that is imported."""
    import torch

    from benchmarks.cases import OURS, cases

    torch.set_num_threads(1)
    found = {}
    for case in cases(quick=False, device="cpu"):
        name = f"{case.name} {case.workload.name}"
        if case.name not in LOSSES or name in found:
            continue
        times = []
        for _ in range(4 if case.workload.z.numel() > 2**20 else 60):
            z = case.workload.z.detach().requires_grad_()
            start = perf_counter()
            case.calls[OURS](z).backward()
            times.append(1000 * (perf_counter() - start))
        found[name] = median(times[1:])
    return found


def main(folder: Path) -> None:
    times: dict[str, list[list[float]]] = {}
    for run in range(2 * RUNS):
        here = (folder, ROOT)[run % 2]
        environment = {**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"}
        # -P: what is imported is of the checkout that is measured, not what lies beside this file.
        command = [sys.executable, "-P", __file__, "--measure"]
        done = subprocess.run(
            command, cwd=here, env=environment, stdout=subprocess.PIPE, check=True
        )
        for name, time in json.loads(done.stdout).items():
            times.setdefault(name, [[], []])[run % 2].append(time)
    for name, both in times.items():
        cells = (f"{median(x):.3g} ({min(x):.3g}–{max(x):.3g})" for x in both)
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["--measure"]:
        print(json.dumps(measure()))
    elif len(sys.argv) == 2:
        main(Path(sys.argv[1]).resolve())
    else:
        sys.exit(__doc__)
