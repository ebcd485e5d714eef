"""Each file of ``examples/frameworks`` on a tiny random model: ``python framework_runs.py NAME``.

A process of its own for each, since a package may be there without what it asks for: a module that
is missing and that the lines on the page do not use is stood in for. Ends with 77, and says why,
where the framework itself is not installed.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

ROOT = Path(__file__).parents[2]
SHOWN = ROOT / "examples" / "frameworks"
sys.path[:0] = [str(ROOT), str(SHOWN)]

from criterion import make_criterion  # noqa: E402

import segloss_core as core  # noqa: E402

os.environ |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
CLASSES, SIZE = 19, 32


class StandIn(type):
    """A class that takes any arguments, and any attribute of which is another one."""

    def __getattr__(cls, name: str) -> "StandIn":
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)


def stand_in(name: str) -> StandIn:
    return StandIn(name, (), {"__init__": lambda self, *args, **options: None})


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules of which any name is an empty class, for packages that are not installed."""

    def __init__(self, *packages: str) -> None:
        self.packages = {name for name in packages if importlib.util.find_spec(name) is None}
        sys.meta_path.append(self)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.packages:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)

        def attribute(name):
            if name.startswith("__"):
                raise AttributeError(name)
            return stand_in(name)

        module.__getattr__ = attribute
        module.__all__ = []
        return module

    def exec_module(self, module) -> None:
        pass


def images_and_labels(count=2, seed=0, void=255):
    """Random images whose labels can be seen in them, a corner of them void."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count, SIZE // 8, SIZE // 8), generator=g)
    labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    images = torch.randn(count, 3, SIZE, SIZE, generator=g) + labels[:, None] / CLASSES
    labels[:, :8, :8] = void
    return images, labels


class Watch(nn.Module):
    """Another loss, which notes what it was called with and what came out."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss, self.seen = loss, []

    def forward(self, logits, labels):
        value = self.loss(logits, labels)
        self.seen.append((logits.detach(), labels, value.detach()))
        return value


def check(seen, dtype, steps) -> None:
    """The loss took logits of that dtype at the size of the labels, and was a finite float32."""
    assert len(seen) == steps
    for logits, labels, value in seen:
        assert logits.dtype == dtype, logits.dtype
        assert logits.shape[2:] == labels.shape[-(logits.ndim - 2) :]
        assert value.dtype == torch.float32
        assert value.ndim == 0
        assert value.isfinite()


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, CLASSES, 3, padding=1)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters())


# ---- a loop of one's own ----


def plain_loop() -> None:
    import plain_loop as shown

    model, batches = small_network(), [images_and_labels(seed=i) for i in range(3)]
    watch, before = Watch(make_criterion()), model.weight.detach().clone()
    shown.train(model, batches, watch, adamw(model), device="cpu")
    check(watch.seen, torch.float16, 3)
    assert not torch.equal(model.weight, before)

    context, folder = mp.get_context("spawn"), tempfile.mkdtemp()
    queue = context.Queue()
    ranks = [context.Process(target=rank, args=(r, folder, queue)) for r in range(2)]
    for process in ranks:
        process.start()
    found = [torch.tensor(queue.get(timeout=240)) for _ in ranks]
    for process in ranks:
        process.join()
    alone = small_network()
    shown.train(alone, [images_and_labels(4)], make_criterion(), adamw(alone), device="cpu")
    for weights in found:
        torch.testing.assert_close(weights, alone.weight.detach(), rtol=1e-3, atol=1e-5)


def rank(r: int, folder: str, queue) -> None:
    """Half of a batch: the step is that of one process with all of it."""
    import plain_loop as shown

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=r, world_size=2)
    model = nn.parallel.DistributedDataParallel(small_network())
    images, labels = (whole[2 * r : 2 * r + 2] for whole in images_and_labels(4))
    criterion = make_criterion(dist.group.WORLD)
    shown.train(model, [(images, labels)], criterion, adamw(model), device="cpu")
    queue.put(model.module.weight.detach().tolist())
    dist.destroy_process_group()


