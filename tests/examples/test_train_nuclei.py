"""The training example on a few steps: every loss, both tasks, two processes, half precision."""

import contextlib
import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from examples import train_nuclei as example
from segloss_core import cross_entropy_loss, distance_weighted_cross_entropy_loss

torch.set_num_threads(1)
FEW = {"steps": 2, "batch": 2, "size": 32}


@pytest.fixture(scope="module")
def data():
    """A corner of the photographs, in which nuclei touch."""
    whole = example.load(example.TRAIN)
    corner = example.Nuclei(*(layer[..., 64:160, 64:160] for layer in whole))
    assert (example.border(corner.instances).sum((1, 2, 3)) > 0).any()
    return corner


@pytest.fixture(scope="module")
def test_data():
    return example.load(example.TEST)


def few_steps(data, loss, task="nuclei", **options):
    layers = example.training_layers(data, task, loss)
    return example.train(example.LOSSES[loss](None), layers, **{**FEW, **options})


# ---- data ----


def test_the_photographs_come_with_their_annotation(test_data):
    assert test_data.image.shape == test_data.instances.shape == (1, 1, 256, 256)
    assert test_data.image.min() >= 0
    assert 0.5 < test_data.image.max() <= 1
    assert test_data.instances.max() == 40


def test_touching_nuclei_are_separated_and_their_border_is_found():
    row = torch.tensor([1, 1, 1, 2, 2, 0, 0, 0]).expand(1, 1, 8, 8)
    assert example.separate(row)[0, 0, 0].tolist() == [1, 1, 0, 2, 2, 0, 0, 0]
    # Inside a nucleus d1 + d2 is the distance to the other one; right of nucleus 2 it is 1 + 3.
    assert example.border(row)[0, 0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]


def test_the_maps_are_the_cores_and_the_gap_map_spares_the_nuclei(data):
    cells = example.separate(data.instances)
    weight, gap = example.weight_map(data.instances), example.gap_map(data.instances)
    assert (gap[cells > 0] == 1).all()
    assert (gap[cells == 0] == weight[cells == 0]).all()
    assert weight.max() > 10
    logits, target = torch.randn(data.image.shape), cells > 0
    expected = distance_weighted_cross_entropy_loss(logits, target, instances=cells[:, 0])
    found = cross_entropy_loss(logits, target, pixel_weight=weight)
    torch.testing.assert_close(found, expected)


def test_crops_keep_their_layers_together_and_come_again():
    place = torch.arange(100).view(1, 1, 10, 10)
    crops = example.Crops({"image": place, "target": 2 * place}, count=8, size=4, seed=3)
    views = [crops[i] for i in range(8)]
    assert len({tuple(view["image"].flatten().tolist()) for view in views}) > 1
    for i, view in enumerate(views):
        assert torch.equal(view["target"], 2 * view["image"])
        assert torch.equal(view["image"], crops[i]["image"])
        step = (view["image"][0].diff(dim=0), view["image"][0].diff(dim=1))
        assert {int(s.abs().unique()) for s in step} == {1, 10}


# ---- training ----


def test_the_network_is_small():
    assert sum(p.numel() for p in example.UNet().parameters()) == pytest.approx(30_000, rel=0.02)


@pytest.mark.parametrize("loss", example.LOSSES)
def test_every_loss_trains(data, loss):
    start, model = few_steps(data, loss, rate=1e-30), few_steps(data, loss)
    logits = example.predict(model, data.image)
    assert logits.shape == data.image.shape
    assert logits.isfinite().all()
    assert not torch.equal(start.head.weight, model.head.weight)


def test_training_learns(data, test_data):
    layers = example.training_layers(example.load(example.TRAIN), "nuclei", "ce_dice")
    model = example.train(example.LOSSES["ce_dice"](None), layers, steps=40, size=32)
    scores = example.evaluate(
        example.predict(model, test_data.image), test_data.instances, "nuclei"
    )
    assert scores["iou"] > 0.5
    assert scores["average_precision"] > 0.8


def test_a_seed_fixes_the_model(data):
    one, again, other = (few_steps(data, "dice", seed=seed).head.weight for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_the_loss_takes_half_logits_and_is_float32(data):
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, input, target):
            loss = cross_entropy_loss(input, target)
            seen.append((input.dtype, loss.dtype))
            return loss

    example.train(Spy(), example.training_layers(data, "nuclei", "ce"), half=True, **FEW)
    assert set(seen) == {(torch.bfloat16, torch.float32)}


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]


