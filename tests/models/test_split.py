"""Networks in two halves: torchvision's families at every stage, and what cannot be cut."""

import pytest
import torch
from torch import fx, nn

from zoo.models.split import split_network, without_batchnorm
from zoo.registry import registry
from zoo.training.feature_cache import compute, fold, standardisation, standardise

from ..networks import STAGES, UNSPLITTABLE, AlwaysRandom, Interlude, OddArgument, OtherArguments, Shared, Small

PIXELS = 64
# How many BatchNorm layers survive fusing: those without a convolution of their own before them.
KEPT_BATCHNORMS = {
    "resnet18": 0,
    "vgg11_bn": 0,
    "densenet121": 62,
    "efficientnet_b0": 0,
    "efficientnet_lite0": 5,
    "googlenet": 0,
    "mobilenet_v3_small": 0,
    "mnasnet0_5": 0,
    "regnet_y_400mf": 0,
    "shufflenet_v2_x0_5": 0,
    "squeezenet1_1": 0,
    "convnext_tiny": 0,
    "swin_t": 0,
    "vit_b_32": 0,
}


def batchnorms(module):
    return [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


class Case:
    """A network whose BatchNorm layers and head are far from their initial values."""

    def __init__(self, name):
        torch.manual_seed(0)
        spec = registry().backbone(name).spec
        self.name, self.network = name, spec.build(3)
        self.stages = spec.stages(self.network)
        self.head = self.network.get_submodule(spec.head)
        size = spec.min_image_size if spec.fixed_image_size else max(PIXELS, spec.min_image_size)
        levels = torch.linspace(-1, 1, 4).view(4, 1, 1, 1)
        self.pictures = torch.randn(4, 3, size, size) * (1 + levels / 2) + levels
        with torch.no_grad():
            for parameter in self.head.parameters():
                parameter.normal_()
            layers = batchnorms(self.network.eval())
            for layer in layers:
                layer.train().momentum = None  # the plain average over the passes, not a tenth of the last
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(std=0.1)
            for pictures in (self.pictures, 1.1 * self.pictures) if layers else ():
                self.network(pictures)
            self.expected = self.network.eval()(self.pictures)


@pytest.fixture(scope="module", params=KEPT_BATCHNORMS)
def case(request, narrow_networks):
    with torch.random.fork_rng():
        return Case(request.param)


def error(found, expected):
    """The largest difference, relative to the spread between the pictures."""
    return float((found - expected).abs().max() / expected.std(0).mean())


def test_the_halves_are_the_network_at_every_stage(case):
    # Vision transformers are slow and their stages alike.
    every = range(1, len(case.stages), 6 if case.name.startswith("vit") else 1)
    for first in {*every, len(case.stages) - 1}:
        halves = split_network(case.network, case.stages, first, case.pictures[:2])
        assert halves is not None, case.stages[first].name
        with torch.inference_mode():
            found = halves.rest(halves.prefix(case.pictures))
        assert error(found, case.expected) < 1e-4, case.stages[first].name
        ahead = {id(p) for stage in case.stages[:first] for p in members(case.network, stage)}
        behind = {id(p) for stage in case.stages[first:] for p in members(case.network, stage)}
        assert {id(p) for p in halves.prefix.parameters()} == ahead
        assert {id(p) for p in halves.rest.parameters()} == behind


def members(network, stage):
    inside = tuple(f"{member}." for member in stage.members)
    return [p for name, p in network.named_parameters() if name in stage.members or name.startswith(inside)]


def test_a_fused_prefix_gives_the_same_features(case):
    halves = split_network(case.network, case.stages, len(case.stages) - 1, case.pictures[:2])
    fused = without_batchnorm(halves.prefix, case.pictures[:2])
    assert len(batchnorms(fused)) == KEPT_BATCHNORMS[case.name]
    with torch.inference_mode():
        assert torch.equal(case.network(case.pictures), case.expected)  # fusing left the network alone
        expected = halves.prefix(case.pictures)
        assert (fused(case.pictures) - expected).abs().max() < 1e-3 * expected.std()


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "googlenet"])
def test_fusing_is_exact_but_for_rounding(name):
    with torch.random.fork_rng():
        case = Case(name)
    pictures = case.pictures.double()
    halves = split_network(case.network.double(), case.stages, len(case.stages) - 1, pictures[:2])
    fused = without_batchnorm(halves.prefix, pictures[:2])
    with torch.inference_mode():
        expected = halves.prefix(pictures)
        assert (fused(pictures) - expected).abs().max() < 1e-10 * expected.std()


