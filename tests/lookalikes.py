"""Networks built as torchvision and timm build theirs: the same structure and names, but small.

Neither library is needed here; what `Classifier.wrap` meets in them is this.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """As in `torchvision.models.resnet`."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(inputs)))))
        added: Tensor = self.relu(outputs + self.downsample(inputs))
        return added


class TorchvisionResNet(nn.Module):
    """`torchvision.models.resnet18`: stem, layers, pooling, flattened in `forward`, `fc`."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(8, 8, 1))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.maxpool(self.relu(self.bn1(self.conv1(inputs))))
        outputs = self.avgpool(self.layer2(self.layer1(outputs)))
        logits: Tensor = self.fc(torch.flatten(outputs, 1))
        return logits


class TorchvisionMobileNet(nn.Module):
    """`torchvision.models.mobilenet_v2`: `classifier` of dropout and a linear layer."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()),
            nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.BatchNorm2d(8), nn.ReLU6()),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, classes))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = nn.functional.adaptive_avg_pool2d(self.features(inputs), (1, 1))
        logits: Tensor = self.classifier(torch.flatten(outputs, 1))
        return logits


class TorchvisionVisionTransformer(nn.Module):
    """`torchvision.models.vit_b_16`: torch's own attention, and the head in `heads.head`."""

    def __init__(self, classes: int = 3, width: int = 16) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, 4, 4)
        self.encoder = nn.Sequential(
            OrderedDict(
                layer=nn.TransformerEncoderLayer(width, 2, 32, batch_first=True, norm_first=True),
                ln=nn.LayerNorm(width),
            )
        )
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(width, classes)))

    def forward(self, inputs: Tensor) -> Tensor:
        states = self.conv_proj(inputs).flatten(2).transpose(1, 2)
        logits: Tensor = self.heads(self.encoder(states).mean(1))
        return logits


class TimmAttention(nn.Module):
    """As in `timm.layers`: one map to queries, keys and values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, states: Tensor) -> Tensor:
        count, length, width = states.shape
        parts = self.qkv(states).view(count, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*parts.unbind(0))
        found: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, width))
        return found


class TimmBlock(nn.Module):
    """As in `timm.models.vision_transformer`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), TimmAttention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, 32), act=nn.GELU(), fc2=nn.Linear(32, width))
        )

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.attn(self.norm1(states))
        found: Tensor = states + self.mlp(self.norm2(states))
        return found


class TimmVisionTransformer(nn.Module):
    """`timm.create_model("vit_tiny_patch16_224")`: a token for the class, `head_drop`, `head`.

    Like timm's it holds weights of its own, which `init_weights` draws.
    """

    def __init__(self, classes: int = 3, width: int = 16) -> None:
        super().__init__()
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, width, 4, 4)))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 17, width))
        self.blocks = nn.Sequential(*(TimmBlock(width) for _ in range(2)))
        self.norm, self.fc_norm = nn.LayerNorm(width), nn.Identity()
        self.head_drop, self.head = nn.Dropout(0.1), nn.Linear(width, classes)
        self.init_weights()

    def init_weights(self, mode: str = "") -> None:
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)

    def forward(self, inputs: Tensor) -> Tensor:
        states = self.patch_embed(inputs).flatten(2).transpose(1, 2)
        states = torch.cat([self.cls_token.expand(len(states), -1, -1), states], 1)
        states = self.norm(self.blocks(states + self.pos_embed))
        logits: Tensor = self.head(self.head_drop(self.fc_norm(states[:, 0])))
        return logits


class TimmScaledBlock(nn.Module):
    """As in `timm.models.cait`: each branch times a parameter of the block's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), TimmAttention(width)
        self.norm2, self.mlp = nn.LayerNorm(width), nn.Linear(width, width)
        self.gamma_1 = nn.Parameter(0.1 * torch.ones(width))
        self.gamma_2 = nn.Parameter(0.1 * torch.ones(width))

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.gamma_1 * self.attn(self.norm1(states))
        found: Tensor = states + self.gamma_2 * self.mlp(self.norm2(states)).relu()
        return found


class TimmCait(nn.Module):
    """`timm.create_model("cait_xxs24_224")`: parameters of its own that nothing draws anew.

    The token for the class and the positions are so in torchvision's transformers, and the scales
    of layers in every ConvNeXt.
    """

    def __init__(self, classes: int = 3, width: int = 16, channels: int = 3) -> None:
        super().__init__()
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(channels, width, 4, 4)))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 17, width))
        self.blocks = nn.Sequential(*(TimmScaledBlock(width) for _ in range(2)))
        self.norm = nn.LayerNorm(width)
        self.head_drop, self.head = nn.Dropout(0.1), nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        states = self.patch_embed(inputs).flatten(2).transpose(1, 2)
        states = torch.cat([self.cls_token.expand(len(states), -1, -1), states], 1)
        states = self.norm(self.blocks(states + self.pos_embed))
        logits: Tensor = self.head(self.head_drop(states[:, 0]))
        return logits
