"""Strategies and frozen stages, end to end: what moves, what stays, and that features are never stale."""

import csv
import shutil
from collections import namedtuple
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from zoo.data.prefetch import decode
from zoo.metrics import summarise
from zoo.training.summary import stage_rows

from ..networks import UNSPLITTABLE, Small
from ..watch import add_backbone, classify, start, train

pytestmark = pytest.mark.usefixtures("no_plots")

STAGE_OF = {"0": "stem", "1": "body", "2": "head"}
EVERY = {"stem", "body", "head"}


@pytest.fixture
def foreign(monkeypatch):
    return partial(add_backbone, monkeypatch)


def stages(names):
    return {STAGE_OF.get(name.split(".")[0], name.split(".")[0]) for name in names}


def rows(run):
    return list(csv.DictReader((run.path / "metrics.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def pretrained(bars, tmp_path_factory):
    """Weights of `tiny` whose BatchNorm has seen other pictures than these."""
    network = start(seed=7)
    with torch.no_grad():
        network[0][1].running_mean.normal_(std=0.1)
        network[0][1].running_var.uniform_(0.1, 0.4)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(network.state_dict(), path)
    return path


Disk = namedtuple("Disk", ["free"])
BUDGETS = {"memory": "4GiB", "file": "1KB", "anew": "0"}


@pytest.mark.parametrize("budget", BUDGETS.values())
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"strategy": "head"}, [("head", {"head"})]),
        ({"strategy": "finetune"}, [("head", {"head"}), ("finetune", EVERY)]),
        ({"strategy": "finetune", "freeze_until": "body"}, [("head", {"head"}), ("finetune", {"body", "head"})]),
        ({"strategy": "gradual", "epochs": 3}, [("head", {"head"}), ("body", {"body", "head"}), ("stem", EVERY)]),
        ({"strategy": "gradual", "freeze_until": "body"}, [("head", {"head"}), ("body", {"body", "head"})]),
        ({"strategy": "full", "freeze_until": "body"}, [("full", {"body", "head"})]),
        ({"strategy": "full", "freeze_until": "head"}, [("head", {"head"})]),
        ({"strategy": "full"}, [("full", EVERY)]),
    ],
)
def test_each_phase_moves_its_stages_and_nothing_else(learn, phases, options, expected, budget):
    asking = []
    phases.at_end = lambda seen: asking.append(
        [n for n, p in seen.trainer.network.named_parameters() if p.requires_grad]
    )
    learn(cache_budget=budget, **options)
    assert [(seen.phase.name, stages(seen.moved)) for seen in phases] == expected
    assert [stages(names) for names in asking] == [trained for _, trained in expected]
    moves_statistics = [any("running" in name for name in seen.moved) for seen in phases]
    assert moves_statistics == ["stem" in trained for _, trained in expected]


@pytest.mark.parametrize("budget", BUDGETS.values())
def test_the_statistics_of_pretrained_weights_stay_while_their_layers_train(learn, phases, pretrained, budget):
    learn(strategy="gradual", epochs=3, weights=str(pretrained), cache_budget=budget)
    assert not any("running" in name or "num_batches" in name for seen in phases for name in seen.moved)
    assert "0.1.weight" in phases[-1].moved


@pytest.mark.parametrize("kind", UNSPLITTABLE)
def test_a_network_that_cannot_be_split_trains_behind_frozen_stages(learn, foreign, phases, capsys, kind):
    foreign(kind)
    run = learn(
        backbone="foreign",
        strategy="full",
        freeze_until="body",
        epochs=5,
        learning_rate=0.01,
        progress=True,
    )
    said = capsys.readouterr().err
    assert "The frozen stages (stem) are computed in each epoch: this network cannot be split behind them." in said
    assert stages(phases[0].moved) == {"body", "head"}  # neither weights nor statistics of the stem
    losses = [float(row["train_loss"]) for row in rows(run)]
    assert losses[-1] < 0.9 * losses[0]
    assert run.metrics["top1"] > 0.5


