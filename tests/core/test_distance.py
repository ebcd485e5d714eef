"""Distances to the two nearest instances and the weight map, against brute force."""

from functools import partial

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import segloss_core as core
from segloss_core.fast import distance


def check(instances, spacing=None):
    found = torch.stack(core.two_nearest_distances(instances, spacing=spacing))
    assert found.dtype == torch.float32
    expected = reference.two_nearest(instances, spacing)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)
    return found


def blobs(count, size, seed=0):
    """Round instances at random places, some of them touching, some at the edge."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.rand(count, 2, generator=g) * size
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    ids = torch.zeros(1, size, size, dtype=torch.long)
    for label, (cy, cx) in enumerate(centres.tolist(), 1):
        ids[0][(y - cy) ** 2 + (x - cx) ** 2 < size**2 / count / 4] = label
    return ids


@pytest.mark.parametrize("near", [distance.NEAR, 0])
@settings(max_examples=100)
@given(data=st.data())
def test_random_label_images(near, data):
    """1 to 3 dimensions; empty, single, touching, enclosed and full-frame instances.

    With lines searched one by one, and with none of them near enough for that.
    """
    dimensions = data.draw(st.integers(1, 3))
    shape = [data.draw(st.integers(1, 7 if dimensions < 3 else 4)) for _ in range(dimensions)]
    ids = st.sampled_from([0, 0, 0, 1, 2, 3, 900])
    pixels = torch.Size(shape).numel()
    values = data.draw(st.lists(ids, min_size=2 * pixels, max_size=2 * pixels))
    spacing = data.draw(
        st.none()
        | st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=dimensions, max_size=dimensions)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distance, "NEAR", near)
        patch.setattr(distance, "ENVELOPES", 12)
        check(torch.tensor(values).view(2, *shape), spacing)


@pytest.mark.parametrize("count", [2, 20, 400])
def test_round_instances(count):
    ids = blobs(count, 40)
    check(ids)
    check(ids, spacing=[2.0, 0.5])


def test_one_instance_has_no_second():
    ids = torch.zeros(1, 5, 5, dtype=torch.long)
    assert check(ids).isinf().all()
    ids[0, 2, 2] = 7
    d1, d2 = check(ids)
    assert d1[0, 2, 2] == 0
    assert d2.isinf().all()


def test_instances_that_fill_the_image():
    ids = torch.ones(1, 6, 6, dtype=torch.long)
    d1, d2 = check(ids)
    assert (d1 == 0).all()
    assert d2.isinf().all()
    ids[0, :, 3:] = 2
    d1, d2 = check(ids)
    assert (d1 == 0).all()
    assert torch.equal(d2[0, 0], torch.tensor([3.0, 2, 1, 1, 2, 3]))


def test_parts_of_one_instance_are_one_instance():
    """Two separate pieces with one id do not make a first and a second."""
    d1, d2 = check(torch.tensor([[1, 0, 1, 0, 0, 0, 2]]))
    assert d1[0, 1] == 1
    assert d2[0, 1] == 5


UNSIGNED = [torch.uint8, torch.uint16, torch.uint32, torch.uint64]


@pytest.mark.parametrize("dtype", [*UNSIGNED, torch.int16, torch.int32, torch.int64], ids=str)
def test_integer_dtypes(dtype):
    check(blobs(5, 12).to(dtype))


def test_images_of_a_batch_do_not_mix():
    ids = torch.stack([blobs(5, 20, seed)[0] for seed in range(3)])
    together = torch.stack(core.two_nearest_distances(ids))
    for i in range(3):
        alone = torch.stack(core.two_nearest_distances(ids[i : i + 1]))
        assert torch.equal(together[:, i : i + 1], alone)


def elements(call):
    """How many elements of tensors the operations of a call read."""

    class Count(TorchDispatchMode):
        found = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.found += sum(x.numel() for x in args if isinstance(x, torch.Tensor))
            return function(*args, **(kwargs or {}))

    with Count() as count:
        call()
    return count.found


@pytest.mark.parametrize(("way", "growth"), [("formula", 1.05), ("kernel", 2.5)])
def test_cost_hardly_grows_with_the_number_of_instances(way, growth, monkeypatch):
    """From 10 instances to 400: not at all, or with their logarithm (11 groups in place of 5)."""
    monkeypatch.setattr("segloss_core.geometry.on_cpu", lambda ids: way == "kernel")
    many, few = (elements(partial(core.unet_weight_map, blobs(n, 128))) for n in (400, 10))
    assert many <= growth * few


@pytest.mark.parametrize("instances", [0, 1, 2])
def test_cost_does_not_grow_with_the_largest_distance(instances, monkeypatch):
    """Of an image four times as large: about four times as much, where nothing is near."""
    monkeypatch.setattr("segloss_core.geometry.on_cpu", lambda ids: True)
    cost = []
    for size in (128, 256):
        ids = torch.zeros(1, size, size, dtype=torch.long)
        ids[0, 0, :instances] = torch.arange(instances) + 1
        cost.append(elements(partial(core.two_nearest_distances, ids)))
    assert cost[1] <= 5 * cost[0]


@pytest.mark.parametrize("class_weight", [None, torch.tensor([1.0, 4.0])])
@pytest.mark.parametrize("options", [{}, {"w0": 3.0, "sigma": 2.0}])
def test_weight_map_is_its_formula(class_weight, options):
    """Also that the border term holds inside of instances."""
    ids = blobs(30, 64)
    found = core.unet_weight_map(ids, class_weight=class_weight, **options)
    expected = reference.unet_weights(ids, class_weight=class_weight, **options)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)
    if class_weight is None and not options:
        assert found.max() > 10.5  # on the borders between touching instances


@pytest.mark.parametrize("step", [1.0, 0.5])
def test_a_weight_map_of_several_tiles(step, monkeypatch):
    """Ids too large for a table are as good."""
    monkeypatch.setattr("segloss_core.fast.distance.TILE", 40)
    ids = blobs(150, 150)[:, :, :90]
    expected = reference.unet_weights(ids, sigma=0.5)
    assert expected.max() > 1.5
    for labels in (ids, ids * 10**9):
        found = core.unet_weight_map(labels, sigma=0.5 * step, spacing=[step, step])
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


def test_nothing_in_reach_needs_no_small_tiles():
    ids = blobs(2, 300)
    tiles = list(distance._tiles(ids.shape[1:], [0.0, 0.0]))
    assert len(tiles) == 1
    assert (core.unet_weight_map(ids, w0=0.0) == 1).all()


@pytest.mark.parametrize("count", [0, 1])
def test_class_weights_stay_where_there_is_no_border(count):
    """With fewer than two instances w is w_c, not 0."""
    ids = blobs(1, 8) * count
    assert (core.unet_weight_map(ids) == 1).all()
    weight = core.unet_weight_map(ids, class_weight=torch.tensor([0.5, 3.0]))
    assert torch.equal(weight, torch.where(ids > 0, 3.0, 0.5))


def test_the_weight_multiplies_the_cross_entropy():
    """An added term would leave the gradient of plain cross entropy."""
    ids = torch.tensor([[1, 1, 0, 2, 2]])
    z = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    y = ids > 0
    plain = torch.autograd.grad(core.cross_entropy_loss(z, y), z)[0]
    loss = core.distance_weighted_cross_entropy_loss(z, y, instances=ids)
    weighted = torch.autograd.grad(loss, z)[0]
    torch.testing.assert_close(weighted / plain, core.unet_weight_map(ids).double())


def test_spacing_reaches_the_loss():
    ids, z = blobs(6, 16), torch.randn(1, 16, 16)
    options = {"instances": ids, "spacing": [1.0, 2.0]}
    loss = core.distance_weighted_cross_entropy_loss(z, ids > 0, **options)
    weight = core.unet_weight_map(ids, spacing=[1.0, 2.0])
    torch.testing.assert_close(loss, core.cross_entropy_loss(z, ids > 0, pixel_weight=weight))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_gives_the_same_distances():
    ids = blobs(40, 64)
    for cpu, cuda in zip(
        core.two_nearest_distances(ids), core.two_nearest_distances(ids.cuda()), strict=True
    ):
        assert torch.equal(cpu, cuda.cpu())
