"""torch.compile, DistributedDataParallel, CUDA."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch._dynamo.testing import CompileCounter

from sema_lite import EMA, SEMA

FLATTEN = pytest.mark.parametrize("flatten", [False, True], ids=["default", "flat"])


@FLATTEN
def test_a_compiled_model_makes_no_new_graph_after_a_switch(flatten):
    torch._dynamo.reset()
    counter = CompileCounter()
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(27, 2))
    model.to(memory_format=torch.channels_last)
    compiled = torch.compile(model, backend=counter)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sema = SEMA(compiled, 0.9, switch_every=3, flatten=flatten).attach(optimizer)
    assert "0.weight" in sema.average, "the names are the model's, not the wrapper's"
    x = torch.randn(4, 2, 5, 5)

    def step():
        optimizer.zero_grad()
        compiled(x).square().mean().backward()
        optimizer.step()

    step()
    with torch.no_grad(), sema.applied():
        compiled.eval()(x)
    compiled.train()
    step()
    graphs = counter.frame_count
    assert graphs >= 2  # training and evaluation
    for _ in range(7):
        step()
        with torch.no_grad(), sema.applied():
            out = compiled.eval()(x)
        compiled.train()
    assert sema.switches == 3
    assert counter.frame_count == graphs
    torch.testing.assert_close(out, sema.averaged_model().eval()(x))
    sema.copy_to(compiled)  # looked through, too
    assert torch.equal(model[0].weight, sema.average["0.weight"])


def _train(model, batches, flatten=False):
    """Ten steps of SGD with SEMA; returns the average, the live weights, those in applied()."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    sema = SEMA(model, 0.9, switch_every=4, flatten=flatten).attach(optimizer)
    for batch in batches:
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
    with sema.applied():
        inside = {n: p.detach().clone() for n, p in sema.model.named_parameters()}
    return {"average": sema.average, "live": dict(sema.model.state_dict()), "inside": inside}


def _network(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def _batches(rank):
    data = torch.Generator().manual_seed(rank)
    return [torch.randn(5, 3, generator=data) for _ in range(10)]


def _ddp_process(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.set_num_threads(1)
    results = {}
    for flatten in (False, True):
        model = nn.parallel.DistributedDataParallel(_network(rank))  # takes rank 0's weights
        results[str(flatten)] = _train(model, _batches(rank), flatten)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.skipif(not dist.is_gloo_available(), reason="this torch has no gloo")
def test_two_processes_agree_under_ddp(tmp_path):
    """With each other bit for bit, and with one process that sees both halves of each batch."""
    mp.spawn(_ddp_process, (_free_port(), str(tmp_path)), nprocs=2)
    one, two = (torch.load(tmp_path / f"{r}.pt", weights_only=True) for r in (0, 1))
    whole = [torch.cat(halves) for halves in zip(_batches(0), _batches(1), strict=True)]
    alone = _train(_network(0), whole)
    for flatten in ("False", "True"):
        for part, expected in alone.items():
            assert one[flatten][part].keys() == expected.keys(), "names without DDP's prefix"
            for name in expected:
                assert torch.equal(one[flatten][part][name], two[flatten][part][name])
                torch.testing.assert_close(one[flatten][part][name], expected[name])


@FLATTEN
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_equals_cpu_without_synchronising(flatten):
    def run(device):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)).double().to(device)
        sema = SEMA(model, 0.9, switch_every=3, flatten=flatten)
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("error")
        try:
            for step in range(8):
                with torch.no_grad():
                    for p in model.parameters():
                        p.mul_(0.9).add_(0.01 * step)
                sema.update()
        finally:
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("default")
        return {n: a.cpu() for n, a in sema.average.items()}

    cpu, cuda = run("cpu"), run("cuda")
    for name in cpu:
        torch.testing.assert_close(cuda[name], cpu[name], rtol=1e-14, atol=1e-14)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_moving_to_cuda_after_construction_is_noticed():
    model = nn.Linear(2, 2)
    ema = EMA(model, 0.9)
    model.cuda()
    with pytest.raises(ValueError, match="was moved"):
        ema.update()
