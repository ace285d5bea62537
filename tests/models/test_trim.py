import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.models.conv_trim import trimmed


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
    network = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"))
    wide = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1))
    with trimmed(network[:1], torch.zeros(1, 2, 1, 1)), trimmed(wide, torch.zeros(1, 2, 8, 8)):
        assert network[0]._conv_forward.taps == (slice(1, 2), slice(1, 2))
        assert "_conv_forward" not in vars(wide[0])


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ZeroDivisionError), trimmed(network, torch.ones(1, 2, 1, 1)):
        1 / 0  # noqa: B018
    assert network.training
    assert "_conv_forward" not in vars(network[0])
    assert not network[0]._forward_pre_hooks
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