def test_a_head_on_stored_features_is_the_whole_networks(case):
    halves = split_network(case.network, case.stages, len(case.stages) - 1, case.pictures[:2])
    prefix = without_batchnorm(halves.prefix, case.pictures[:2])
    stored = torch.empty(4, *prefix(case.pictures[:1]).shape[1:])
    compute(lambda part: prefix(case.pictures[part]), torch.arange(4).split(3), stored, lambda _: None)
    mean, std = standardisation([stored])
    before = {key: value.clone() for key, value in case.head.state_dict().items()}
    try:
        with torch.inference_mode():
            expected = case.head(standardise(stored.clone(), mean, std))
            fold(case.head, mean, std)
            found = case.network(case.pictures)
    finally:
        case.head.load_state_dict(before)
    assert error(found, expected) < 1e-3  # dividing by small deviations magnifies rounding
    assert error(case.expected, expected) > 1e-2


def pictures():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", [*UNSPLITTABLE, AlwaysRandom])
def test_what_cannot_be_cut_is_left_whole(kind):
    assert split_network(kind(), STAGES, 1, pictures()) is None


@pytest.mark.parametrize("kind", UNSPLITTABLE)
def test_the_head_can_be_cut_off_anything(kind):
    network = kind().train()
    halves = split_network(network, STAGES, 2, pictures())
    assert halves.rest is network.head
    assert network.training
    assert not network.head._forward_pre_hooks
    network.eval()
    prefix = without_batchnorm(halves.prefix, pictures())
    with torch.inference_mode():
        assert torch.allclose(halves.rest(prefix(pictures())), network(pictures()), atol=1e-5)
    assert not network.head._forward_pre_hooks


@pytest.mark.parametrize("first", [1, 2])
def test_arguments_beside_the_pictures_have_their_defaults(first):
    network = OtherArguments().eval()
    halves = split_network(network, STAGES, first, pictures())
    assert halves is not None and isinstance(halves.prefix, fx.GraphModule)
    with torch.no_grad():
        assert error(halves.rest(halves.prefix(pictures())), network(pictures())) < 1e-5


def test_a_graph_that_does_not_run_is_not_used():
    network = OddArgument().eval()
    assert split_network(network, STAGES, 1, pictures()) is None
    halves = split_network(network, STAGES, 2, pictures())
    assert halves is not None and halves.rest is network.head


def test_a_prefix_that_fusing_would_change_stays_as_it_is():
    torch.manual_seed(0)
    network = Shared()
    for _ in range(5):
        network(5 * torch.randn(8, 3, 16, 16) + 3)
    network.eval()
    halves = split_network(network, STAGES, 2, pictures())
    prefix = without_batchnorm(halves.prefix, pictures())
    with torch.inference_mode():
        assert torch.allclose(prefix(pictures()), halves.prefix(pictures()), atol=1e-5)


def test_a_dropout_between_stages_goes_with_the_rest_and_a_pooling_with_the_prefix():
    halves = split_network(Interlude(), STAGES, 1, pictures())
    assert halves.prefix(pictures()).shape == (2, 8, 4, 4)
    features = halves.prefix(pictures())
    halves.rest.train()
    assert not torch.equal(halves.rest(features), halves.rest(features))
    halves.rest.eval()
    assert torch.equal(halves.rest(features), halves.rest(features))


def test_the_halves_train_the_network_itself():
    network = Small()
    halves = split_network(network, STAGES, 1, pictures())
    before = {name: p.clone() for name, p in network.named_parameters()}
    halves.rest(halves.prefix(pictures())).sum().backward()
    torch.optim.SGD(halves.rest.parameters(), lr=1.0).step()
    moved = {name.split(".")[0] for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"body", "head"}
