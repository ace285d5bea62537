"""Each rule of backbones names the network that breaks it, and no other rule does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.specs import BackboneSpec, Stage, WeightsSpec
from zoo.testing import ConformanceError, backbones, check_backbone
from zoo.testing.backbone_case import CLASSES
from zoo.testing.backbones import RULES, SHARP_NORM
from zoo.testing.networks import NORM_WEIGHT

from ..networks import STAGES, Small

SOUND = BackboneSpec(name="sound", build=Small, head="head", stages=lambda network: STAGES, min_image_size=8)


class Softmax(Small):
    def forward(self, images):
        return super().forward(images).softmax(1)


class Detached(Small):
    def forward(self, images):
        return self.head(self.body(self.stem(images).detach()))


class Constant(Small):
    def forward(self, images):
        return self.head(self.body(self.stem(images)) * 0)


class Random(Small):
    def forward(self, images):
        return self.head(F.dropout(self.body(self.stem(images)), 0.5))


class OverBatch(Small):
    def forward(self, images):
        features = self.body(self.stem(images))
        return self.head(features - features.mean(0))


class Counting(Small):
    def __init__(self, classes):
        super().__init__(classes)
        self.body.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.body.calls += 1
        return super().forward(images)


class HeadInside(Small):
    """The head's output is not the network's."""

    def forward(self, images):
        return super().forward(images) * 2


class Infinite(Small):
    def forward(self, images):
        return super().forward(images) / 0


class Large(Small):
    def forward(self, images):
        return F.normalize(super().forward(images)) * 3e38


class ControlFlow(Small):
    def forward(self, images):
        return super().forward(images if images.mean() < 1e9 else -images)


class Padded(Small):
    """Its convolutions need more pixels than it says."""

    def __init__(self, classes):
        super().__init__(classes)
        self.stem[0] = nn.Conv2d(3, 8, 9, 2, bias=False)


def built(network, **changed) -> BackboneSpec:
    return replace(SOUND, build=network, **changed)


BROKEN = {
    "wrong type": (replace(SOUND, min_image_size="8"), "valid"),
    "wrong head": (replace(SOUND, head="fc"), "builds"),
    "head for other classes": (built(lambda _: Small(7)), "builds"),
    "a parameter in no stage": (replace(SOUND, stages=lambda network: (STAGES[0], STAGES[2])), "builds"),
    "a stage twice": (replace(SOUND, stages=lambda network: (*STAGES[:2], *STAGES[1:])), "builds"),
    "softmax": (built(Softmax), "answers"),
    "infinite": (built(Infinite), "answers"),
    "smallest size": (replace(SOUND, min_image_size=1, build=Padded), "smallest-size"),
    "no gradient": (built(Detached), "trains"),
    "losses": (built(Large), "trains"),
    "one answer": (built(Constant), "differs"),
    "random": (built(Random), "repeats"),
    "the batch counts": (built(OverBatch), "ignores-batch"),
    "buffers change": (built(Counting), "freezes"),
    "head inside": (built(HeadInside), "splits"),
    "weights for another size": (
        replace(
            SOUND,
            min_image_size=64,
            weights=WeightsSpec(name="W", load=lambda: Small(5).state_dict(), image_size=32),
        ),
        "weights",
    ),
    "weights that do not fit": (
        replace(SOUND, weights=WeightsSpec(name="W", load=lambda: {"stem.0.weight": torch.zeros(1)}, image_size=32)),
        "weights",
    ),
}


def test_a_sound_backbone_keeps_all_rules():
    report = check_backbone(SOUND, formats=("torchscript",))
    assert set(report.kept) == {rule.name for rule in RULES} - {"weights"} | {"exports-torchscript"}
    assert [result.rule for result in report.results if result.state == "skipped"] == ["weights"]


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_named(case):
    spec, rule = BROKEN[case]
    with pytest.raises(ConformanceError) as caught:
        check_backbone(spec, formats=())
    assert str(caught.value).startswith(f"These rules are broken: '{rule}'.")


def test_each_rule_has_a_network_that_breaks_it():
    assert {rule for _, rule in BROKEN.values()} == {rule.name for rule in RULES}


def test_weights_that_load_are_a_kept_rule():
    weights = WeightsSpec(name="W", load=lambda: Small(len(CLASSES)).state_dict(), image_size=32)
    assert "weights" in check_backbone(replace(SOUND, weights=weights), formats=()).kept


def test_what_a_format_cannot_express_is_skipped_with_the_reason():
    report = check_backbone(built(ControlFlow), formats=("pt2",))
    (result,) = [each for each in report.results if each.rule == "exports-pt2"]
    assert result.state == "skipped"
    assert "cannot be written" in result.cause


def test_the_random_state_stays(monkeypatch):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    check_backbone(SOUND, formats=())
    assert torch.equal(torch.random.get_rng_state(), before)


class Offset(Small):
    """Rounding changes its logits by a hundredth of their spread while BatchNorm's weights are small."""

    def forward(self, images):
        return self.head(self.body(self.stem(images)) + 1e3 - 1e3)


def test_dropout_leaves_the_random_state_and_is_always_the_same(monkeypatch):
    class Dropped(Small):
        def forward(self, images):
            return self.head(F.dropout(self.body(self.stem(images)), 0.5, self.training))

    found = []
    real = backbones.awaken
    monkeypatch.setattr(backbones, "awaken", lambda *given, **more: found.append(real(*given, **more)) or found[-1])
    weights = WeightsSpec(name="W", load=lambda: Small(len(CLASSES)).state_dict(), image_size=32)
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        check_backbone(built(Dropped, weights=weights), formats=())
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[len(found) // 2]


def test_a_network_that_rounds_much_starts_with_larger_weights_of_batchnorm():
    def norm_weight(network):
        made = []
        spec = replace(SOUND, build=lambda classes: made.append(network(classes)) or made[-1])
        assert check_backbone(spec, formats=()).passed
        norm = next(each for each in made[-1].modules() if isinstance(each, nn.BatchNorm2d))
        return float(norm.weight.detach().mean())

    assert norm_weight(Small) == pytest.approx(NORM_WEIGHT, abs=0.1)
    assert norm_weight(Offset) == pytest.approx(SHARP_NORM, abs=0.1)


def test_stages_may_be_made_for_the_network():
    spec = replace(SOUND, stages=lambda network: [Stage(name, (name,)) for name, _ in network.named_children()])
    assert check_backbone(spec, formats=()).passed
