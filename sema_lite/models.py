"""Four networks, each short enough to be read: `build(name, classes, inputs)` makes one by name.

| name         | tensors | parameters | what it is                                                 |
|--------------|---------|------------|------------------------------------------------------------|
| mlp          | 6       | 1,218      | two hidden layers, for points in the plane and for digits  |
| small_resnet | 38      | 308,826    | a residual network that learns in minutes on two CPU cores |
| small_vit    | 67      | 571,210    | a vision transformer: it has no convolution and no buffers |
| resnet18     | 62      | 11,173,962 | the network of the CIFAR tables, for a GPU                 |

The counts are those of two inputs and two classes (mlp) or ten classes (the others, for 32x32
images in colour). All start from torch's default weights, so `torch.manual_seed` decides them.

K. He, X. Zhang, S. Ren, J. Sun (2015). Deep Residual Learning for Image Recognition.
A. Dosovitskiy et al. (2020). An Image is Worth 16x16 Words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .reference import check_count

IMAGE = (3, 32, 32)  # colours, height, width


class Block(nn.Module):
    """Two 3x3 convolutions beside a short cut. A `stride` of 2 halves height and width."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:  # the shapes differ: the short cut needs weights
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


def small_resnet(classes: int = 10) -> nn.Sequential:
    """A residual network of 308,826 parameters (for ten classes) and nine 3x3 convolutions.

    Its first layer already halves the image, so that an epoch over 5,000 images takes seconds on
    two CPU cores. Input (N, 3, 32, 32), output (N, classes): the logits.
    """
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),  # 32x32 -> 16x16
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Block(16, 16, stride=1),
        Block(16, 32, stride=2),  # -> 8x8
        Block(32, 64, stride=2),  # -> 4x4
        Block(64, 128, stride=2),  # -> 2x2
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, classes),
    )


def resnet18(classes: int = 10) -> nn.Sequential:
    """ResNet-18 (He et al. 2015) for 32x32 images: 62 tensors of 11,173,962 parameters.

    The form in use for CIFAR: where the paper's ImageNet network begins with a 7x7 convolution
    of stride 2 and max pooling, it has one 3x3 convolution of stride 1. With the same weights it
    computes what torchvision's `resnet18` does with such a `conv1` and without its `maxpool`.
    Input (N, 3, 32, 32), output (N, classes): the logits.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
    ]
    inputs = 64
    for outputs in (64, 128, 256, 512):  # two blocks each; images 32x32, 16x16, 8x8, 4x4
        layers.append(Block(inputs, outputs, stride=1 if inputs == outputs else 2))
        layers.append(Block(outputs, outputs, stride=1))
        inputs = outputs
    head = nn.Linear(512, check_count("classes", classes, 1))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def mlp(inputs: int, classes: int, hidden: Sequence[int] = (32, 32)) -> nn.Sequential:
    """A perceptron: a linear layer and a ReLU for each width in `hidden`, and a linear layer.

    `mlp(2, 2)` has 1,218 parameters in 6 tensors; with `hidden=()` it is a linear classifier.
    Input (N, inputs), output (N, classes): the logits.

    Raises:
        ValueError, TypeError: a width that is no whole number >= 1; the message names it.
    """
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        raise TypeError(f"hidden must be a sequence of widths such as (32, 32), got {hidden!r:.60}")
    layers: list[nn.Module] = []
    width = check_count("inputs", inputs, 1)
    for value in hidden:
        layers += [nn.Linear(width, check_count("hidden", value, 1)), nn.ReLU()]
        width = int(value)
    return nn.Sequential(*layers, nn.Linear(width, check_count("classes", classes, 1)))


class Attention(nn.Module):
    """Self-attention of several heads: each token takes in the values of those it looks at.

    Written out, without `F.scaled_dot_product_attention`, whose fast kernels have no second
    derivative: the Hessian needs one. Input and output (N, tokens, width).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads must divide width = {width}, got {heads!r}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)  # queries, keys and values in one product
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        size = width // self.heads
        parts = self.qkv(x).view(n, tokens, 3, self.heads, size)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind()  # each (N, heads, tokens, size)
        looks_at = (q @ k.mT / math.sqrt(size)).softmax(dim=-1)  # (N, heads, tokens, tokens)
        y: Tensor = self.out((looks_at @ v).transpose(1, 2).reshape(n, tokens, width))
        return y


class TransformerBlock(nn.Module):
    """Attention, then a perceptron for each token; both are added to what comes in.

    The layer norms come first, as in Dosovitskiy et al. (2020). Input, output (N, tokens, width).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class VisionTransformer(nn.Module):
    """Patches of an image as tokens (Dosovitskiy et al. 2020), but see `small_vit`.

    Input (N, 3, 32, 32), output (N, classes): the logits.
    """

    def __init__(self, classes: int, patch: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        tokens = (IMAGE[1] // patch) * (IMAGE[2] // patch)
        self.patches = nn.Conv2d(IMAGE[0], width, patch, stride=patch)  # one product per patch
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))  # 0.02: as in their code
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, check_count("classes", classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != IMAGE:  # some other shapes would pass, cut or repeated
            raise ValueError(f"images must be (N, 3, 32, 32), got {tuple(x.shape)}")
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions  # (N, tokens, width)
        logits: Tensor = self.head(self.norm(self.blocks(x)).mean(dim=1))
        return logits


def small_vit(classes: int = 10) -> VisionTransformer:
    """A vision transformer of 571,210 parameters (for ten classes) in 67 tensors.

    64 patches of 4x4 pixels, five blocks of width 96 with three heads, learnt positions. Two
    things are simpler than in Dosovitskiy et al. (2020): the logits come from the mean over all
    tokens, not from a class token, and there is no dropout. It has no buffers, so an average of
    its weights needs no care for batch norm. A step on a CPU takes some fifteen times as long as
    one of `small_resnet`. Input (N, 3, 32, 32), output (N, classes): the logits.
    """
    return VisionTransformer(classes, patch=4, width=96, depth=5, heads=3)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "small_resnet": small_resnet,
    "small_vit": small_vit,
    "resnet18": resnet18,
}


def build(name: str, classes: int, inputs: int | Sequence[int] = IMAGE) -> nn.Module:
    """The network `name` of `MODELS`, with new weights.

    Args:
        classes: the number of logits.
        inputs: the shape of one example, without the batch: (3, 32, 32) for images. Only the mlp
            takes another, such as 2 or (2,) for points in the plane; images it flattens.

    Raises:
        ValueError, TypeError: an unknown name, or `classes` or `inputs` that do not fit.
    """
    if name not in tuple(MODELS):  # a tuple, because a name may be anything, a list too
        raise ValueError(f"model must be one of {tuple(MODELS)}, got {name!r:.60}")
    classes = check_count("classes", classes, 1)
    sizes = inputs if isinstance(inputs, Sequence) and inputs else (inputs,)
    shape = tuple(check_count("inputs", size, 1) for size in sizes)
    if name == "mlp":
        network = mlp(math.prod(shape), classes)
        return network if len(shape) == 1 else nn.Sequential(nn.Flatten(), *network)
    if shape != IMAGE:
        raise ValueError(f"inputs of {name} must be {IMAGE}, got {inputs!r:.60}")
    return MODELS[name](classes)
