"""Time and memory of one call, forward and backward."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import time
from statistics import median

import torch
from torch import Tensor

from .cases import OURS, Call, Case

TOLERANCE = 2e-3  # the bins are allowed 1 / 4096, and some peers smooth


def step(call: Call, z: Tensor) -> tuple[float, float]:
    """Milliseconds and value of forward and backward; a map has no backward."""
    x = z.detach().requires_grad_(z.is_floating_point())
    if z.device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        value = _forward_backward(call, x)
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end), value.double().mean().item()
    before = time.perf_counter()
    value = _forward_backward(call, x)
    return 1e3 * (time.perf_counter() - before), value.double().mean().item()


def _forward_backward(call: Call, x: Tensor) -> Tensor:
    value = call(x)
    if x.requires_grad:
        value.backward()
    return value.detach()


def check_values(case: Case) -> dict[str, float]:
    """Values of all calls; raises where a peer computes something else."""
    values = {}
    for name, call in {**case.calls, **case.variants}.items():
        _, values[name] = step(call, case.workload.z)
        _, expected = step(case.expected.get(name, case.calls[OURS]), case.workload.z)
        if not abs(values[name] - expected) <= TOLERANCE * max(abs(expected), 0.1):
            raise AssertionError(f"{case.name}: {name} gives {values[name]}, not {expected}")
    return values


def interleave(case: Case, rounds: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each call in each round; a round calls everybody in turn.

    Comparing the values has warmed them up.
    """
    calls = {**case.calls, **case.variants}
    times: dict[str, list[float]] = {name: [] for name in calls}
    gc.disable()
    for turn in range(rounds):
        for name in list(calls) if turn % 2 else reversed(calls):
            each = [step(calls[name], case.workload.z)[0] for _ in range(repeats)]
            times[name].append(median(each))
    gc.enable()
    return times


def peak_memory(call: Call, z: Tensor) -> float:
    """Peak above the start in units of z, x.grad included."""
    if z.device.type == "cuda":
        step(call, z)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(call, z)
        return (torch.cuda.max_memory_allocated() - before) / z.nbytes
    return _in_child(call, z) / z.nbytes


def _in_child(call: Call, z: Tensor) -> float:
    """Bytes in a process of its own, whose allocator is new. (Linux)"""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        step(call, z)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts here
        before = _status("VmRSS")
        step(call, z)
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(_status("VmHWM") - before, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    if not data:
        raise RuntimeError("the measuring process died")
    result: float = pickle.loads(data)
    return result


def _status(field: str) -> float:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field):
                return 1024 * float(line.split()[1])
    raise RuntimeError(f"{field}: not in /proc/self/status")
