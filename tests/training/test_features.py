import shutil

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.errors import PluginError
from zoo.training.feature_cache import SLICE, allocate, compute, fold, head_layer, slices, standardisation, standardise

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
    scale = torch.logspace(-0.4, 0.4, 6).view(1, 6, *[1] * (len(shape) - 2))
    return head.eval(), torch.randn(shape) * scale + 5 * scale


def test_features_are_standardised(case):
    _, features = case
    result = standardise(features.clone(), *standardisation([features])).transpose(0, 1).flatten(1)
    assert torch.allclose(result.mean(1), torch.zeros(6), atol=1e-4)
    assert torch.allclose(result.std(1, correction=0), torch.ones(6), atol=1e-4)


def test_a_constant_feature_stays_finite():
    features = torch.randn(20, 3)
    features[:, 1] = 7.0
    mean, std = standardisation([features])
    assert std[1] == 1
    assert standardise(features, mean, std)[:, 1].abs().max() < 1e-5


def test_the_folded_head_takes_raw_features(case):
    head, features = case
    mean, std = standardisation([features])
    expected = head(standardise(features.clone(), mean, std))
    unfolded = head(features)
    fold(head, mean, std)
    assert torch.allclose(head(features), expected, atol=1e-4)
    assert not torch.allclose(unfolded, expected, atol=1e-1)


def test_a_feature_that_hardly_varies_keeps_a_small_weight():
    features = torch.randn(2000, 3) * torch.tensor([1.0, 1.0, 1e-3])
    assert standardisation([features])[1].tolist() == pytest.approx([1, 1, 0.1], rel=0.1)


@pytest.mark.parametrize("shape", [(300, 7), (30, 7, 4, 5)])
def test_parts_give_the_figures_of_the_whole(shape):
    features = torch.randn(shape) * 3 + torch.arange(shape[0]).view(-1, *[1] * (len(shape) - 1))
    whole = features.transpose(0, 1).flatten(1).double()
    mean, std = standardisation(features.split([1, 11, 2, shape[0] - 14]))
    assert torch.allclose(mean, whole.mean(1).float())
    assert torch.allclose(std, whole.std(1, correction=0).float())


class Largest(TorchDispatchMode):
    """Measures the largest tensor, in bytes, that does not share the memory of `given`."""

    def __init__(self, given):
        super().__init__()
        self.given, self.size = given.untyped_storage().data_ptr(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.untyped_storage().data_ptr() != self.given:
            self.size = max(self.size, out.untyped_storage().nbytes())
        return out


def test_features_larger_than_memory_are_standardised_a_slice_at_a_time():
    features = torch.zeros(3 * SLICE // 1024, 1024)
    with Largest(features) as largest:
        mean, std = standardisation(slices(features))
        for part in slices(features):
            standardise(part, mean, std)
    assert largest.size <= 8 * SLICE


def test_features_are_what_the_prefix_makes_of_every_picture():
    torch.manual_seed(0)
    prefix = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU()).eval()
    pictures = torch.randn(7, 3, 2, 2)
    done, out = [], torch.full((7, 5), torch.nan)
    compute(lambda part: prefix(pictures[part]), torch.arange(7).split(3), out, done.append)
    assert torch.allclose(out, prefix(pictures), atol=1e-6)
    assert done == [3, 3, 1]
    assert not out.requires_grad
    assert not out.is_inference()


@pytest.mark.parametrize(("budget", "place"), [(440, "memory"), (439, "file"), (0, None)])
def test_the_budget_says_where_features_live(budget, place):
    found = allocate((2, 4, 10), (3, 10), budget)
    assert (found.place if found else None) == place
    if found:
        assert found.num_bytes == 440
        found.train.copy_(torch.arange(80.0).view(2, 4, 10))
        found.val.fill_(6)
        assert (float(found.train.sum()), float(found.val.sum())) == (3160, 180)


def test_a_full_disk_stores_nothing(monkeypatch):
    full = shutil.disk_usage("/")._replace(free=50)
    monkeypatch.setattr("zoo.training.feature_cache.shutil.disk_usage", lambda _: full)
    assert allocate((2, 4, 10), (3, 10), 1) is None
    assert allocate((2, 4, 10), (3, 10), 440) is not None


@pytest.mark.parametrize(
    "head", [nn.Linear(2, 2, bias=False), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.BatchNorm1d(2)]
)
def test_a_head_that_cannot_absorb_is_refused(head):
    with pytest.raises(PluginError, match="not one linear layer"):
        head_layer(head)
