"""Networks as people write them, small: one of each kind, with `forward` and names of their own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations


class OneConvolution(nn.Module):
    """A network of a user's own, written as most are, for images of 16x16 pixels."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 14 * 14, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.convolution(images)).flatten(1))
        return logits


class PlainCNN(nn.Module):
    """Three layers, written with functions."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.hidden, self.fc = nn.Linear(8 * 9, 16), nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 4)
        x = x.view(x.size(0), -1)
        x = F.dropout(F.relu(self.hidden(x)), 0.2, self.training)
        logits: Tensor = self.fc(x)
        return logits


class ShallowCNN(nn.Module):
    """The built-in `shallow_cnn`, as people write it."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 5, 2), nn.Conv2d(16, 32, 5, 2)
        self.hidden, self.fc = nn.Linear(512, 128), nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = torch.flatten(F.relu(self.conv2(x)), 1)
        logits: Tensor = self.fc(self.hidden(x).relu())
        return logits


class AlexStyle(nn.Module):
    """`features`, `avgpool` and `classifier`, dropout before every linear layer."""

    def __init__(self, classes: int = 3, *, normalised: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 8), (8, 8), (8, 12)):
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
            layers += [nn.BatchNorm2d(outputs)] if normalised else []
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(48, 16), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(16, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.avgpool(self.features(x)), 1)
        logits: Tensor = self.classifier(x)
        return logits


def conv_norm(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> Any:
    """Return a convolution that keeps the size, and BatchNorm."""
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Basic(nn.Module):
    """ResNet's block of two convolutions, which may be dropped at random while training."""

    drop = 0.0

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(inputs, outputs, stride=stride)
        self.second = conv_norm(outputs, outputs)
        self.short = conv_norm(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.second(F.relu(self.first(x), inplace=True))
        if self.drop and self.training:
            kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(1 - self.drop)
            out = out * kept / (1 - self.drop)
        out += x if self.short is None else self.short(x)
        return F.relu(out)


class Dropped(Basic):
    """The same with stochastic depth."""

    drop = 0.3


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions; of ResNeXt with groups; of SE networks with a gate."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, groups: int = 1, *, gate: bool = False
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.conv3, self.bn3 = nn.Conv2d(8, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.down = conv_norm(inputs, outputs, 1, stride) if inputs != outputs else nn.Identity()
        self.squeeze = nn.Linear(outputs, 4) if gate else None
        self.excite = nn.Linear(4, outputs) if gate else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        if self.squeeze is not None and self.excite is not None:
            scale = torch.sigmoid(self.excite(F.relu(self.squeeze(out.mean((2, 3))))))
            out = out * scale[:, :, None, None]
        summed: Tensor = self.relu(out + self.down(x))
        return summed


class Grouped(Bottleneck):
    """A bottleneck with grouped convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride, groups=4)


class Gated(Bottleneck):
    """A bottleneck with squeeze and excitation."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride, gate=True)


class PreActivation(nn.Module):
    """ResNet's block with normalisation and activation first."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.short = nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        start = F.relu(self.bn1(x))
        short = x if self.short is None else self.short(start)
        summed: Tensor = self.conv2(F.relu(self.bn2(self.conv1(start)))) + short
        return summed


class InvertedResidual(nn.Module):
    """MobileNet's block: wide, by depth, narrow."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.expand, self.depth = conv_norm(inputs, 16, 1), conv_norm(16, 16, 3, stride, 16)
        self.project = conv_norm(16, outputs, 1)
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(F.relu6(self.depth(F.relu6(self.expand(x)))))
        return x + out if self.residual else out


class Inception(nn.Module):
    """Branches of several sizes, side by side."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.one, self.three = conv_norm(inputs, half, 1), conv_norm(inputs, outputs - half, 3)
        self.pool = nn.MaxPool2d(3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [F.relu(self.one(x)), F.relu(self.three(x))]
        pooled: Tensor = self.pool(torch.cat(branches, 1))
        return pooled


class Dense(nn.Module):
    """DenseNet's block: every layer reads what all before it wrote; then a transition."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(inputs + 4 * i), nn.Conv2d(inputs + 4 * i, 4, 3, 1, 1))
            for i in range(2)
        )
        self.transition, self.stride = nn.Conv2d(inputs + 8, outputs, 1), stride

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(F.relu(layer(torch.cat(features, 1))))
        pooled: Tensor = F.avg_pool2d(self.transition(torch.cat(features, 1)), self.stride)
        return pooled


class Staged(nn.Module):
    """A stem, blocks of one kind, pooling and `fc`."""

    def __init__(self, kind: Callable[[int, int, int], nn.Module], classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm, self.pool = nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1)
        self.layer1 = nn.Sequential(kind(8, 8, 1), kind(8, 8, 1))
        self.layer2 = nn.Sequential(kind(8, 16, 2), kind(16, 16, 1))
        self.fc = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(F.relu(self.norm(self.stem(x)))))
        logits: Tensor = self.fc(torch.flatten(self.pool(x), 1))
        return logits


class ConvNeXtBlock(nn.Module):
    """By depth, LayerNorm, two linear layers, a learned scale, and stochastic depth."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth, self.norm = nn.Conv2d(width, width, 7, 1, 3, groups=width), nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 0.5))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.gamma, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.depth(x).permute(0, 2, 3, 1))
        out = (self.gamma * self.narrow(F.gelu(self.wide(out)))).permute(0, 3, 1, 2)
        if self.training:
            out = out * (torch.rand(x.shape[0], 1, 1, 1) < 0.8) / 0.8
        summed: Tensor = x + out
        return summed


class ConvNeXt(nn.Module):
    """Patches, two blocks, a coarser stage, and the mean of the map."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem, self.down = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 12, 2, 2)
        self.stage1 = nn.Sequential(ConvNeXtBlock(8), ConvNeXtBlock(8))
        self.stage2 = nn.Sequential(ConvNeXtBlock(12))
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.down(self.stage1(self.stem(x))))
        logits: Tensor = self.head(self.norm(x.mean([-2, -1])))
        return logits


