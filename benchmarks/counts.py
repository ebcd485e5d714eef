"""Count what a loss asks of a GPU: launches, memory traffic and waits of forward and backward.

    python -m benchmarks.counts [--json FILE]

prints the table, in seconds and on any machine: operations are counted on the meta device, which
knows shapes and computes nothing. A launch is an operation of torch that is no view (a sort counts
as one). Traffic is what all of them read and write, in units of the logits. A wait is a value that
Python asks for, so that it has to wait until the GPU has caught up.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from tqdm import tqdm

from .cases import OURS, Call, Workload, cases

RESULT = Path(__file__).parent / "results" / "counts" / "gpu.json"
#: Operations that put nothing on the queue of a GPU.
FREE = {
    *("detach", "alias", "empty", "empty_like", "empty_strided", "new_empty", "lift_fresh"),
    *("promote_types", "scalar_tensor", "_unsafe_view"),
}
#: A smaller workload asks for the same launches.
LARGE = 2**18
#: Operations whose result Python must see: a number, or as many indices as there are.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"}


class Count(TorchDispatchMode):
    """What runs inside of it, backward included."""

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.bytes = self.waits = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func._schema.name.partition("::")[2]
        self.waits += name in WAITS  # before the call, which the meta device refuses
        result = func(*args, **(kwargs or {}))
        if not func.is_view and name not in FREE:
            like = name.startswith("new_") or name.endswith("_like")  # only the shape is read
            touched = result if like else (args, kwargs, result)
            tensors = [x for x in tree_leaves(touched) if isinstance(x, Tensor)]
            self.launches += 1
            self.bytes += sum(map(size, tensors))
        return result


def size(x: Tensor) -> int:
    """Bytes in memory, where an expanded dimension stands once."""
    elements = 1
    for length, stride in zip(x.shape, x.stride(), strict=True):
        elements *= length if stride else 1
    return elements * x.element_size()


def count(call: Call, z: Tensor) -> dict[str, Any]:
    """Of forward and backward; a map has no backward."""
    x = z.detach().requires_grad_(z.is_floating_point())
    with Count() as found:
        value = call(x)
        if x.requires_grad:
            value.backward()
    traffic = round(found.bytes / size(z), 1)
    return {"launches": found.launches, "waits": found.waits, "traffic": traffic}


def rows(only: str | None = None) -> list[dict[str, Any]]:
    """Of every loss, and of everybody or of one."""
    found = []
    for case in tqdm(list(cases(quick=False, device="meta")), leave=False):
        if case.workload.z.numel() < LARGE:
            continue
        calls = {(case.name, who): call for who, call in case.calls.items()}
        calls |= {(loss, OURS): call for loss, call in case.variants.items()}
        for (loss, who), call in calls.items():
            if only not in (None, who):
                continue
            row = {"workload": case.workload.name, "loss": loss, "who": who}
            found.append(row | _counted(call, case.workload))
    return found


def _counted(call: Call, work: Workload) -> dict[str, Any]:
    try:
        return count(call, work.z)
    except (RuntimeError, NotImplementedError):  # it asks for a value, and goes on from there
        return {"launches": None, "waits": None, "traffic": None}


def write_table(rows: Iterable[dict[str, Any]]) -> str:
    lines = [
        "# What a loss asks of a GPU",
        "",
        "Counted by `python -m benchmarks.counts`, forward and backward, on the meta device:",
        "launches (operations of torch that are no views; a sort is one), waits for the GPU, and",
        "traffic, the bytes read and written in units of the logits. Where the code depends on",
        "values, only running it could tell: –.",
        "",
        "| workload | loss | whose | launches | waits | traffic |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = ("–" if cell is None else str(cell) for cell in row.values())
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.counts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    arguments = parser.parse_args()
    found = rows()
    print(write_table(found), end="")
    if arguments.json:
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in found)
        arguments.json.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
