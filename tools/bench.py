"""How fast is averaging? Times update, switch and evaluation swap against other libraries.

    make bench                      # or: python tools/bench.py --help

All contenders run in one process, interleaved in a new random order each round, so that a busy
machine is equally unkind to all; a table shows medians, and the median of each round's ratio to the
floor: one in-place `lerp_` (update) or `copy_` (switch, swap) over one flat tensor as large as the
parameters.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ema_pytorch
import timm
import torch
import torch_ema
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sema_lite import EMA, reference
from sema_lite.landscapes import NoisyQuadratic
from sema_lite.models import mlp, resnet18
from sema_lite.results import versions, write_json
from sema_lite.simulate import simulate

DECAY = 0.9375  # has no rounding error in the float32 that one of the libraries computes it in
SLICE = 0.02  # seconds
Calls = dict[str, Callable[[], object]]


def vit_small() -> nn.Module:
    return timm.create_model("vit_small_patch16_224", num_classes=10)


def thousand() -> nn.Module:
    return nn.ParameterList([nn.Parameter(torch.randn(100)) for _ in range(1000)])


MODELS = {
    "MLP 2-32-32-2": lambda: mlp(2, 2),
    "ResNet-18": resnet18,
    "ViT-S": vit_small,
    "1,000 x 100": thousand,
}


def contenders(make: Callable[[], nn.Module], device: str) -> tuple[int, int, dict[str, Calls]]:
    """(tensors, parameters, {operation: {contender: call}}); each contender has its own model."""
    models = [make().to(device) for _ in range(6)]
    ours, flat, swa, timms, pytorch, torchs = models
    sizes = [p.numel() for p in ours.parameters()]
    numel = sum(sizes)
    one, two = (torch.randn(numel, device=device) for _ in range(2))
    default = EMA(ours, DECAY)
    flattened = EMA(flat, DECAY, flatten=True)
    swa_average = AveragedModel(swa, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    timm_average = timm.utils.ModelEmaV3(timms, decay=DECAY)
    ema = ema_pytorch.EMA(
        pytorch, beta=DECAY, min_value=DECAY, update_after_step=0, update_every=1, use_foreach=True
    )
    params = list(torchs.parameters())  # torch-ema holds them weakly
    shadow = torch_ema.ExponentialMovingAverage(params, DECAY, use_num_updates=False)

    def swap_ours(average: EMA) -> Callable[[], object]:
        def swap() -> None:
            with average.applied():
                pass

        return swap

    def swap_shadow() -> None:
        with shadow.average_parameters(params):
            pass

    update: Calls = {
        "floor": lambda: one.lerp_(two, 1 - DECAY),
        "sema_lite": default.update,
        "sema_lite flat": flattened.update,
        "swa_utils": lambda: swa_average.update_parameters(swa),
        "timm": lambda: timm_average.update(timms),
        "ema-pytorch": ema.update,
        "torch-ema": lambda: shadow.update(params),
    }
    switch: Calls = {
        "floor": lambda: one.copy_(two),
        "sema_lite": default.switch,
        "sema_lite flat": flattened.switch,
        "ema-pytorch": ema.update_model_with_ema,
        "torch-ema": lambda: shadow.copy_to(params),
    }
    swap: Calls = {
        "floor": lambda: one.copy_(two),
        "sema_lite": swap_ours(default),
        "sema_lite flat": swap_ours(flattened),
        "torch-ema": swap_shadow,
    }
    return len(sizes), numel, {"update": update, "switch": switch, "swap": swap}


def time_calls(calls: Calls, device: str, rounds: int, slice_s: float) -> dict[str, float]:
    """Median seconds per call of each contender, over `rounds` interleaved slices."""
    return medians(time_rounds(calls, device, rounds, slice_s))


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in times.items()}


def time_rounds(calls: Calls, device: str, rounds: int, slice_s: float) -> dict[str, list[float]]:
    """Seconds per call of each contender in each round."""
    sync = torch.cuda.synchronize if device == "cuda" else lambda: None
    repeats = {}
    for name, call in calls.items():
        call(), call(), sync()
        start = time.perf_counter()
        call(), sync()
        repeats[name] = max(1, min(1000, int(slice_s / (time.perf_counter() - start))))
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            call, n = calls[name], repeats[name]
            start = time.perf_counter()
            for _ in range(n):
                call()
            sync()
            times[name].append((time.perf_counter() - start) / n)
    return times


def over(times: dict[str, list[float]], floor: str) -> dict[str, float]:
    """Median over the rounds of the time divided by that of `floor` in the same round: a machine
    that is busy for some rounds slows both."""
    return medians(
        {
            name: [a / b for a, b in zip(values, times[floor], strict=True)]
            for name, values in times.items()
        }
    )


def bandwidth(device: str) -> float:
    """Bytes per second of a large copy on this device: those read and those written."""
    one, two = (torch.zeros(64 * 2**20, device=device) for _ in range(2))
    seconds = time_calls({"copy": lambda: one.copy_(two)}, device, 7, 0.05)["copy"]
    return 2 * one.numel() * one.element_size() / seconds


def bench_averaging(device: str, rounds: int) -> list[dict[str, object]]:
    limit = bandwidth(device)
    print(f"\n{device}: a large copy moves {limit / 1e9:.1f} GB/s (read + written)")
    rows: list[dict[str, object]] = []
    for model, make in MODELS.items():
        tensors, numel, operations = contenders(make, device)
        for operation, calls in operations.items():
            times = time_rounds(calls, device, rounds, SLICE)
            seconds = medians(times)
            row: dict[str, object] = {
                "device": device,
                "model": model,
                "tensors": tensors,
                "parameters": numel,
                "operation": operation,
                "microseconds": {n: round(s * 1e6, 3) for n, s in seconds.items()},
                "times the floor": {n: round(r, 3) for n, r in over(times, "floor").items()},
            }
            if operation == "update":  # read the average, read the weights, write the average
                row["share of 12 bytes per parameter"] = {
                    n: round(12 * numel / limit / s, 3) for n, s in seconds.items()
                }
            rows.append(row)
            print_row(row)
    return rows


def print_row(row: dict[str, object]) -> None:
    times, ratios = row["microseconds"], row["times the floor"]
    assert isinstance(times, dict)
    assert isinstance(ratios, dict)
    parts = [f"{n} {ratios[n]:.2f}" for n in times if n != "floor"]
    print(
        f"{row['model']:14} {row['operation']:7} floor {times['floor']:10.1f} us | "
        + " | ".join(parts),
        flush=True,
    )


def bench_simulate(device: str, rounds: int) -> dict[str, object]:
    """Walker-steps per second of `simulate` and of the pure Python reference."""
    landscape = NoisyQuadratic()
    walkers, steps = 10_000, 200
    simulate(landscape, lr=0.1, steps=5, walkers=walkers, device=device)

    def fast() -> None:
        simulate(
            landscape,
            lr=0.1,
            steps=steps,
            walkers=walkers,
            decays=[0.9],
            periods=[10],
            device=device,
        )

    def by_hand() -> None:
        weights = list(landscape.start)
        sgd = reference.SGD(weights, 0.1)
        sema = reference.SEMA(weights, 0.9, switch_every=10)
        for _ in range(steps):
            dx, dy = landscape.grad(*weights)
            sgd.step([dx + random.gauss(0, 1), dy + random.gauss(0, 1)])
            sema.update()

    seconds = time_calls({"simulate": fast, "reference": by_hand}, device, min(rounds, 7), 0.2)
    rates = {"simulate": walkers * steps, "reference": steps}
    rates = {name: round(work / seconds[name]) for name, work in rates.items()}
    ratio = rates["simulate"] / rates["reference"]
    print(f"simulate {device}: {rates} walker-steps per second, {ratio:.0f} times the reference")
    return {
        "device": device,
        "walkers": walkers,
        "steps per second": rates,
        "ratio": round(ratio, 1),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def store(
    about: str | None,
    file: str,
    packages: Sequence[str],
    parts: dict[str, Callable[[str, int], object]],
    rounds: int,
) -> None:
    """The command line of a benchmark: run its parts on each device, write `file`-DEVICE.json."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (2)")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"interleaved slices ({rounds})")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: all there are")
    parser.add_argument("--out", type=Path, default=Path("data/results"), help="folder for JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for device in [args.device] if args.device else ["cpu", *["cuda"] * torch.cuda.is_available()]:
        torch.manual_seed(0)
        random.seed(0)
        result = {
            "command": f"python tools/{Path(sys.argv[0]).name}",
            "machine": torch.cuda.get_device_name() if device == "cuda" else processor(),
            "threads": args.threads,
            "cores": os.cpu_count(),
            "versions": versions("torch", "torchvision", *packages),
        }
        result |= {name: part(device, args.rounds) for name, part in parts.items()}
        path = args.out / f"{file}-{device}.json"
        write_json(path, result, indent=1)
        print(f"written to {path}")


if __name__ == "__main__":
    parts = {"averaging": bench_averaging, "simulate": bench_simulate}
    store(__doc__, "bench", ("timm", "ema-pytorch", "torch-ema"), parts, rounds=61)