class RegNet(Staged):
    """Grouped bottlenecks with gates."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__(
            lambda inputs, outputs, stride: Bottleneck(inputs, outputs, stride, 2, gate=True),
            classes,
        )


class Mixer(nn.Module):
    """MLP-Mixer: linear layers over positions, and over channels."""

    def __init__(self, classes: int = 3, depth: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(12) for _ in range(2 * depth))
        self.positions = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 16)) for _ in range(depth)
        )
        self.channels = nn.ModuleList(
            nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12)) for _ in range(depth)
        )
        self.head = nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        for i, (positions, channels) in enumerate(zip(self.positions, self.channels, strict=True)):
            x = x + positions(self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + channels(self.norms[2 * i + 1](x))
        logits: Tensor = self.head(x.mean(1))
        return logits


class Attention(nn.Module):
    """Self-attention of two heads, written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        scores = query @ key.transpose(-2, -1) / (width // 2) ** 0.5
        scores = scores if bias is None else scores + bias
        mixed = scores.softmax(-1) @ value
        attended: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return attended


class EncoderLayer(nn.Module):
    """Normalise, attend, add; normalise, think, add."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        summed: Tensor = x + self.mlp(self.norm2(x))
        return summed


class VisionTransformer(nn.Module):
    """Patches, a class token, learned positions, layers, and the class token's state."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 4, 4)
        self.cls_token, self.pos_embed = (
            nn.Parameter(torch.empty(1, 1, 12)),
            nn.Parameter(torch.empty(1, 17, 12)),
        )
        self.drop, self.layers = nn.Dropout(0.1), nn.ModuleList(EncoderLayer(12) for _ in range(3))
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.pos_embed, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1)
        x = self.drop(x + self.pos_embed)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(self.norm(x)[:, 0])
        return logits