@pytest.mark.parametrize("kind", UNSPLITTABLE)
def test_the_head_of_a_network_that_cannot_be_split_trains_on_stored_features(learn, foreign, phases, capsys, kind):
    foreign(kind)
    run = learn(backbone="foreign", strategy="head", epochs=10, progress=True)
    assert "The frozen stages (stem to body) are computed once" in capsys.readouterr().err
    assert stages(phases[0].moved) == {"head"}
    assert run.metrics["top1"] > 0.5


@pytest.mark.parametrize("budget", BUDGETS.values())
@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "gradual", "epochs": 6, "learning_rate": 0.01},
        {"strategy": "gradual", "epochs": 6, "learning_rate": 0.01, "augment": "light"},
        {"strategy": "finetune", "freeze_until": "body", "learning_rate": 0.01},
        {"strategy": "gradual", "epochs": 6, "learning_rate": 0.01, "optimizer": "sgd", "ema": 0.5},
    ],
)
def test_features_are_those_of_the_present_weights(learn, phases, pretrained, options, budget):
    """At the end of every phase the logits on its inputs are the network's on the pictures."""
    differences = []

    def compare(seen):
        on_pictures = seen.logits_on_pictures()
        differences.append(float((seen.logits_on_features() - on_pictures).abs().max() / on_pictures.std()))

    phases.at_end = compare
    learn(weights=str(pretrained), cache_budget=budget, **options)
    assert len(differences) == len(phases) >= 2
    assert max(differences) < 1e-3


@pytest.mark.parametrize("budget", ["4GiB", "0"])
def test_the_best_head_goes_on_into_the_next_phase(learn, phases, budget):
    run = learn(strategy="finetune", learning_rate=0.01, cache_budget=budget)
    head, finetune = phases
    assert all(torch.equal(value, finetune.before[name]) for name, value in head.after.items())
    views = head.trainer.views
    network = start()
    network.load_state_dict(head.after)
    with torch.inference_mode():
        logits = network.eval()(views.plain(views.val, torch.arange(len(views.val))))
    loss = torch.nn.functional.cross_entropy(logits, head.trainer.val_labels)
    losses = [float(row["val_loss"]) for row in rows(run) if row["phase"] == "head"]
    assert float(loss) == pytest.approx(min(losses), rel=1e-3)


@pytest.mark.parametrize("budget", ["4GiB", "0"])
@pytest.mark.parametrize("strategy", ["head", "gradual"])
def test_last_ckpt_holds_the_weights_that_training_would_go_on_with(learn, phases, strategy, budget):
    run = learn(strategy=strategy, epochs=3, learning_rate=0.01, cache_budget=budget)
    kept = torch.load(run.path / "last.ckpt", weights_only=True)["network"]
    last = phases[-1].phase.whole(phases[-1].train_state.phase.model.state_dict())
    expected = load_file(run.path / "best.safetensors") if strategy == "head" else last
    assert all(torch.equal(value.cpu(), kept[name]) for name, value in expected.items())
    assert not torch.equal(kept["2.weight"], start().state_dict()["2.weight"])


@pytest.mark.parametrize("strategy", ["head", "finetune", "gradual", "full"])
def test_the_figures_of_the_best_epoch_are_those_of_the_kept_classifier(learn, strategy):
    run = learn(strategy=strategy, epochs=5, learning_rate=0.005, augment="light")
    best = rows(run)[run.info.best_epoch - 1]
    logits, labels = classify(run.classifier(), run.dataset().val)
    assert summarise(logits, labels)["loss"] == pytest.approx(float(best["val_loss"]), rel=0.01)


def features_of(seen):
    """The stored features of a phase: of the training pictures in the first epoch, and of validation."""
    return (
        seen.phase.source.train(torch.arange(len(seen.trainer.labels)), 1),
        seen.phase.source.val(torch.arange(len(seen.trainer.val_labels))),
    )


