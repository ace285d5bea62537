"""A frozen prefix: computed once or in every epoch, in one precision or another, and what learns behind it."""

from itertools import pairwise

import pytest
import torch

from zoo.training.feature_cache import Features

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("no_plots")]

PLACES = {"memory": "4GiB", "file": "1KB", None: "0"}
STRATEGIES = [{"strategy": "head"}, {"strategy": "full", "freeze_until": "body"}]


def places(phases):
    """Where each phase's features lie, None where there are none."""
    return [getattr(getattr(seen.phase.source, "features", None), "place", None) for seen in phases]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("options", STRATEGIES, ids=lambda options: options["strategy"])
def test_features_are_those_of_the_pictures(learn, phases, options, place, precision, tell):  # noqa: PLR0917
    run = learn(cache_budget=PLACES[place], precision=precision, **options)
    (seen,) = phases
    assert places(phases) == [place]
    device = seen.trainer.device.type
    assert seen.phase.source.train(torch.arange(3), 1).device.type == device
    assert {parameter.device.type for parameter in seen.train_state.phase.model.parameters()} == {device}
    with seen.phase.fabric.autocast():
        on_features = seen.logits_on_features().float()
    on_pictures = seen.logits_on_pictures().float()
    difference = float((on_features - on_pictures).abs().max() / on_pictures.std())
    tell(f"logits on features and on pictures differ by {difference:.1e} of their spread")
    assert difference < (1e-2 if precision == "fp32" else 1e-1)
    assert run.metrics["top1"] > 0.5


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("budget", PLACES.values())
def test_what_is_frozen_does_not_move(learn, phases, budget, precision):
    learn(strategy="full", freeze_until="body", cache_budget=budget, precision=precision, epochs=2)
    (seen,) = phases
    assert seen.moved
    assert not {name for name in seen.moved if name.startswith("0.")}


@pytest.mark.parametrize("budget", [PLACES["memory"], PLACES[None]])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_pictures_are_varied_before_the_prefix(learn, phases, budget, precision):
    run = learn(strategy="full", freeze_until="body", augment="photos", cache_budget=budget, precision=precision)
    assert run.metrics["top1"] > 0.4
    source = phases[0].phase.source
    first, second = (source.train(torch.arange(8), epoch) for epoch in (1, 2))
    if isinstance(getattr(source, "features", None), Features):
        assert not torch.equal(first, second)


def test_mixed_pictures_pass_the_prefix_in_every_epoch(learn, phases):
    run = learn(strategy="full", freeze_until="body", mixup=0.2, epochs=3)
    assert places(phases) == [None]
    assert run.metrics["top1"] > 0.4


@pytest.mark.parametrize("precision", ["fp32", "auto"])
@pytest.mark.parametrize("strategy", ["finetune", "gradual"])
def test_a_head_goes_back_into_the_network_that_trains_on(learn, phases, strategy, precision):
    run = learn(strategy=strategy, weights="none", precision=precision)
    assert len(phases) > 1
    assert places(phases)[0] == "memory"
    for before, after in pairwise(phases):
        assert all(torch.equal(value, after.before[name]) for name, value in before.after.items())
    assert all(value.isfinite().all() for value in run.weights().values())
