import pytest
import torch
from torch import nn

from zoo.errors import PluginError
from zoo.features import compute_features, fold, head_layer, standardisation, standardise

HEADS = {
    "linear": (nn.Linear(6, 3), (50, 6)),
    "convolution": (
        nn.Sequential(nn.Dropout(0.5), nn.Conv2d(6, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        (50, 6, 4, 4),
    ),
}


@pytest.fixture(params=HEADS)
def case(request):
    head, shape = HEADS[request.param]
    torch.manual_seed(0)
    scale = torch.logspace(-3, 3, 6).view(1, 6, *[1] * (len(shape) - 2))
    return head.eval(), torch.randn(shape) * scale + 5 * scale


def test_features_are_standardised(case):
    _, features = case
    result = standardise(features.clone(), *standardisation(features)).transpose(0, 1).flatten(1)
    assert torch.allclose(result.mean(1), torch.zeros(6), atol=1e-4)
    assert torch.allclose(result.std(1, correction=0), torch.ones(6), atol=1e-4)


def test_a_constant_feature_stays_finite():
    features = torch.randn(20, 3)
    features[:, 1] = 7.0
    mean, std = standardisation(features)
    assert std[1] == 1
    assert standardise(features, mean, std)[:, 1].abs().max() < 1e-5


def test_the_folded_head_takes_raw_features(case):
    head, features = case
    mean, std = standardisation(features)
    expected = head(standardise(features.clone(), mean, std))
    unfolded = head(features)
    fold(head, mean, std)
    assert torch.allclose(head(features), expected, atol=1e-4)
    assert not torch.allclose(unfolded, expected, atol=1e-1)


def test_features_are_what_enters_the_head():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    pictures = torch.randn(7, 3, 2, 2)
    done = []
    features = compute_features(network, network[3], pictures.split(3), done.append)
    assert torch.allclose(network[3](features), network(pictures), atol=1e-6)
    assert done == [3, 3, 1]
    assert not network[3]._forward_pre_hooks


@pytest.mark.parametrize(
    "head", [nn.Linear(2, 2, bias=False), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.BatchNorm1d(2)]
)
def test_a_head_that_cannot_absorb_is_refused(head):
    with pytest.raises(PluginError, match="not one linear layer"):
        head_layer(head)