@pytest.mark.parametrize("strategy", ["head", "full"])
def test_a_second_run_sees_what_changed_on_disk(bars, tmp_path, phases, pretrained, strategy):
    data = shutil.copytree(bars, tmp_path / "data")
    weights = shutil.copy(pretrained, tmp_path / "weights.safetensors")

    frozen = {} if strategy == "head" else {"freeze_until": "body"}

    def features(name):
        run = train(data, tmp_path, name=name, strategy=strategy, weights=str(weights), epochs=1, **frozen)
        return (*features_of(phases[-1]), run.classifier())

    first, same = features("first"), features("same")
    assert torch.equal(first[0], same[0])
    for split in ("train", "val"):
        Image.fromarray(np.full((24, 24, 3), 90, np.uint8)).save(data / split / "bar" / "000.png")
    pictures = features("pictures")
    assert (pictures[0] != first[0]).flatten(1).any(1).sum() >= 1
    assert (pictures[1] != first[1]).flatten(1).any(1).sum() >= 1
    state = load_file(weights)
    state["0.0.weight"] *= -1
    save_file(state, weights)
    changed = features("weights")
    assert not torch.allclose(changed[0], pictures[0], atol=0.1)
    kept = changed[2].network.state_dict()["0.0.weight"]
    assert torch.equal(kept, state["0.0.weight"])


@pytest.mark.parametrize("strategy", ["full", "head"])
def test_the_places_of_features_give_one_result(learn, capsys, monkeypatch, strategy):
    said, losses = {}, {}
    for place, budget in {**BUDGETS, "full disk": "1KB"}.items():
        if place == "full disk":
            monkeypatch.setattr("zoo.training.feature_cache.shutil.disk_usage", lambda _: Disk(free=0))
            monkeypatch.setattr("zoo.training.train.check_space", lambda *_, **__: None)  # the run's own disk has room
        frozen = {} if strategy == "head" else {"freeze_until": "body"}
        options = {"strategy": strategy, "cache_budget": budget, **frozen}
        run = learn(name=place, epochs=4, learning_rate=0.01, progress=True, **options)
        said[place] = capsys.readouterr().err
        losses[place] = [float(row[key]) for row in rows(run) for key in ("train_loss", "val_loss")]
    assert "MiB of features in memory." in said["memory"]
    assert "MiB of features in a file." in said["file"]
    for place, budget in (("anew", "0"), ("full disk", "1KB")):
        no_room = "computed in each epoch: their features do not fit into"
        assert f"{no_room} --cache-budget {budget}." in said[place]
    for place in ("file", "anew", "full disk"):
        assert losses[place] == pytest.approx(losses["memory"], rel=1e-3), place


def test_each_epoch_takes_the_next_view(learn, phases, capsys):
    learn(strategy="head", augment="light", views=3, epochs=7, progress=True)
    assert "3 views of each picture" in capsys.readouterr().err
    (seen,) = phases
    everything = torch.arange(len(seen.trainer.labels))
    views = [seen.phase.source.train(everything, epoch) for epoch in range(1, 8)]
    for first in range(7):
        for second in range(first):
            same = (views[first] == views[second]).flatten(1).all(1)
            assert bool(same.all()) if (first - second) % 3 == 0 else not same.any()


@pytest.mark.parametrize(("views", "epochs", "expected"), [(None, 6, 4), (6, 2, 2), (1, 3, 1)])
def test_no_more_views_are_stored_than_there_are_epochs(learn, phases, views, epochs, expected):
    learn(strategy="head", augment="light", views=views, epochs=epochs)
    seen = {phases[0].phase.source.train(torch.arange(5), epoch).sum().item() for epoch in range(1, 20)}
    assert len(seen) == expected


def test_the_head_of_finetune_warms_up_on_pictures_as_they_are(learn, phases):
    learn(strategy="finetune", augment="light", freeze_until="body")
    inputs = [[seen.phase.source.train(torch.arange(5), epoch) for epoch in (1, 2)] for seen in phases]
    assert torch.equal(*inputs[0])
    assert not torch.equal(*inputs[1])


MEAN, STD = (0.2, 0.4, 0.6), (0.3, 0.2, 0.1)


