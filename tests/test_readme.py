"""The README's lines of Python run as they stand, and do what it says of them."""

import re
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).parent.parent


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    seen = []

    def train(model, loader, optimizer):
        for batch in loader:
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()

    names = {
        "torch": torch,
        "model": model,
        "loader": x.split(4),
        "optimizer": torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
        "epochs": 2,
        "train": train,
        "evaluate": lambda model: seen.append(model[0].weight.detach().clone()),
    }
    for block in blocks:
        exec(block, names)
    avg = names["avg"]
    assert (avg.step, avg.switches) == (6, 2)
    assert torch.equal(seen[-1], avg.average["0.weight"])
    assert torch.equal(torch.load("best.pt")["0.weight"], seen[-1])
