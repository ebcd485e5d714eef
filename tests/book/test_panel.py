"""What chapters say of training is read from the committed results, and drawn from them."""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

BOOK = Path(__file__).parents[2] / "book"


@pytest.fixture
def evidence(monkeypatch):
    monkeypatch.syspath_prepend(BOOK)
    import evidence

    yield evidence
    for name in ("evidence", "figures"):  # other tests may mean other modules
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def recorded():
    return json.loads((BOOK / "data" / "evidence.json").read_text(encoding="utf-8"))["runs"]


def test_a_row_holds_the_recorded_score_of_every_seed(evidence, recorded):
    found = evidence.comparison("nuclei", "dice", score="iou", step=300)
    assert found.losses == ("dice", "ce")
    for reading, name in (("1/2", "iou_half"), ("tuned", "iou_val")):
        wanted = [
            run[name]
            for run in recorded
            if (run["task"], run["loss"], run["step"]) == ("nuclei", "dice", 300)
        ]
        assert len(wanted) == 3
        np.testing.assert_array_equal(found.row("dice", reading).values, wanted)


def test_a_score_without_a_threshold_has_one_row_a_loss(evidence):
    found = evidence.comparison("nuclei", ("gap_map", "both_shores"), score="ap")
    assert [row[:2] for row in found.rows] == [("gap_map", ""), ("both_shores", ""), ("ce", "")]


def test_objects_are_counted_after_the_watershed_too(evidence):
    found = evidence.comparison("nuclei", "dice", score="merges")
    assert [row.reading for row in found.rows if row.loss == "ce"] == ["1/2", "tuned", "watershed"]


def test_the_table_says_mean_and_range(evidence):
    assert evidence.spread([0.1, 0.2, 0.6]) == "0.300 (0.100 to 0.600)"
    assert evidence.spread([700, 712, 730]) == "714 (700 to 730)"
    assert evidence.spread([2.5, 3.0, 4.0]) == "3.2 (2.5 to 4.0)"
    lines = str(evidence.comparison("nuclei", "dice", score="ap")).splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= 78


def test_ranges_that_touch_are_not_apart(evidence):
    low, high, touching = (
        evidence.Row("", "", np.array(x)) for x in ([0.1, 0.2], [0.3, 0.4], [0.2, 0.5])
    )
    assert evidence.apart(low, high)
    assert evidence.apart(high, low)
    assert not evidence.apart(low, touching)


def test_a_loss_does_not_differ_from_itself(evidence):
    mean, low, high = evidence.difference("nuclei", "ce", "ce")
    assert mean == 0
    assert low < 0 < high


def test_what_is_not_there_is_named(evidence):
    with pytest.raises(KeyError, match="hinge"):
        evidence.comparison("nuclei", "hinge")
    with pytest.raises(KeyError, match="no score 'speed'"):
        evidence.comparison("nuclei", "dice", score="speed")
    with pytest.raises(KeyError, match="no picture of 'ce' on 'nuclei' after 300 steps"):
        evidence.strip("nuclei", "ce", 300)
    with pytest.raises(ValueError, match="one or two"):
        evidence.comparison("nuclei", "ce")


def test_the_panel_draws_every_task_on_which_losses_were_compared(evidence, recorded):
    first = {run["task"]: run["loss"] for run in reversed(recorded) if run["loss"] != "ce"}
    assert first.keys() >= {"nuclei", "centres"}
    for task, loss in first.items():
        step = evidence.details(task, loss)["pictured"]
        figure = evidence.training_panel(evidence.comparison(task, loss, score="ap", step=step))
        assert len(figure.axes) == 4
        assert figure.get_size_inches()[0] == 6
        plt.close(figure)


def test_the_strip_is_a_corner_of_the_books_photograph(evidence):
    found = evidence.strip("nuclei", "ce", 1000)
    side = evidence.results()["about"]["strip"]["side"]
    assert found.shape == (side, side)
    assert 0 <= found.min() < found.max() <= 1
    labels = plt.imread(BOOK / "data" / "nuclei" / "nuclei_10_label.png")
    nuclei = evidence.strip_of(labels) > 0
    assert nuclei.shape == found.shape
    assert found[nuclei].mean() > found[~nuclei].mean() + 0.3
