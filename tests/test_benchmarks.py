"""The benchmark compares like with like, and its tables say what was measured."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import counts, measure, scale, textbook
from benchmarks.__main__ import over_processes
from benchmarks.cases import OURS, Case, Workload, cases
from benchmarks.compare import compare
from benchmarks.measure import check_values, interleave, peak_memory
from benchmarks.table import TARGETS, write_table

RESULTS = sorted((Path(__file__).parents[1] / "benchmarks" / "results").glob("*.json"))


def test_everybody_computes_the_same():
    pytest.importorskip("scipy", reason="scipy is not installed")
    try:
        every = list(cases(quick=True, device="cpu"))
    except ImportError as error:
        pytest.skip(str(error))
    assert {case.loss for case in every} >= {"focal_loss", "dice_loss", "unet_weight_map"}
    for case in every:
        check_values(case)


def test_no_script_hides_a_module_of_python():
    """A folder of scripts is searched first: torch would import ours in place of Python's."""
    names = {path.stem for path in Path(measure.__file__).parent.glob("*.py")}
    assert not names & sys.stdlib_module_names


def test_another_value_is_refused():
    work = Workload((1, 1, 8, 8))
    case = Case("sum", "", work, {OURS: torch.Tensor.sum, "other": lambda z: z.sum() + 1})
    with pytest.raises(AssertionError, match="other"):
        check_values(case)


def test_rounds_alternate():
    calls = []
    work = Workload((1, 1, 8, 8))
    case = Case("", "", work, {name: lambda z, n=name: calls.append(n) or z.sum() for name in "ab"})
    times = interleave(case, rounds=3, repeats=1)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert {name: len(each) for name, each in times.items()} == {"a": 3, "b": 3}


def test_the_spread_is_that_of_the_processes():
    rows = [{"case": "c", "ms": ms, "ratio": ratio} for ms, ratio in ((3, 1.1), (1, 1.4), (2, 1.2))]
    found = over_processes(rows)
    assert found == {
        **{"case": "c", "median_ms": 2, "low_ms": 1, "high_ms": 3},
        **{"ratio": 1.2, "ratio_low": 1.1, "ratio_high": 1.4},
    }
    ours = over_processes([{**row, "ratio": None} for row in rows])
    assert ours["ratio"] is ours["ratio_low"] is ours["ratio_high"] is None


def test_two_runs_are_apart_where_their_ranges_are():
    def run(*ratios):
        row = {"threads": 1, "workload": "w", "case": "c", "implementation": "peer"}
        low, middle, high = ratios
        return {"measurements": [{**row, "ratio": middle, "ratio_low": low, "ratio_high": high}]}

    near = compare(run(1.8, 2.0, 2.2), run(2.1, 2.4, 2.6))
    assert near == "1 ratios: changed by 20.0% in the median, 20% at most; 0 outside of the spread"
    far = compare(run(1.8, 2.0, 2.2), run(2.3, 2.4, 2.6)).splitlines()
    assert "1 outside" in far[0]
    assert far[1:] == ["1 w c peer: 2.0, then 2.4"]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts memory so")
def test_memory_is_in_units_of_the_logits():
    """A copy, its gradient and that of the logits, less what is freed on the way."""
    z = torch.randn(2**23)
    assert 1.9 < peak_memory(lambda x: (x * x).sum(), z) < 3.2


def test_cost_is_measured_for_every_size(monkeypatch):
    monkeypatch.setattr(scale, "CLASSES", (2,))
    rows = scale.measure("cpu", (32,))
    assert {row["size"] for row in rows} == {32, 512}
    assert all(row["ns_per_pixel"] > 0 for row in rows)


def test_textbook_weight_map_is_that_of_the_core():
    pytest.importorskip("scipy", reason="scipy is not installed")
    from segloss_core import unet_weight_map

    ids = torch.zeros(1, 9, 9, dtype=torch.long)
    ids[0, 2, 1:4], ids[0, 6, 5:] = 1, 2
    torch.testing.assert_close(textbook.unet_weight_map(ids), unet_weight_map(ids))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_table_is_written_from_the_measurements(path: Path):
    report = json.loads(path.read_text(encoding="utf-8"))
    assert path.with_suffix(".md").read_text(encoding="utf-8") == write_table(report)
    measured = {(row["case"], row["workload"]) for row in report["measurements"]}
    for place, case in TARGETS:
        assert any(case == name and place in workload for name, workload in measured)


@pytest.fixture(scope="module")
def counted() -> list[dict[str, Any]]:
    return json.loads(counts.RESULT.read_text(encoding="utf-8"))


def test_losses_launch_what_the_table_says(counted):
    """Whoever adds an operation or a wait writes a new table, and sees it there."""
    ours = [row for row in counted if row["who"] == OURS]
    assert len(ours) > 20
    assert counts.rows(only=OURS) == ours
    assert not [row for row in ours if row["waits"]]


def test_the_table_of_counts_is_written_from_its_rows(counted):
    table = counts.RESULT.with_suffix(".md").read_text(encoding="utf-8")
    assert table == counts.write_table(counted)


def test_what_runs_is_counted():
    """Two operations forward, one wait, a view for nothing; and what backward makes of them."""

    def loss(x):
        y = x.exp().view(-1)
        if x.device.type == "cpu":
            y.sum().item()
        return y.sum()

    z = torch.zeros(8, 1024)
    meta = counts.count(loss, z.to("meta"))
    # exp reads and writes, sum reads; backward makes the 1, and multiplies two tensors into one,
    # of which the slope is one number that is expanded.
    assert meta == {"launches": 4, "waits": 0, "traffic": 5.0}
    assert counts.count(loss, z) == {"launches": 6, "waits": 1, "traffic": 6.0}
