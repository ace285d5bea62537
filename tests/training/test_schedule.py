"""Every course of the learning rate, against PyTorch's own or a closed form."""

import pytest
import torch
from torch.optim import lr_scheduler

from zoo.training.optim import OptimizerOptions, make_optimizer
from zoo.training.schedule import LRSchedule, ScheduleOptions

EPOCHS, STEPS = 12, 5
TOTAL = EPOCHS * STEPS
RATES = (0.02, 0.1)


def chosen(name, **options):
    return ScheduleOptions(name=name, **options)


def sgd():
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in RATES]
    groups = [{"params": [p], "lr": rate} for p, rate in zip(parameters, RATES, strict=True)]
    return torch.optim.SGD(groups, momentum=0.9)


def run(options, figures=(1.0,) * EPOCHS, shorten=None):
    """The rates of each group at every step of the optimiser, `[TOTAL, 2]`."""
    optimizer = sgd()
    schedule, rates = LRSchedule(options, optimizer, EPOCHS, STEPS), []
    for figure in figures:
        for _ in range(STEPS):
            rates.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            schedule.step()
            if shorten and len(rates) == shorten[0]:
                schedule.shorten(shorten[1])
        schedule.end_epoch(figure)
    return torch.tensor(rates)


def by_torch(make, *, per_epoch):
    """What a scheduler of PyTorch's gives, stepped once per epoch or once per step."""
    optimizer = sgd()
    scheduler, rates = make(optimizer), []
    for step in range(TOTAL):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if not per_epoch or step % STEPS == STEPS - 1:
            scheduler.step()
    return torch.tensor(rates)


CASES = {
    "constant": ({}, lambda o: lr_scheduler.ConstantLR(o, 1.0), False),
    "cosine": ({}, lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL), False),
    "onecycle": ({}, lambda o: lr_scheduler.OneCycleLR(o, list(RATES), TOTAL + 1, pct_start=0.0), False),
    "step": ({"step_epochs": 5, "gamma": 0.3}, lambda o: lr_scheduler.StepLR(o, 5, 0.3), True),
    "multistep": (
        {"milestones": (3, 4, 10), "gamma": 0.5},
        lambda o: lr_scheduler.MultiStepLR(o, [3, 4, 10], 0.5),
        True,
    ),
}


@pytest.mark.parametrize("schedule", CASES)
def test_a_schedule_without_warm_up_is_pytorchs(schedule):
    options, make, per_epoch = CASES[schedule]
    found = run(chosen(schedule, warmup_epochs=0, **options))
    assert torch.allclose(found, by_torch(make, per_epoch=per_epoch), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "step", "multistep"])
def test_warm_up_rises_evenly_and_leaves_the_rest_as_it_was(schedule):
    options, make, per_epoch = CASES[schedule]
    found = run(chosen(schedule, warmup_epochs=1.6, **options))
    expected = by_torch(make, per_epoch=per_epoch)
    expected[:8] = torch.arange(1, 9)[:, None] / 9 * torch.tensor(RATES)
    assert torch.allclose(found, expected, rtol=1e-4)


def test_cosine_warms_up_and_then_falls_from_the_peak_to_nothing():
    found = run(chosen("cosine", warmup_epochs=2)) / torch.tensor(RATES)
    falling = 0.5 * (1 + torch.cos(torch.pi * torch.arange(TOTAL - 10) / (TOTAL - 10)))
    expected = torch.cat([torch.arange(1, 11) / 11, falling])
    assert torch.allclose(found, expected[:, None].expand(-1, 2), atol=1e-6)


def test_cosine_warms_up_for_a_twentieth_by_default():
    assert torch.equal(run(chosen("cosine")), run(chosen("cosine", warmup_epochs=EPOCHS / 20)))
    assert not torch.equal(run(chosen("cosine")), run(chosen("cosine", warmup_epochs=0)))


@pytest.mark.parametrize(("warmup_epochs", "share"), [(None, 0.3), (3, 0.25), (12, 1.0)])
def test_onecycle_rises_as_long_as_it_is_told(warmup_epochs, share):
    options = {} if warmup_epochs is None else {"warmup_epochs": warmup_epochs}
    found = run(chosen("onecycle", **options))
    expected = by_torch(lambda o: lr_scheduler.OneCycleLR(o, list(RATES), TOTAL + 1, pct_start=share), per_epoch=False)
    assert torch.allclose(found, expected, rtol=1e-4)
    assert int(found[:, 0].argmax()) == pytest.approx(share * TOTAL, abs=1)


@pytest.mark.parametrize(("momentum", "expected"), [(0.0, {0.0}), (0.9, {0.85, 0.95})])
def test_onecycle_brings_no_momentum_where_there_is_none(momentum, expected):
    options = OptimizerOptions(name="sgd", momentum=momentum)
    optimizer = make_optimizer(options, [([torch.nn.Parameter(torch.ones(2, 2))], 0.1)])
    onecycle = chosen("onecycle", cycle_momentum=options.has_momentum)
    schedule, seen = LRSchedule(onecycle, optimizer, EPOCHS, STEPS), []
    for _ in range(TOTAL):
        seen.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        schedule.step()
    assert {round(min(seen), 2), round(max(seen), 2)} == expected


