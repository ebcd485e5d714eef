"""Where a loss of segloss_core spends its time, by torch's profiler, on one thread.

    python -m benchmarks.operations "Lovász softmax"

prints the operations of forward and backward for every full-size workload of that name.
"""

import sys

import torch
from torch.profiler import ProfilerActivity, profile

from .cases import OURS, cases
from .measure import step


def main(name: str) -> None:
    torch.set_num_threads(1)
    for case in cases(quick=False, device="cpu"):
        if case.name != name:
            continue
        step(case.calls[OURS], case.workload.z)  # to warm up
        with profile(activities=[ProfilerActivity.CPU]) as found:
            step(case.calls[OURS], case.workload.z)
        print(f"{case.name}, {case.workload.name}")
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=12))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
