"""What the strategies come down to: which stages train when, and how fast."""

from typing import get_args, get_type_hints

import pytest

from zoo.errors import UsageError
from zoo.models.pretrained import WeightsReport
from zoo.recipes.recipe import Recipe
from zoo.registry import registry
from zoo.runs.info import PhasePlan
from zoo.specs import DatasetSpec, Stage
from zoo.training.plan import make_plan, phases_of
from zoo.training.strategies import (
    GRADUAL_EPOCHS,
    HEAD_EPOCHS,
    LAYER_DECAY,
    default_learning_rate,
    first_stage,
)
from zoo.training.summary import stage_rows

from ..refusals import refused

STAGES = tuple(Stage(name, (name,)) for name in ("stem", "low", "high", "head"))
STEM, LOW, HIGH, HEAD = range(4)


def recipe(**options):
    return Recipe.make(backbone="tiny", dataset="bars", **options)


def steps(strategy, epochs, *, first=STEM, rate=1.0, **options):
    return phases_of(recipe(strategy=strategy, **options), strategy, epochs, rate, first=first, stages=STAGES)


def shape(made):
    return [(step.name, step.first, step.epochs) for step in made]


def test_head_trains_the_last_stage_only():
    assert steps("head", 7) == (PhasePlan("head", HEAD, 7, (1.0,)),)


def test_full_trains_everything_at_one_rate():
    assert steps("full", 7) == (PhasePlan("full", STEM, 7, (1.0,) * 4),)


def test_finetune_begins_with_the_head_and_slows_towards_the_stem():
    head, everything = steps("finetune", 3)
    assert (head.first, head.epochs, head.learning_rates) == (HEAD, HEAD_EPOCHS, (1e-3,))
    assert (everything.name, everything.first, everything.epochs) == ("finetune", STEM, 3)
    assert everything.learning_rates == pytest.approx([LAYER_DECAY["finetune"] ** power for power in (3, 2, 1, 0)])
    assert LAYER_DECAY["finetune"] < 1


def test_layer_decay_is_the_factor_between_stages():
    assert steps("finetune", 3, layer_decay=0.5)[-1].learning_rates == (0.125, 0.25, 0.5, 1.0)
    assert steps("finetune", 3, layer_decay=1.0)[-1].learning_rates == (1.0,) * 4
    assert steps("full", 3, layer_decay=0.5)[-1].learning_rates == (0.125, 0.25, 0.5, 1.0)


def test_gradual_unfreezes_evenly_the_longer_steps_last():
    made = steps("gradual", 10, learning_rate=1.0)
    assert shape(made) == [("head", HEAD, 2), ("high", HIGH, 2), ("low", LOW, 3), ("stem", STEM, 3)]
    assert made[0].learning_rates == (1.0,)
    decay = LAYER_DECAY["gradual"]
    assert made[1].learning_rates == pytest.approx((decay, 1.0))
    assert made[3].learning_rates == pytest.approx((decay**3, decay**2, decay, 1.0))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_the_head_of_gradual_is_faster_by_default(optimizer):
    head = steps("gradual", 8, optimizer=optimizer)[0]
    assert head.learning_rates == (default_learning_rate(optimizer, "head"),)
    assert head.learning_rates[0] > default_learning_rate(optimizer, "gradual")


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("3,5,7", [("head", HEAD, 2), ("high", HIGH, 2), ("low", LOW, 2), ("stem", STEM, 4)]),
        ("2,10", [("head", HEAD, 1), ("high", HIGH, 8), ("low", LOW, 1)]),
        ("6", [("head", HEAD, 5), ("high", HIGH, 5)]),
    ],
)
def test_unfreeze_at_says_when(at, expected):
    made = steps("gradual", 10, unfreeze_at=at)
    assert shape(made) == expected
    begins = [1 + sum(step.epochs for step in made[:index]) for index in range(1, len(made))]
    assert ",".join(map(str, begins)) == at


@pytest.mark.parametrize("strategy", ["finetune", "gradual", "full"])
@pytest.mark.parametrize("first", [LOW, HIGH])
def test_what_is_frozen_for_good_is_in_no_step(strategy, first):
    made = steps(strategy, 6, first=first)
    assert min(step.first for step in made) == first
    assert all(len(step.learning_rates) == len(STAGES) - step.first for step in made)


@pytest.mark.parametrize("strategy", ["head", "finetune", "gradual", "full"])
def test_only_the_head_is_left_where_all_before_it_is_frozen(strategy):
    assert shape(steps(strategy, 6, first=HEAD)) == [("head", HEAD, 6)]


@pytest.mark.parametrize(
    ("options", "epochs", "cause", "remedy"),
    [
        ({}, 3, "4 stages cannot unfreeze one by one in 3 epochs", "--epochs 4"),
        ({"unfreeze_at": "2,3,4,5"}, 10, "3 stages before the head to unfreeze, not 4", "at most 3"),
        ({"unfreeze_at": "1,3"}, 10, "cannot unfreeze at 1,3", "from 2 to 10"),
        ({"unfreeze_at": "3,11"}, 10, "cannot unfreeze at 3,11", "from 2 to 10"),
    ],
)
def test_what_gradual_cannot_do_is_refused(options, epochs, cause, remedy):
    with pytest.raises(UsageError) as error:
        steps("gradual", epochs, **options)
    assert cause in error.value.cause
    assert remedy in error.value.remedy