class WindowLayer(nn.Module):
    """Attention within windows, every second layer with windows moved by half, and a bias."""

    def __init__(self, width: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm, self.attention = nn.LayerNorm(width), Attention(width)
        self.table = nn.Parameter(torch.empty((2 * window - 1) ** 2, 2))
        rows = torch.stack(
            torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        )
        offsets = (rows.flatten(1)[:, :, None] - rows.flatten(1)[:, None]) + window - 1
        self.register_buffer("index", offsets[0] * (2 * window - 1) + offsets[1], persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        size = self.window
        if height % size or width % size:
            raise ValueError("Wrong image size")
        out = self.norm(x)
        if self.shift:
            out = torch.roll(out, (-self.shift, -self.shift), (1, 2))
        out = out.view(batch, height // size, size, width // size, size, channels)
        out = out.permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, channels)
        assert isinstance(self.index, Tensor)
        bias = self.table[self.index.view(-1)].view(size * size, size * size, 2).permute(2, 0, 1)
        out = self.attention(out, bias)
        out = out.view(batch, height // size, width // size, size, size, channels)
        out = out.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)
        if self.shift:
            out = torch.roll(out, (self.shift, self.shift), (1, 2))
        summed: Tensor = x + out
        return summed


class Windowed(nn.Module):
    """Layers of windowed attention, then the mean."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 2, 2)
        self.layers = nn.Sequential(*(WindowLayer(12, 4, 2 * (i % 2)) for i in range(4)))
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.patch(x).permute(0, 2, 3, 1))
        logits: Tensor = self.head(self.norm(x).mean((1, 2)))
        return logits


class OddCalls(PlainCNN):
    """Functions called with names and outputs of their own; modules named like Python's words."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__(classes)
        self.add_module("lambda", nn.Conv2d(8, 8, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(input=self.conv1(x), negative_slope=0.2)
        x = F.elu(self.get_submodule("lambda")(x), alpha=0.5)
        with torch.no_grad():
            gate = torch.sigmoid(x.detach(), out=torch.empty_like(x))
        x = F.max_pool2d(F.gelu(self.conv2(x * gate), approximate="tanh"), 4)
        x = F.hardtanh(self.hidden(x.flatten(1)), -2.0, 2.0)
        logits: Tensor = self.fc(x)
        return logits


class Auxiliary(PlainCNN):
    """A second output while it is trained, as GoogLeNet has."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__(classes)
        self.aux = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Any:
        x = F.relu(self.conv1(x))
        aux = self.aux(x.mean((2, 3))) if self.training else None
        x = F.max_pool2d(F.relu(self.conv2(x)), 4).flatten(1)
        logits = self.fc(F.relu(self.hidden(x)))
        return (logits, aux) if self.training else logits


class Repeated(nn.Module):
    """One block, applied three times."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 8, 3, 2, 1), Basic(8, 8, 1)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for _ in range(3):
            x = self.block(x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Normed(nn.Module):
    """Convolutions whose weights a hook or a parametrization makes."""

    def __init__(self, norm: Callable[[Any], Any], classes: int = 3) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of hooks that are old, but in use
            self.conv1, self.conv2 = norm(nn.Conv2d(3, 8, 3, 2)), norm(nn.Conv2d(8, 8, 3, 2))
        self.fc = nn.Linear(72, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.conv2(torch.relu(self.conv1(x))))
        logits: Tensor = self.fc(x.flatten(1))
        return logits


class GroupNormed(nn.Module):
    """GroupNorm and InstanceNorm, SiLU, dropout of channels, and `x.mean` in place of pooling."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, 2, 1), nn.InstanceNorm2d(8, affine=True)
        self.drop, self.head = nn.Dropout2d(0.2), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(F.silu(self.norm1(self.conv1(x))))
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)
        logits: Tensor = self.head(x.mean(-1).mean(-1))
        return logits


class ConvHead(nn.Module):
    """A convolution of one pixel as the head, then the mean over all pixels."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 12, 3, 2)
        self.classifier = nn.Conv2d(12, classes, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return torch.flatten(self.pool(self.classifier(x)), 1)


class LSTMText(nn.Module):
    """Word vectors, an LSTM, and the last state."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8, padding_idx=0)
        self.lstm, self.hidden = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 12)
        self.fc = nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(self.embed(x.long()))
        logits: Tensor = self.fc(torch.relu(self.hidden(hidden[-1])))
        return logits


class ConvText(nn.Module):
    """Word vectors and convolutions over the text."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.conv1, self.conv2 = nn.Conv1d(8, 8, 3, padding=1), nn.Conv1d(8, 12, 3, padding=1)
        self.fc = nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(self.embed(x.long()).transpose(1, 2)))
        x = F.relu(self.conv2(x))
        logits: Tensor = self.fc(x.max(dim=2).values)
        return logits


class TorchEncoder(nn.Module):
    """Torch's own encoder of texts, with its own attention."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.encoder(self.embed(x.long())).mean(1))
        return logits


IMAGE, TEXT = (3, 16, 16), (10,)
ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "cnn": (PlainCNN, IMAGE, 3),
    "alexnet": (AlexStyle, IMAGE, 4),
    "odd_calls": (OddCalls, IMAGE, 3),
    "vgg_bn": (lambda: AlexStyle(normalised=True), IMAGE, 4),
    "resnet_basic": (lambda: Staged(Basic), IMAGE, 5),
    "resnet_bottleneck": (lambda: Staged(Bottleneck), IMAGE, 5),
    "resnet_pre_activation": (lambda: Staged(PreActivation), IMAGE, 5),
    "resnext": (lambda: Staged(Grouped), IMAGE, 5),
    "se_resnet": (lambda: Staged(Gated), IMAGE, 5),
    "stochastic_depth": (lambda: Staged(Dropped), IMAGE, 5),
    "mobilenet": (lambda: Staged(InvertedResidual), IMAGE, 5),
    "inception": (lambda: Staged(Inception), IMAGE, 5),
    "densenet": (lambda: Staged(Dense), IMAGE, 5),
    "convnext": (ConvNeXt, IMAGE, 4),
    "regnet": (RegNet, IMAGE, 5),
    "mixer": (Mixer, IMAGE, 4),
    "vit": (VisionTransformer, IMAGE, 4),
    "swin": (Windowed, IMAGE, 4),
    "auxiliary": (Auxiliary, IMAGE, 3),
    "shared_block": (Repeated, IMAGE, 4),
    "data_parallel": (lambda: nn.DataParallel(Staged(Basic)), IMAGE, 5),
    "weight_norm": (lambda: Normed(nn.utils.weight_norm), IMAGE, 2),
    "spectral_norm": (lambda: Normed(nn.utils.spectral_norm), IMAGE, 2),
    "parametrized_weight_norm": (lambda: Normed(parametrizations.weight_norm), IMAGE, 2),
    "parametrized_spectral_norm": (lambda: Normed(parametrizations.spectral_norm), IMAGE, 2),
    "group_norm": (GroupNormed, IMAGE, 2),
    "conv_head": (ConvHead, IMAGE, 2),
    "lstm": (LSTMText, TEXT, 1),
    "conv_text": (ConvText, TEXT, 2),
    "torch_encoder": (TorchEncoder, TEXT, 3),
}
"""A function that makes a network, the shape of its samples, and its blocks at the least."""