@pytest.mark.parametrize(
    ("resize", "interpolation"),
    [
        ("crop", "bilinear"),
        ("squash", "bilinear"),
        ("crop", "bicubic"),
        ("shorter", "bilinear"),
        ("shorter", "bicubic"),
    ],
)
def test_training_and_the_classifier_see_what_the_recipe_says(learn, phases, resize, interpolation):
    run = learn(epochs=1, mean="0.2,0.4,0.6", std="0.3,0.2,0.1", resize=resize, interpolation=interpolation)
    assert (run.preprocess.mean, run.preprocess.std) == (MEAN, STD)
    assert (run.preprocess.resize, run.preprocess.interpolation) == (resize, interpolation)
    views, preprocess = phases[0].trainer.views, run.classifier().preprocess
    dataset = run.dataset()
    for split, store in ((dataset.train, views.train), (dataset.val, views.val)):
        trained = views.plain(store, torch.arange(len(split)))
        for index, picture in decode(split.pictures):
            deployed = preprocess(torch.from_numpy(picture)[None])[0]
            assert (trained[index] - deployed).abs().max() <= 0.51 / 255 / min(STD)  # stored as uint8
    raw = views.val.pixels.take(np.arange(len(views.val))).reshape(-1, 3).mean(0) / 255
    seen = views.plain(views.val, torch.arange(len(views.val))).mean((0, 2, 3))
    assert seen.numpy() == pytest.approx((raw - MEAN) / STD, abs=1e-4)


def test_augmented_views_are_normalised_as_plain_ones_are(learn, phases):
    learn(epochs=1, mean="0.2,0.4,0.6", std="0.3,0.2,0.1", augment="light", resize="squash")
    views, everything = phases[0].trainer.views, torch.arange(120)
    varied, plain = views.varied(everything), views.plain(views.train, everything)
    assert not torch.allclose(varied, plain, atol=0.1)
    assert torch.allclose(varied.mean((0, 2, 3)), plain.mean((0, 2, 3)), atol=0.15)
    assert torch.allclose(varied.std((0, 2, 3)), plain.std((0, 2, 3)), rtol=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "full", "layer_decay": 0.5},
        {"strategy": "full", "layer_decay": 0.5, "freeze_until": "body"},
        {"strategy": "gradual", "epochs": 6, "optimizer": "sgd"},
        {"strategy": "finetune"},
    ],
)
def test_learning_rates_are_those_of_the_stage_table(learn, phases, options):
    learn(schedule="constant", **options)
    plan, network = phases[0].trainer.plan, phases[0].trainer.network
    table = stage_rows(plan, phases[0].trainer.phase_maker.stages, network)
    said = [row[3].split(", then ") for row in table]
    found = [[] for _ in table]
    for seen in phases:
        rates = {id(p): group["lr"] for group in seen.train_state.optimizer.param_groups for p in group["params"]}
        # The head learns as a copy on stored features.
        own = [rates.get(id(part.parameters().__next__())) for part in network]
        own[2] = own[2] or seen.train_state.learning_rate
        for index, rate in enumerate(own):
            if rate is not None and f"{rate:.2g}" not in found[index]:
                found[index].append(f"{rate:.2g}")
    assert [each or ["-"] for each in found] == said


def test_stages_unfreeze_at_the_given_epochs(learn):
    run = learn(strategy="gradual", epochs=7, unfreeze_at="3,6")
    assert [row["phase"] for row in rows(run)] == ["head"] * 2 + ["body"] * 3 + ["stem"] * 2


def test_stages_unfreeze_evenly(learn):
    run = learn(strategy="gradual", epochs=7)
    assert [row["phase"] for row in rows(run)] == ["head"] * 2 + ["body"] * 2 + ["stem"] * 3


def test_a_network_that_can_be_split_learns_behind_a_frozen_stem(learn, foreign):
    foreign(Small)
    run = learn(backbone="foreign", strategy="full", freeze_until="body", epochs=5, learning_rate=0.01)
    assert run.metrics["top1"] > 0.5
