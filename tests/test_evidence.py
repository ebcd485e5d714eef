"""The experiment behind the advice: what it needs, that it resumes, what its results hold."""

import csv
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import evidence
from examples import train_nuclei as example

torch.set_num_threads(1)
NUCLEI = example.FOLDER
DETAILS = evidence.RESULT.with_suffix("")  # what is drawn, task by task and loss by loss


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Corners of the book's four photographs in place of the 160, and runs of a few steps."""
    corners = {"train_00": "00", "train_01": "01", "val_00": "11", "test_00": "10"}
    index = tmp_path / "index.csv"
    index.write_text("name\n" + "\n".join(corners), encoding="utf-8")
    for name, number in corners.items():
        for kind in ("image", "label"):
            picture = Image.open(NUCLEI / f"nuclei_{number}_{kind}.png")
            picture.crop((96, 128, 192, 224)).save(tmp_path / f"{name}_{kind}.png")
    monkeypatch.setattr(evidence, "INDEX", index)
    monkeypatch.setattr(evidence, "STEPS", (2, 4, 6))
    monkeypatch.setattr(evidence, "REFINED", {6: 4})
    monkeypatch.setattr(evidence, "SETTINGS", evidence.SETTINGS | {"warm_up": 1})
    monkeypatch.setattr(evidence, "CROPS", dict.fromkeys(evidence.TASKS, (2, 32)))
    yield tmp_path
    for cached in (evidence.photographs, evidence.targets, evidence.training_layers):
        cached.cache_clear()


def work(folder, *jobs):
    with ThreadPoolExecutor(1) as pool:
        evidence.work([evidence.Job(*job) for job in jobs], folder, folder / "runs", pool)
    return evidence.read(folder / "runs")  # its settings are not those of the committed runs


# ---- photographs and plan ----


def test_photographs_that_are_missing_are_named(capsys, tmp_path):
    with pytest.raises(SystemExit):
        evidence.main(["--data", str(tmp_path)])
    message = " ".join(capsys.readouterr().err.split())
    for part in ("train_00_image.png is not there", "BBBC038v1", "benchmarks/evidence.csv"):
        assert part in message


def test_the_index_names_every_photograph_once():
    with evidence.INDEX.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [len(evidence.names_of(part)) for part in evidence.PARTS] == [70, 20, 70]
    ids = {row["stage1_train_id"] for row in rows}
    assert len(ids) == 160
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in ids)


def test_the_plan_trains_every_task_with_every_kind_of_loss():
    planned = {(job.task, job.loss) for job in evidence.plan()}
    for task in ("nuclei", "border", "three", "centres"):
        assert {(task, loss) for loss in evidence.MAIN} - {("three", "balanced_ce")} <= planned
    # Of wrong labels and of edges those that have something to say to them.
    assert {(task, loss) for task in ("flipped", "edges") for loss in ("ce", "dice")} <= planned
    assert {task for task, _ in planned} == set(evidence.TASKS)
    assert {loss for task, loss in planned if task != "three"} == set(evidence.BINARY)
    assert {loss for task, loss in planned if task == "three"} == set(evidence.SOFTMAX)


def test_centres_are_discs_in_the_middle():
    instances = torch.zeros(1, 1, 9, 9, dtype=torch.long)
    instances[..., 2:7, 2:7] = 3
    disc = evidence.centres(instances)[0, 0]
    assert disc.sum() == 13
    assert disc[4, 2:7].all()
    assert disc[2:7, 4].all()


# ---- runs ----


def test_a_run_that_is_done_is_not_repeated(small):
    first = work(small, ("nuclei", "ce", 0, 4), ("nuclei", "ce_dice", 0, 4))
    assert sorted({key[3] for key in first}) == [2, 4]
    file = small / "runs" / "runs.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    assert work(small, ("nuclei", "ce", 0, 4), ("nuclei", "ce_dice", 0, 4)) == first
    assert file.read_text(encoding="utf-8").splitlines() == lines


def test_what_is_committed_is_not_trained_again(results):
    there = evidence.committed()
    assert len(there) == len(results["runs"])
    assert evidence.by_key(evidence.complete(Path("nowhere"))) == there


def test_collecting_again_writes_the_same(results, tmp_path):
    evidence.collect(Path("nowhere"), tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text(encoding="utf-8"))
    assert again["runs"] == results["runs"]
    files = {path.relative_to(DETAILS) for path in DETAILS.glob("*.*")}
    assert files == {path.relative_to(tmp_path / "again") for path in tmp_path.glob("again/*")}
    for file in files:
        first, second = DETAILS / file, tmp_path / "again" / file
        if file.suffix == ".json":
            assert first.read_text(encoding="utf-8") == second.read_text(encoding="utf-8")
        else:
            np.testing.assert_array_equal(*(np.array(Image.open(f)) for f in (first, second)))


def test_a_broken_run_is_done_again_and_finds_the_same(small):
    """To 0.002 on one machine; the order of a sum may differ."""
    jobs = [("border", "dice", 1, 4), ("three", "ce_dice", 1, 4)]
    first = work(small, *jobs)
    for file in (small / "runs").rglob("*.*"):
        file.unlink()
    again = work(small, *jobs)
    assert again.keys() == first.keys()
    for key, record in first.items():
        for name in ("ap", "iou_half", "iou_val", "ece"):
            assert again[key][name] == pytest.approx(record[name], abs=0.002)


