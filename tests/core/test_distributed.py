"""Two processes with unequal shares of a batch give what one process gives with all of it."""

import copy
import functools
import socket
import warnings

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from cases import LOSSES, REGION_LOSSES, TWINS, sample

import segloss_core as core

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="torch was built without gloo"
)

SHARES = [slice(0, 1), slice(1, 3)]
OPTIONS = [{}, {"per_image": True}, {"reduction": "sum"}, {"per_image": True, "reduction": "sum"}]
METRICS = [
    (core.dice_score, {}),
    (core.jaccard_index, {"per_image": True}),
    (core.average_surface_distance, {}),
    (core.surface_dice, {"tolerance": 1}),
]


def batch(case):
    """Three images; the second class is in the share of one rank only."""
    z, y, _ = sample(case, batch=3, spatial=(4,), seed=2)
    if case.mode == "multiclass":
        y[0] = 0
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1, :2] = False
    return z, y, mask


class Network(torch.nn.Module):
    """One parameter per logit channel, so that its gradient gathers all pixels."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.shift = torch.nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, z):
        return self.scale * z + self.shift


def everything(share, process_group, wrap):
    """Values and parameter gradients of all losses and metrics for a share of the batch."""
    results = []
    for case in REGION_LOSSES:
        z, y, mask = batch(case)
        for options in OPTIONS:
            network = wrap(Network())
            loss = case(
                network(z[share]),
                y[share],
                mask=mask[share],
                process_group=process_group,
                **options,
            )
            loss.backward()
            results += [loss.detach(), *[p.grad for p in network.parameters()]]
    g = torch.Generator().manual_seed(0)
    pred, target = (torch.randint(2, (3, 6), generator=g) for _ in range(2))
    target[1:] += 1  # the largest id is on one rank only
    for metric, options in METRICS:
        for mode in ("binary", "multiclass"):
            y = target.clamp(max=1) if mode == "binary" else target
            score = metric(pred[share], y[share], mode=mode, process_group=process_group, **options)
            results.append(score.double())
    counts = core.overlap_counts(pred[share], target[share], mode="multiclass", num_classes=3)
    if process_group is not None:
        dist.all_reduce(counts, group=process_group)
    results += [core.dice_from_counts(counts).double(), *counts.flatten().double()]
    return torch.stack(results)


def run_rank(rank, port, queue):
    torch.set_num_threads(1)
    warnings.simplefilter("error", FutureWarning)  # that torch gives for what it deprecates
    store = dist.TCPStore("127.0.0.1", port, 2, rank == 0)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    try:
        group = dist.group.WORLD
        wrap = torch.nn.parallel.DistributedDataParallel
        queue.put((rank, everything(SHARES[rank], group, wrap).tolist()))
        dist.barrier()
    finally:
        dist.destroy_process_group()


@functools.cache
def two_ranks():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.Queue()
    ranks = [context.Process(target=run_rank, args=(r, port, queue)) for r in range(2)]
    for process in ranks:
        process.start()
    try:
        return dict(queue.get(timeout=300) for _ in ranks)
    finally:
        for process in ranks:
            process.join(timeout=10)
            if process.is_alive():
                process.kill()


@pytest.mark.parametrize("rank", [0, 1])
def test_two_ranks_give_value_and_gradient_of_one_process(rank):
    """With DistributedDataParallel the gradient is that of the whole batch."""
    found = torch.tensor(two_ranks()[rank], dtype=torch.float64)
    expected = everything(slice(0, 3), None, lambda network: network)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_pixel_losses_take_no_process_group():
    """Their sums need no other rank; DistributedDataParallel averages them."""
    assert all(case.is_region for case in LOSSES if "process_group" in case.loss.__kwdefaults__)


@pytest.fixture
def alone():
    """A group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield dist.group.WORLD
    finally:
        dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # by Dynamo's own doing
def test_compile_in_one_graph_with_a_group(alone):
    for case in REGION_LOSSES:
        torch.compiler.reset()
        z, y, _ = sample(case, spatial=(4,))
        loss = functools.partial(case, process_group=alone)
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        found = []
        for f in (loss, compiled):
            x = z.detach().requires_grad_()
            value = f(x, y)
            found.append((value.detach(), torch.autograd.grad(value, x)[0]))
        torch.testing.assert_close(found[1], found[0])


def test_a_copy_of_a_module_belongs_to_the_same_group(alone):
    for case in REGION_LOSSES:
        criterion = TWINS[case.loss](mode=case.mode, process_group=alone, **case.options)
        copied = copy.deepcopy(core.CombinedLoss({"region": (1, criterion)}))
        assert copied.losses["region"].process_group is alone
        z, y, _ = sample(case)
        assert torch.equal(copied(z, y), criterion(z, y))
