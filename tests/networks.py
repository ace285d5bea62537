"""Networks from elsewhere: three stages, joined in ways that stand in the way of being cut."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from zoo.specs import Stage


class Narrow(nn.Linear):
    """In the place of the layers of 4096 values, which hold nine tenths of a VGG's weights."""

    def __init__(self, inputs, outputs):
        super().__init__(*(64 if size == 4096 else size for size in (inputs, outputs)))


def narrow(patch):
    """Torchvision builds its VGGs and transformers with few channels, as long as `patch` holds."""
    from torchvision.models import swin_transformer, vision_transformer

    vit, swin = vision_transformer._vision_transformer, swin_transformer._swin_transformer
    patch.setattr("torchvision.models.vgg.nn", SimpleNamespace(**vars(nn) | {"Linear": Narrow}))
    patch.setattr(
        vision_transformer, "_vision_transformer", lambda **given: vit(**given | {"hidden_dim": 96, "mlp_dim": 192})
    )
    patch.setattr(swin_transformer, "_swin_transformer", lambda **given: swin(**given | {"embed_dim": 24}))


STAGES = tuple(Stage(name, (name,)) for name in ("stem", "body", "head"))


class Small(nn.Module):
    """Three stages, one behind the other."""

    def __init__(self, classes=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(64, classes)

    def forward(self, images):
        return self.head(self.body(self.stem(images)))


class DependsOnData(Small):
    def forward(self, images):
        maps = self.stem(images)
        if maps.mean() > 1e6:
            maps = maps / 2
        return self.head(self.body(maps))


class DependsOnMode(Small):
    def forward(self, images):
        maps = self.stem(images)
        if self.training:
            maps = maps * 1.01
        return self.head(self.body(maps))


class TwoValues(Small):
    def forward(self, images):
        maps = self.stem(images)
        return self.head(self.body(maps) + images.mean((1, 2, 3)).unsqueeze(1))


class FunctionalDropout(Small):
    def forward(self, images):
        return self.head(self.body(F.dropout(self.stem(images), 0.5, training=self.training)))


class AlwaysRandom(Small):
    def forward(self, images):
        return self.head(self.body(F.dropout(self.stem(images), 0.5)))


class Shared(Small):
    """One convolution at two places, one BatchNorm behind it: fusing them would change both."""

    def __init__(self, classes=3):
        super().__init__(classes)
        self.stem = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.body[0] = nn.Conv2d(3, 16, 3, 2, 1)

    def forward(self, images):
        convolution, norm = self.stem
        return self.head(self.body(convolution(norm(convolution(images)))))


class Interlude(Small):
    """A dropout and a pooling between the stages, in none of them."""

    def __init__(self, classes=3):
        super().__init__(classes)
        self.dropout, self.pool = nn.Dropout(0.5), nn.MaxPool2d(2)

    def forward(self, images):
        return self.head(self.body(self.dropout(self.pool(self.stem(images)))))


class Plain(Small):
    """Without BatchNorm: a batch in parts gives the gradients of the whole."""

    def __init__(self, classes=3):
        super().__init__(classes)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())


class Tokens(nn.Module):
    """A small transformer: patches, positions, a table of biases that is looked up, GELU, a scale for each channel."""

    def __init__(self, classes=3):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 16, 16) / 4)
        self.norm, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.table = nn.Parameter(torch.randn(31, 2))
        self.mlp = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.scale = nn.Parameter(torch.rand(16) + 0.5)
        self.head = nn.Linear(16, classes)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.position
        batch, count, width = tokens.shape
        q, k, v = self.qkv(self.norm(tokens)).view(batch, count, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        distance = torch.arange(count)[:, None] - torch.arange(count)[None] + count - 1
        bias = self.table[distance].permute(2, 0, 1)
        attended = ((q @ k.transpose(2, 3)) / 3 + bias).softmax(3) @ v
        tokens = tokens + self.out(attended.transpose(1, 2).reshape(batch, count, width))
        tokens = tokens + self.mlp(tokens) * self.scale
        return self.head(tokens.mean(1))


class OtherArguments(Small):
    """Arguments beside the pictures, one of which decides what is computed."""

    def forward(self, images, mask=None, scale=0.5):
        if mask is not None:
            images = images * mask.view(-1, 1, 1, 1)
        return self.head(self.body(self.stem(images) * scale))


class OddArgument(Small):
    """An argument that is something when the network is traced, and nothing when it is called."""

    def forward(self, images, parts=()):
        for part in parts if isinstance(parts, tuple) else [parts]:
            images = images + part.view(-1, 1, 1, 1)
        return self.head(self.body(self.stem(images)))


UNSPLITTABLE = (DependsOnData, DependsOnMode, TwoValues, FunctionalDropout)