def test_a_longer_run_goes_on_with_a_shorter_one(small):
    at_once = work(small, ("nuclei", "tversky", 0, 6))
    for file in (small / "runs").rglob("*.*"):
        file.unlink()
    work(small, ("nuclei", "tversky", 0, 2))
    in_two = work(small, ("nuclei", "tversky", 0, 6))
    assert in_two.keys() == at_once.keys()
    for key, record in at_once.items():
        assert in_two[key]["ap"] == pytest.approx(record["ap"], abs=0.002)


def test_refining_begins_with_cross_entropy_and_changes_the_loss(small):
    found = work(small, ("nuclei", "ce", 0, 6), ("nuclei", "ce_then_lovasz", 0, 6))
    assert [key[3] for key in found if key[1] == "ce_then_lovasz"] == [6]
    records = [found["nuclei", loss, 0, 6] for loss in ("ce", "ce_then_lovasz")]
    assert records[0]["ap"] != records[1]["ap"]


# ---- scores ----


def test_counts_in_bins_give_the_scores_of_the_pixels():
    g = torch.Generator().manual_seed(0)
    y = torch.rand(200_000, generator=g) < 0.1
    z = torch.randn(200_000, generator=g) + 2 * y - 1
    counts = evidence.Counts(z, y)
    assert counts.average_precision() == pytest.approx(example.average_precision(z, y), abs=1e-3)
    assert counts.iou[evidence.HALF] == pytest.approx(evidence.iou(z >= 0, y))
    for recall, precision in zip(evidence.RECALLS[9::10], counts.curve()[9::10], strict=True):
        cut = z[y].sort(descending=True).values[int(np.ceil(recall * int(y.sum()))) - 1]
        assert precision == pytest.approx(float(y[z >= cut].double().mean()), abs=0.01)


def test_honest_probabilities_have_no_calibration_error():
    g = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(400_000, generator=g)
    y = torch.rand(z.shape, generator=g) < z.sigmoid()
    assert evidence.Counts(z, y).calibration_error() < 0.005
    assert evidence.Counts(2 * z, y).calibration_error() > 0.05


# ---- the results ----


@pytest.fixture(scope="module")
def results():
    return json.loads(evidence.RESULT.read_text(encoding="utf-8"))


def test_the_results_say_how_they_were_made(results):
    about = results["about"]
    assert about["split"] == {"train": 70, "val": 20, "test": 70}
    assert about["settings"] == evidence.SETTINGS
    assert about["seeds"] == list(evidence.SEEDS)
    assert about["versions"].keys() >= {"python", "torch", "segloss_core"}
    assert all(about[name] for name in ("date", "machines", "written_by", "data"))


def test_the_results_hold_every_seed_of_runs_of_the_plan(results):
    planned = {
        (*job[:3], step) for job in evidence.plan() for step in evidence.readings(job)
    }  # fmt: skip
    found = [tuple(r[k] for k in ("task", "loss", "seed", "step")) for r in results["runs"]]
    assert len(found) == len(set(found))
    assert set(found) <= planned
    for task, loss, _, step in found:
        assert {(task, loss, seed, step) for seed in evidence.SEEDS} <= set(found)


def test_every_run_has_its_scores_and_curves(results):
    shares = ("ap", "iou_half", "iou_val", "threshold_val", "ece")
    for r in results["runs"]:
        assert all(0 <= r[name] <= 1 for name in shares)
        if r["task"] == "nuclei":
            for after in ("", "_watershed"):
                assert 0 <= r[f"object_f1{after}"] <= 1
                assert r[f"merges{after}"] >= 0
    there = evidence.committed()
    assert len(there) == len(results["runs"])
    assert all(len(r["precisions"]) == len(evidence.RECALLS) for r in there.values())


def test_a_picture_is_that_of_the_first_seed_where_all_losses_have_one(results):
    side = results["about"]["strip"]["side"]
    groups = {(r["task"], r["loss"]) for r in results["runs"]}
    assert {tuple(path.stem.split(".")) for path in DETAILS.glob("*.json")} == groups
    for path in DETAILS.glob("*.json"):
        pictured = json.loads(path.read_text(encoding="utf-8"))["pictured"]
        with Image.open(path.with_suffix(".png")) as picture:
            assert picture.size == (side, side)
        wanted = (*path.stem.split("."), evidence.SEEDS[0])
        steps = [r["step"] for r in results["runs"] if (r["task"], r["loss"], r["seed"]) == wanted]
        assert pictured == (evidence.PICTURED if evidence.PICTURED in steps else max(steps))


def test_the_results_are_small():
    files = [evidence.RESULT, *DETAILS.glob("*.*")]
    assert sum(file.stat().st_size for file in files) < 2_000_000


def test_the_summary_has_mean_and_range():
    rows = [
        {"task": "border", "step": 300, "loss": "ce", "seed": s, "ap": x, "iou_half": x,
         "iou_val": x, "ece": x, "threshold_val": x}
        for s, x in enumerate((0.1, 0.2, 0.6))
    ]  # fmt: skip
    assert "0.300 (0.100-0.600)" in evidence.summary(rows)
