"""The measurements as a Markdown table."""

from __future__ import annotations

from typing import Any

OURS = "segloss_core"
BINARY, SEVERAL, LARGE = "binary 8×1×512×512", "multiclass 4×19×512×512", "1×19×1024×2048"

# What each loss is to reach on one thread: the time of the fastest other over ours, and the memory.
TARGETS: dict[tuple[str, str], tuple[float, float | None]] = {
    (BINARY, "BCE"): (0.9, None),
    (BINARY, "weight-map BCE"): (0.9, None),
    (BINARY, "BCE with pos_weight"): (1.5, None),
    (BINARY, "focal"): (2.5, 2.0),
    (BINARY, "Dice"): (1.2, None),
    (BINARY, "Lovász hinge"): (4.5, None),
    (SEVERAL, "CE"): (1.8, 1.1),
    (SEVERAL, "weighted CE"): (1.8, 1.1),
    (SEVERAL, "weight-map CE"): (1.8, 1.1),
    (SEVERAL, "softmax focal"): (2.0, 1.1),
    (SEVERAL, "Dice"): (2.0, 1.1),
    (SEVERAL, "Jaccard"): (4.0, 1.1),
    (SEVERAL, "Tversky"): (5.0, 1.1),
    (SEVERAL, "Lovász softmax"): (4.5, 2.0),
    (SEVERAL, "Lovász softmax, 4096 bins"): (15.0, None),
    (LARGE, "Lovász softmax"): (4.5, 2.0),
    (LARGE, "Lovász softmax, 4096 bins"): (18.0, None),
    ("512×512, 20 cells", "weight map"): (1.7, None),
    ("512×512, 100 cells", "weight map"): (8.0, None),
    ("512×512, 400 cells", "weight map"): (60.0, None),
    ("noise", "signed distance"): (0.67, None),
    ("blobs", "signed distance"): (0.67, None),
    ("disc", "signed distance"): (0.67, None),
    ("one pixel", "signed distance"): (0.67, None),
    ("2×19×256×512", "boundary"): (10.0, None),
    ("2×19×256×512", "Hausdorff"): (10.0, None),
}

HEAD = [
    "| workload | loss | ms | memory | others: time over ours (range), memory | to reach |",
    "|---|---|---|---|---|---|",
]


def write_table(report: dict[str, Any]) -> str:
    hardware, versions = report["hardware"], report["versions"]
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    lines = [
        f"# {hardware['name']}",
        "",
        f"Measured on {report['date']}, {hardware['memory_gib']} GiB; {packages}.",
        "Memory is the peak above the start in units of the logits, the gradient included; 1 is",
        "the least there can be. Ratios are medians over processes, with their range. Why some",
        "targets are missed: [README](../README.md).",
    ]
    if "copy_gb_per_s" in hardware:
        lines.append(f"A copy moves {hardware['copy_gb_per_s']} GB/s.")
    rows = report["measurements"]
    for threads in sorted({row["threads"] for row in rows}):
        lines += ["", f"## {threads} thread{'s' * (threads > 1)}", "", *HEAD]
        cases: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in rows:
            if row["threads"] == threads:
                cases.setdefault((row["workload"], row["case"]), []).append(row)
        lines += [case_line(*key, group, threads) for key, group in cases.items()]
    return "\n".join(lines) + "\n"


def case_line(workload: str, case: str, group: list[dict[str, Any]], threads: int) -> str:
    ours = next(row for row in group if row["implementation"] == OURS)
    peers = sorted((row for row in group if row is not ours), key=lambda row: row["ratio"])
    others = "; ".join(
        f"{row['implementation']} {row['ratio']:.2f}× "
        f"({row['ratio_low']:.2f}–{row['ratio_high']:.2f})"
        + (f", {row['memory']:.2f}" if row["memory"] is not None else "")
        for row in peers
    )
    cells = [workload, case, f"{ours['median_ms']:.4g}", f"{ours['memory']:.2f}", others or "–"]
    return f"| {' | '.join(cells)} | {verdict(workload, case, ours, peers, threads)} |"


def verdict(
    workload: str, case: str, ours: dict[str, Any], peers: list[dict[str, Any]], threads: int
) -> str:
    """The target and whether it is met; without one, nobody is to be ahead by more than 10 %."""
    if not peers:
        return "–"
    target = next(
        (goal for (place, name), goal in TARGETS.items() if place in workload and name == case),
        None,
    )
    ratio, memory = target if target and threads == 1 else (0.9, None)
    met = peers[0]["ratio"] >= ratio and (memory is None or ours["memory"] <= memory)
    goal = f"≥ {ratio:g}×" + (f", ≤ {memory:g}" if memory is not None else "")
    return f"{goal}: {'met' if met else '**missed**'}"