def test_step_steps_twice_by_default():
    rates = run(chosen("step"))[:, 1]
    assert torch.allclose(rates[::STEPS], torch.tensor([0.1] * 4 + [0.01] * 4 + [0.001] * 4))


FIGURES = (1.0, 0.9, 0.95, 0.93, 0.92, 0.91, 0.905, 0.8, 0.81, 0.82, 0.83, 0.84)


@pytest.mark.parametrize(("monitor", "mode", "sign"), [("loss", "min", 1), ("accuracy", "max", -1)])
@pytest.mark.parametrize("warmup", [0, 1])
def test_plateau_reacts_to_the_monitored_figure(monitor, mode, sign, warmup):
    maximise = monitor == "accuracy"
    plateau = chosen("plateau", maximise=maximise, patience=1, gamma=0.5, warmup_epochs=warmup)
    found = run(plateau, [sign * figure for figure in FIGURES])
    optimizer, expected = sgd(), []
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, mode, factor=0.5, patience=1)
    for epoch, figure in enumerate(FIGURES):
        for step in range(epoch * STEPS, (epoch + 1) * STEPS):
            rising = min(1, (step + 1) / (STEPS + 1)) if warmup else 1
            expected.append([rising * group["lr"] for group in optimizer.param_groups])
        plateau.step(sign * figure)
    assert torch.allclose(found, torch.tensor(expected), rtol=1e-4)
    assert found[-1, 1] == pytest.approx(0.1 / 8)


def test_a_shortened_cosine_still_ends_at_nothing():
    found = run(chosen("cosine", warmup_epochs=0), shorten=(10, 20))[:, 1]
    assert torch.equal(found[:10], run(chosen("cosine", warmup_epochs=0))[:10, 1])
    assert found[29] < 0.01 * found[0] < found[20]
    assert bool((found[10:30].diff() < 0).all())
    assert bool((found[30:] == 0).all())


@pytest.mark.parametrize(("options", "peak"), [({}, 1), ({"warmup_epochs": 8}, 39)])
def test_a_default_warm_up_is_shortened_too(options, peak):
    optimizer = sgd()
    schedule, rates = LRSchedule(chosen("cosine", **options), optimizer, 100 * EPOCHS, STEPS), []
    for step in range(TOTAL):
        rates.append(optimizer.param_groups[1]["lr"])
        optimizer.step()
        schedule.step()
        schedule.shorten(TOTAL - step - 1)
    assert rates.index(max(rates)) == pytest.approx(peak, abs=2)
    assert max(rates) > 0.09
    assert rates[-1] < 0.001


def test_a_shortened_cosine_can_take_back_the_time_that_is_there_after_all():
    longer = run(chosen("cosine", warmup_epochs=0), shorten=(10, 10**6))
    assert torch.equal(longer, run(chosen("cosine", warmup_epochs=0)))
    optimizer = sgd()
    schedule = LRSchedule(chosen("cosine"), optimizer, EPOCHS, STEPS)
    for left, total in ((1, 1), (20, 20), (0, 1), (10**6, TOTAL)):
        schedule.shorten(left)
        assert schedule.total == total


@pytest.mark.parametrize(
    ("optimizer", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_biases_and_normalisation_do_not_decay(optimizer, kind):
    first = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    second = torch.nn.Linear(4, 2)
    second.bias.requires_grad_(False)
    groups = [(list(first.parameters()), 0.1), (list(second.parameters()), 0.2)]
    made = make_optimizer(OptimizerOptions(name=optimizer, weight_decay=0.05), groups)
    assert type(made) is kind
    found = {id(p): (group["lr"], group["weight_decay"]) for group in made.param_groups for p in group["params"]}
    assert found == {
        id(first[0].weight): (0.1, 0.05),
        id(first[0].bias): (0.1, 0.0),
        id(first[1].weight): (0.1, 0.0),
        id(first[1].bias): (0.1, 0.0),
        id(second.weight): (0.2, 0.05),
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, (0.9, True)), ({"nesterov": False}, (0.9, False)), ({"momentum": 0.0}, (0.0, False))],
)
def test_momentum_is_what_the_recipe_says(options, expected):
    made = make_optimizer(OptimizerOptions(name="sgd", **options), [([torch.nn.Parameter(torch.ones(1))], 1.0)])
    assert (made.param_groups[0]["momentum"], made.param_groups[0]["nesterov"]) == expected


@pytest.mark.parametrize("schedule", [*CASES, "plateau"])
def test_the_state_of_a_course_is_plain_values(schedule, tmp_path):
    options = CASES[schedule][0] if schedule in CASES else {}
    schedule = LRSchedule(chosen(schedule, **options), sgd(), EPOCHS, STEPS)
    torch.save(schedule.state_dict(), tmp_path / "course.pt")
    assert torch.load(tmp_path / "course.pt", weights_only=True)["total"] == TOTAL