def run_rank(rank, calls, queue):
    torch.set_num_threads(1)
    os.environ |= {"LOCAL_RANK": str(rank), "RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    scores = []
    for port, arguments in calls:  # a port each: the last group's store may still answer
        os.environ["MASTER_PORT"] = str(port)
        scores.append(example.main(list(arguments)))
    queue.put(scores)


@pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo"
)
def test_two_processes_give_the_scores_of_one():
    """What torchrun does, without it: pixel losses, region losses and both together."""
    few = ("--steps", "3", "--batch", "4", "--size", "32")
    calls = [("--loss", loss, *few) for loss in ("ce", "lovasz", "ce_dice")]
    context = mp.get_context("spawn")
    queue = context.Queue()
    meetings = list(zip(free_ports(len(calls)), calls, strict=True))
    ranks = [context.Process(target=run_rank, args=(r, meetings, queue)) for r in range(2)]
    for process in ranks:
        process.start()
    try:
        found = [queue.get(timeout=300) for _ in ranks]
    finally:
        for process in ranks:
            process.join(timeout=10)
            if process.is_alive():
                process.kill()
    expected = [example.main(list(call)) for call in calls]
    for scores in found:
        for one, both in zip(expected, scores, strict=True):
            assert both["iou"] == pytest.approx(one["iou"], abs=2e-3)
            assert both["average_precision"] == pytest.approx(one["average_precision"], abs=2e-3)


# ---- evaluation ----


def test_average_precision_is_the_mean_precision_at_each_hit():
    score, target = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]), torch.tensor([1, 0, 1, 0, 1])
    expected = (1 / 1 + 2 / 3 + 3 / 5) / 3
    assert example.average_precision(score, target) == pytest.approx(expected)
    assert example.average_precision(score, score > 0.65) == 1


def test_objects_are_counted_as_by_hand():
    instances = torch.tensor([[1, 1, 0, 2, 2, 0, 3, 3]])[None, None]
    assert example.object_scores(instances > 0, instances) == {"object_f1": 1.0, "merged": 0}
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0]])[None, None] > 0
    # One piece of 5 pixels over nuclei of 2 and 2, and one missed: no IoU exceeds 1/2.
    assert example.object_scores(mask, instances) == {"object_f1": 0.0, "merged": 2}
    mask = torch.tensor([[1, 1, 0, 0, 1, 0, 1, 1]])[None, None] > 0
    # Pairs 1 and 3; half of nucleus 2 is an IoU of 1/2, not above it.
    assert example.object_scores(mask, instances) == {"object_f1": 4 / 6, "merged": 0}
    assert example.object_scores(mask & False, instances * 0)["object_f1"] == 0


def test_the_watershed_cuts_where_two_discs_touch():
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(60), indexing="ij")
    discs = [(rows - 20) ** 2 + (columns - c) ** 2 <= 81 for c in (20, 37)]
    instances = torch.where(discs[0], 1, 2 * discs[1].long())[None, None]
    mask = instances > 0
    assert example.object_scores(mask, instances)["merged"] == 2
    cut = example.watershed(mask)
    assert example.object_scores(cut, instances) == {"object_f1": 1.0, "merged": 0}
    assert (mask & ~cut).sum() < 20
    assert not example.watershed(mask & False).any()


# ---- command ----


def test_the_command_prints_its_scores(capsys):
    scores = example.main(["--loss", "focal", "--task", "border", "--steps", "1", "--size", "32"])
    printed = capsys.readouterr().out.split()
    assert printed[::2] == list(scores) == ["iou", "average_precision"]
    assert [float(x) for x in printed[1::2]] == pytest.approx(list(scores.values()), abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "--steps: expected a positive whole number, got '0'"),
        (["--loss", "hinge"], "--loss: invalid choice: 'hinge'"),
        (["--size", "30"], "--size: expected a multiple of 4 up to 256, got 30"),
        (["--size", "512"], "--size: expected a multiple of 4 up to 256, got 512"),
        (["--data", "nowhere"], "--data: nowhere/nuclei_00_image.png is not there"),
    ],
)
def test_bad_arguments_are_named(capsys, arguments, message):
    with pytest.raises(SystemExit):
        example.main(arguments)
    assert message in capsys.readouterr().err


def test_a_batch_that_the_processes_cannot_share_is_named(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(SystemExit):
        example.main([])
    expected = "--batch: expected a multiple of the 3 processes, got 4"
    assert expected in capsys.readouterr().err
