"""Compile for GPUs that are not here what losses would launch on them, and read what it takes.

Run by test_triton.py in a process of its own: here Triton compiles, there it interprets.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

import segloss_core as core
from segloss_core import gpu
from segloss_core.fast import dispatch

ARCHITECTURES = (80, 90)
SIZES = (
    *((2, torch.float32), (4, torch.bfloat16), (19, torch.float32), (19, torch.bfloat16)),
    *((150, torch.float32), (1000, torch.bfloat16)),
)
TYPES = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.uint8: "u8",
    torch.bool: "i1",
}


def compiled(kernel: Any, arguments: tuple[Any, ...], constants: dict[str, Any]) -> Iterator[dict]:
    """As a launch with these arguments would compile it: 1 and multiples of 16 are known."""
    signature, known, hints = {}, dict(constants), {}
    for place, (name, value) in enumerate(zip(kernel.arg_names, arguments, strict=False)):
        if value is None or (isinstance(value, int) and value == 1):
            known[name] = value
        elif isinstance(value, Tensor):
            signature[name] = f"*{TYPES[value.dtype]}"
            hints[place,] = [["tt.divisibility", 16]]
        elif isinstance(value, int):
            signature[name] = "i32" if abs(value) < 2**31 else "i64"
            if value % 16 == 0:
                hints[place,] = [["tt.divisibility", 16]]
        else:
            signature[name] = "fp32"
    signature = {name: signature.get(name, "constexpr") for name in kernel.arg_names}
    known = {(kernel.arg_names.index(name),): value for name, value in known.items()}
    for architecture in ARCHITECTURES:
        source = ASTSource(kernel, signature, known, hints)
        target, options = GPUTarget("cuda", architecture, 32), {"enable_fp_fusion": False}
        code = triton.compile(source, target, options).asm["ptx"]
        found = assembled(code, architecture)
        yield {"kernel": kernel.__name__, "architecture": architecture, **found}


def assembled(code: str, architecture: int) -> dict[str, int]:
    """Registers of a thread, and bytes that did not find room in them."""
    target = code.split(".target ")[1].split()[0].rstrip(",")
    assembler = get_ptxas(architecture).path
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(code)
        file.flush()
        command = [assembler, f"-arch={target}", "-v", file.name, "-o", "/dev/null"]
        words = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split()
    before = {word: words[i - 1] for i, word in enumerate(words)}
    spilled = sum(int(words[i - 2]) for i, word in enumerate(words) if word == "spill")
    return {"registers": int(before["registers,"]), "spilled": spilled}


def losses() -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Each kernel with all that it can be asked for, and the plainest of them."""
    for classes, dtype in SIZES:
        z = torch.zeros(1, classes, 32, 32, dtype=dtype, requires_grad=True)
        y = torch.zeros(1, 32, 32, dtype=torch.long)
        name = f"of {classes} classes in {dtype}"
        options = {"mode": "multiclass", "ignore_index": 255}
        yield f"Dice loss {name}", lambda z=z, y=y, k=options: core.dice_loss(z, y, **k)
        yield (
            f"Lovász loss {name}",
            lambda z=z, y=y, k=options: core.lovasz_softmax_loss(z, y, **k),
        )
        yield (
            f"binned Lovász loss {name}",
            lambda z=z, y=y, k=options: core.lovasz_softmax_loss(z, y, bins=4096, **k),
        )
        weights = {"alpha": [1.0] * classes, "pixel_weight": torch.ones(1, 32, 32)}
        options = {**options, **weights}
        yield f"focal loss {name}", lambda z=z, y=y, k=options: core.focal_loss(z, y, **k)
    yield "cross entropy", lambda: core.cross_entropy_loss(z, y, mode="multiclass")
    weights = {"weight": [1.0] * 1000, "mode": "multiclass"}
    yield "weighted cross entropy", lambda: core.cross_entropy_loss(z, y, **weights)
    smooth = {"label_smoothing": 0.1}
    yield "smoothed cross entropy", lambda: core.cross_entropy_loss(z, y, **weights, **smooth)
    x = torch.zeros(1, 3, 32, 32, dtype=torch.float16, requires_grad=True)
    hard, weight = torch.zeros(1, 3, 32, 32, dtype=torch.bool), torch.ones(1, 32, 32)
    several = {"mode": "multilabel", "pixel_weight": weight, "mask": ~hard}
    yield "focal loss of labels", lambda: core.focal_loss(x, hard, alpha=0.25, **several)
    yield "Dice loss of labels", lambda: core.dice_loss(x, hard, mode="multilabel", mask=~hard)
    yield "Lovász hinge", lambda: core.lovasz_hinge_loss(x, hard, mode="multilabel", mask=~hard)
    yield "binary cross entropy", lambda: core.cross_entropy_loss(x[:, 0], hard[:, 0])
    yield "smoothed labels", lambda: core.cross_entropy_loss(x[:, 0], hard[:, 0], **smooth)
    yield "sum of losses", lambda: core.focal_loss(x[:, 0], hard[:, 0], reduction="sum")


def main() -> None:
    rows: list[dict] = []
    sizes: dict[str, Any] = {}

    def launch(kernel: Any, programs: int, on: Tensor, *arguments: Any, **constants: Any) -> None:
        rows.extend({**sizes, **row} for row in compiled(kernel, arguments, constants))

    dispatch.TRITON = True
    gpu.serves = lambda x: True
    for name, module in list(sys.modules.items()):
        if name.startswith("segloss_core.gpu.") and hasattr(module, "launch"):
            module.launch = launch  # type: ignore[attr-defined]
    for name, loss in losses():
        sizes["loss"] = name
        loss().backward()
    sizes["loss"] = "weight map"
    core.unet_weight_map(torch.zeros(1, 8, 32, 32, dtype=torch.long))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
