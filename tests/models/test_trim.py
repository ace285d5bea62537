import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from zoo.models.conv_trim import trimmed


class Kernels(TorchFunctionMode):
    """Collects the shapes of the kernels that convolutions multiply with."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.conv2d:
            self.shapes.append(tuple(args[1].shape))
        return func(*args, **(kwargs or {}))


def kernels(network: nn.Module, side: int) -> list[tuple[int, ...]]:
    with Kernels() as seen:
        network(torch.zeros(1, 2, side, side))
    return seen.shapes


def learn(network: nn.Module, pictures: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    network.zero_grad()
    logits = network(pictures)
    F.cross_entropy(logits.flatten(1), torch.arange(len(pictures)) % 2).backward()
    return logits.detach(), {name: p.grad.clone() for name, p in network.named_parameters()}


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel", "padding", "dilation"), [(3, 1, 1), (7, 3, 1), (5, 1, 1), (3, 2, 2), ((1, 5), (0, 2), 1)]
)
def test_results_and_gradients_stay(size, stride, kernel, padding, dilation):
    network = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups=2)
    pictures = torch.randn(3, 4, size, size)
    if kernel == 5 and size < 3:
        return  # larger than the padded map
    logits, gradients = learn(network, pictures)
    with trimmed(network, pictures[:1]):
        skipped, same = learn(network, pictures)
    assert torch.allclose(logits, skipped, atol=1e-6)
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, same[name], atol=1e-6), name


def test_a_map_of_one_pixel_leaves_one_tap():
    network, wide = (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1)) for _ in range(2))
    with trimmed(network, torch.zeros(1, 2, 1, 1)), trimmed(wide, torch.zeros(1, 2, 8, 8)):
        assert kernels(network, 1) == [(2, 2, 1, 1)]
        assert kernels(wide, 8) == [(2, 2, 3, 3)]


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ZeroDivisionError), trimmed(network, torch.ones(1, 2, 1, 1)):
        1 / 0  # noqa: B018
    assert network.training
    assert kernels(network.eval(), 1) == [(2, 2, 3, 3)]
    assert not network[0]._forward_pre_hooks
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