def test_freeze_until_names_the_first_stage_that_trains():
    assert first_stage(None, "tiny", STAGES) == STEM
    assert [first_stage(stage.name, "tiny", STAGES) for stage in STAGES] == [0, 1, 2, 3]


def test_the_help_names_the_defaults_that_are_taken():
    helps = {name: get_args(hint)[1] for name, hint in get_type_hints(Recipe, include_extras=True).items()}
    assert f"{LAYER_DECAY['finetune']:g} for finetune and gradual" in helps["layer_decay"]
    for optimizer in ("adamw", "sgd"):
        for strategy in ("head", "finetune", "gradual", "full"):
            assert f"{default_learning_rate(optimizer, strategy):g}" in helps["learning_rate"]
    assert f"{HEAD_EPOCHS} over stored features for head" in helps["epochs"]
    assert f"{GRADUAL_EPOCHS} per stage for gradual" in helps["epochs"]


def test_an_unknown_stage_lists_the_stages():
    with refused("unknown-stage", "tiny", "'layer9'", "stem, low, high, head"):
        first_stage("layer9", "tiny", STAGES)


def plan(*, pretrained=True, **options):
    spec = registry().backbone("tiny").spec
    network = spec.build(3)
    chosen = recipe(image_size=16, precision="fp32", device="cpu", **options)
    data = DatasetSpec(name="bars", load=lambda _: None)
    return make_plan(chosen, spec, data, WeightsReport(name="x", pretrained=pretrained), network), spec, network


def test_the_stage_table_says_when_each_stage_trains_and_how_fast():
    made, spec, network = plan(strategy="gradual", epochs=7, learning_rate=0.1, layer_decay=0.5)
    assert stage_rows(made, spec.stages(network), network) == [
        ("stem", "232", "epochs 5 to 7", "0.025"),
        ("body", "1,168", "epochs 3 to 7", "0.05"),
        ("head", "195", "epochs 1 to 7", "0.1"),
    ]
    made, spec, network = plan(strategy="finetune", epochs=1, freeze_until="body", optimizer="sgd", layer_decay=0.7)
    assert stage_rows(made, spec.stages(network), network) == [
        ("stem", "232", "frozen", "-"),
        ("body", "1,168", "epoch 21", "0.0035"),
        ("head", "195", "epochs 1 to 21", "0.05, then 0.005"),
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"strategy": "head"}, 20),
        ({"strategy": "finetune"}, 4),
        ({"strategy": "gradual"}, 6),
        ({"strategy": "gradual", "freeze_until": "body"}, 4),
        ({"strategy": "full"}, 30),
        ({"strategy": "full", "epochs": 3}, 3),
    ],
)
def test_epochs_by_strategy_are_what_the_help_says(options, expected):
    assert plan(**options)[0].epochs == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"strategy": "head"}, 1),
        ({"strategy": "head", "augment": "light"}, 4),
        ({"strategy": "head", "rotate": 10.0}, 4),
        ({"strategy": "head", "augment": "light", "views": 7}, 7),
        ({"strategy": "full", "augment": "none"}, 1),
        ({"strategy": "finetune", "freeze_until": "body", "augment": "light"}, 4),
        ({"strategy": "gradual", "freeze_until": "body", "augment": "light"}, 4),
    ],
)
def test_views_are_four_where_there_is_augmentation(options, expected):
    assert plan(**options)[0].views == expected


def test_views_without_augmentation_are_refused():
    with refused("views-alike", "--augment", "--views"):
        plan(strategy="head", views=3)
    assert plan(strategy="head", views=1)[0].views == 1


@pytest.mark.parametrize(("name", "given"), [("mean", "0.1,0.2,0.3"), ("std", "0.4")])
def test_preprocessing_is_what_the_recipe_says(name, given):
    spec = plan(**{name: given})[0].preprocess
    values = tuple(float(value) for value in given.split(","))
    assert getattr(spec, name) == (values if len(values) == 3 else values * 3)
    other = "std" if name == "mean" else "mean"
    assert getattr(spec, other) == getattr(plan()[0].preprocess, other)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (
            {"head_epochs": 7},
            "head_epochs has no effect with the strategy full, which was chosen because there are no ",
        ),
        (
            {"strategy": "finetune", "freeze_until": "head", "head_epochs": 7},
            "head_epochs has no effect: --freeze-until head lets the head alone train",
        ),
        (
            {"strategy": "gradual", "freeze_until": "head", "unfreeze_at": "3"},
            "unfreeze_at has no effect: --freeze-until head lets the head alone train",
        ),
    ],
)
def test_what_the_decided_strategy_leaves_idle_is_refused(options, cause):
    with pytest.raises(UsageError, match=cause):
        plan(pretrained=False, **options)
