"""The measurements as a Markdown table."""

from __future__ import annotations

from typing import Any

OURS = "segloss_core"

# What docs/performance asks for, of the full-size workloads on one thread.
TARGETS: dict[tuple[str, str], float] = {}


def write_table(report: dict[str, Any]) -> str:
    hardware, versions = report["hardware"], report["versions"]
    lines = [
        f"# {hardware['name']}",
        "",
        f"Measured on {report['date']}" + (" (quick)" if report["quick"] else "") + ", "
        f"{hardware['memory_gib']} GiB, "
        + ", ".join(f"{package} {number}" for package, number in versions.items())
        + ".",
        "",
    ]
    rows = report["measurements"]
    for threads in sorted({row["threads"] for row in rows}):
        lines += [f"## {threads} thread{'s' * (threads > 1)}", "", *HEAD]
        cases: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in rows:
            if row["threads"] == threads:
                cases.setdefault((row["workload"], row["case"]), []).append(row)
        lines += [case_line(*key, group) for key, group in cases.items()]
        lines.append("")
    return "\n".join(lines)


HEAD = [
    "| workload | loss | ms | memory | others: time over ours (quartiles), memory |",
    "|---|---|---|---|---|",
]


def case_line(workload: str, case: str, group: list[dict[str, Any]]) -> str:
    ours = next(row for row in group if row["implementation"] == OURS)
    peers = sorted((row for row in group if row is not ours), key=lambda row: row["ratio"])
    others = "; ".join(
        f"{row['implementation']} {row['ratio']:.2f}× "
        f"({row['ratio_low']:.2f}–{row['ratio_high']:.2f}), {row['memory']}"
        for row in peers
    )
    return f"| {workload} | {case} | {ours['median_ms']:.4g} | {ours['memory']} | {others or '–'} |"