# ---- Lightning ----


def lightning_module() -> None:
    lightning = importlib.import_module("lightning")
    import lightning_module as shown

    groups = []

    def make(group):
        groups.append(group)
        return make_criterion(group)

    class Watched(shown.Segmenter):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, images):
            return self.network(images)

        def training_step(self, batch, index):
            loss = super().training_step(batch, index)
            assert torch.is_autocast_enabled("cpu")
            assert loss.dtype == torch.float32
            assert loss.isfinite()
            return loss

        def configure_optimizers(self):
            return adamw(self)

    shown.make_criterion, network = make, small_network()
    before = network.weight.detach().clone()
    trainer = lightning.Trainer(
        accelerator="cpu", precision="bf16-mixed", max_steps=3, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    batches = [images_and_labels(seed=i) for i in range(3)]
    trainer.fit(Watched(network), torch.utils.data.DataLoader(batches, batch_size=None))
    assert groups == [None]
    assert {"ce", "dice"} <= set(trainer.logged_metrics)
    assert not torch.equal(network.weight, before)


# ---- Hugging Face transformers ----


def hf_trainer() -> None:
    transformers = importlib.import_module("transformers")
    importlib.import_module("accelerate")
    import hf_trainer as shown

    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        num_labels=CLASSES, depths=[1] * 4, hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16,
        num_attention_heads=[1] * 4, sr_ratios=[1] * 4, classifier_dropout_prob=0.0,
        drop_path_rate=0.0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = transformers.SegformerForSemanticSegmentation(config)
    images, labels = images_and_labels(4)
    assert model(images).logits.shape == (4, CLASSES, SIZE // 4, SIZE // 4)
    # Its own loss upsamples in the same way.
    theirs = model(pixel_values=images, labels=labels).loss
    trainer_class = type("Watched", (shown.SegmentationTrainer,), {})
    ours = trainer_class(model=model, args=arguments(transformers))
    assert {"ce", "dice"} == set(ours.criterion.weights)
    ours.criterion = core.CrossEntropyLoss(mode="multiclass", ignore_index=255)
    inputs = {"pixel_values": images, "labels": labels}
    loss, outputs = ours.compute_loss(model, dict(inputs), return_outputs=True)
    torch.testing.assert_close(loss, theirs)
    assert outputs.loss is None  # not computed twice

    # Two batches that are accumulated give the mean of their gradients, not the sum.
    data = [{"pixel_values": x, "labels": y} for x, y in zip(images, labels, strict=True)]
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    watch = Watch(make_criterion())
    trainer = trainer_class(
        model=model,
        args=arguments(transformers, max_steps=1, gradient_accumulation_steps=2),
        train_dataset=data,
        optimizers=(torch.optim.SGD(model.parameters(), lr=1e-3), None),
    )
    trainer.criterion = watch
    trainer.train()
    check(watch.seen, torch.float32, 2)
    name = "decode_head.classifier.bias"
    moved = dict(model.named_parameters())[name].detach() - start[name]
    gradients = []
    for logits, y, _ in watch.seen:  # the bias reaches each logit, before and after upsampling
        z = logits.requires_grad_()
        [g] = torch.autograd.grad(watch.loss(z, y), z)
        gradients.append(g.sum((0, 2, 3)))
    torch.testing.assert_close(moved, -1e-3 * sum(gradients) / 2, rtol=1e-3, atol=1e-8)


def arguments(transformers, **options):
    return transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=2, report_to="none",
        use_cpu=True, remove_unused_columns=False, disable_tqdm=True, save_strategy="no",
        lr_scheduler_type="constant", max_grad_norm=0.0, learning_rate=1e-3, **options,
    )  # fmt: skip


# ---- MONAI ----


def monai_loop() -> None:
    monai = importlib.import_module("monai")
    import monai_loop as shown

    g = torch.Generator().manual_seed(0)
    image = torch.randn(2, 1, 8, 8, 8, generator=g)
    label = torch.randint(4, image.shape, generator=g).float()  # a channel, and floats
    label[:, :, 0] = 255
    batch = {"image": monai.data.MetaTensor(image), "label": monai.data.MetaTensor(label)}
    watch = Watch(make_criterion())
    torch.manual_seed(0)
    model = monai.networks.nets.UNet(3, 1, 4, channels=(4, 8), strides=(2,))
    before = [p.detach().clone() for p in model.parameters()]
    shown.train(model, [batch] * 2, watch, adamw(model), device="cpu")
    check(watch.seen, torch.bfloat16, 2)
    assert not all(map(torch.equal, before, model.parameters()))
    logits, labels, value = watch.seen[0]
    plain = watch.loss(logits.as_tensor(), labels.as_tensor())
    torch.testing.assert_close(torch.as_tensor(value), plain)


# ---- segmentation_models_pytorch ----


def smp_loop() -> None:
    StandIns("torchvision")
    importlib.import_module("timm")
    import smp_loop as shown

    watch = Watch(make_criterion())
    batches = [images_and_labels(seed=i) for i in range(2)]
    shown.train(batches, watch, device="cpu", encoder_name="mit_b0", encoder_weights=None)
    check(watch.seen, torch.bfloat16, 2)


# ---- nnU-Net ----


def nnunet_trainer() -> None:
    for package in ("nnunetv2", "batchgenerators"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(package, name=package)
    StandIns(
        "acvl_utils", "batchgeneratorsv2", "blosc2", "dynamic_network_architectures", "einops",
        "graphviz", "imagecodecs", "matplotlib", "nibabel", "pandas", "scipy", "seaborn",
        "SimpleITK", "skimage", "sklearn", "threadpoolctl", "tifffile", "unittest2", "yacs",
    )  # fmt: skip
    # As the page says: a folder with these two files alone.
    folder = tempfile.mkdtemp()
    os.environ |= {"nnUNet_raw": "", "nnUNet_preprocessed": "", "nnUNet_results": ""}
    os.environ |= {"nnUNet_extTrainer": folder}
    for name in ("criterion.py", "nnunet_trainer.py"):
        shutil.copy(SHOWN / name, folder)
    sys.path.remove(str(SHOWN))
    del sys.modules["criterion"]
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    found = recursive_find_trainer_class_by_name("nnUNetTrainerSegloss")

    # The trainer asks for plans and a data set; its loss asks for these four alone.
    trainer = object.__new__(found)
    trainer.is_ddp, trainer.device = False, torch.device("cpu")
    trainer.label_manager = types.SimpleNamespace(ignore_label=3, has_regions=False)
    trainer.configuration_manager = types.SimpleNamespace(
        batch_dice=True, pool_op_kernel_sizes=[[1, 1], [2, 2], [2, 2], [2, 2]]
    )
    g = torch.Generator().manual_seed(0)
    sides = (16, 8, 4)
    outputs = [torch.randn(2, 3, s, s, generator=g, requires_grad=True) for s in sides]
    labels = [torch.randint(4, (2, 1, s, s), generator=g).to(torch.int16) for s in sides]

    trainer.enable_deep_supervision = False
    single = trainer._build_loss()
    trainer.enable_deep_supervision = True
    loss = trainer._build_loss()
    value = loss(outputs, labels)
    parts = [single(z, y).detach() for z, y in zip(outputs, labels, strict=True)]
    torch.testing.assert_close(value.detach(), (parts[0] + parts[1] / 2) / 1.5)
    value.backward()
    void = (labels[0] == 3).expand(-1, 3, -1, -1)
    assert void.any()
    assert (outputs[0].grad[void] == 0).all()
    assert (outputs[0].grad[~void] != 0).any()


RUNS = (plain_loop, lightning_module, hf_trainer, monai_loop, smp_loop, nnunet_trainer)

if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        {run.__name__: run for run in RUNS}[sys.argv[1]]()
    except ModuleNotFoundError as error:
        print(f"not installed: {error.name}")
        sys.exit(77)
