"""Whether two runs of the benchmark agree.

    python -m benchmarks.compare first.json second.json

prints how far the ratios of the second run are from those of the first, and those that lie outside
of the spread: whose ranges in the two runs do not overlap.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

KEY = ("threads", "workload", "case", "implementation")


def ratios(report: dict[str, Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows = report["measurements"]
    return {tuple(row[k] for k in KEY): row for row in rows if row["ratio"] is not None}


def compare(first: dict[str, Any], second: dict[str, Any]) -> str:
    others = ratios(second)
    pairs = {key: (row, others[key]) for key, row in ratios(first).items() if key in others}
    changes = [abs(b["ratio"] / a["ratio"] - 1) for a, b in pairs.values()]
    apart = [
        f"{' '.join(map(str, key))}: {a['ratio']}, then {b['ratio']}"
        for key, (a, b) in pairs.items()
        if a["ratio_high"] < b["ratio_low"] or b["ratio_high"] < a["ratio_low"]
    ]
    summary = (
        f"{len(pairs)} ratios: changed by {median(changes):.1%} in the median, {max(changes):.0%} "
        f"at most; {len(apart)} outside of the spread"
    )
    return "\n".join([summary, *apart])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(compare(*(json.loads(Path(name).read_text()) for name in sys.argv[1:])))
