"""Each option of the loop does what it says, and what it cannot do it refuses."""

import csv
import math
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from zoo.cli import main
from zoo.errors import TrainingError, UsageError
from zoo.metrics import summarise
from zoo.registry import registry
from zoo.runs.run import Run
from zoo.specs import WriteOptions
from zoo.training.learner import make_average
from zoo.training.loop import Trainer
from zoo.training.loss import class_weights
from zoo.transforms.mixup import make_mixer

from ..conftest import write_folder
from ..networks import Plain
from ..watch import add_backbone, classify, start, train

pytestmark = pytest.mark.usefixtures("no_plots")


def rows(run):
    return list(csv.DictReader((run.path / "metrics.csv").read_text().splitlines()))


def validation_loss(run):
    logits, labels = classify(run.classifier(), run.dataset().val)
    return summarise(logits, labels)["loss"]


# --- the loss


def one_batch(learn, phases, **options):
    """The training loss of one step over all pictures, and the logits and labels that it is about."""
    run = learn(batch_size=120, epochs=1, **options)
    views, labels = phases[-1].trainer.views, phases[-1].trainer.labels
    with torch.no_grad():
        logits = start().train()(views.plain(views.train, torch.arange(120)))
    return float(rows(run)[0]["train_loss"]), logits, labels


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(("weights", "values"), [(None, None), ("bar=3,slope=0.5", [3.0, 1.0, 0.5])])
def test_the_loss_is_that_of_the_options(learn, phases, smoothing, weights, values):
    loss, logits, labels = one_batch(learn, phases, label_smoothing=smoothing, class_weights=weights)
    expected = F.cross_entropy(logits, labels, values and torch.tensor(values), label_smoothing=smoothing)
    assert loss == pytest.approx(float(expected), rel=1e-4)


def test_label_smoothing_and_class_weights_change_the_loss(learn, phases):
    plain = one_batch(learn, phases, name="a")[0]
    assert abs(one_batch(learn, phases, name="b", label_smoothing=0.5)[0] - plain) > 1e-3
    assert abs(one_batch(learn, phases, name="c", class_weights="bar=9")[0] - plain) > 1e-3


def test_validation_knows_neither_smoothing_nor_weights(learn):
    run = learn(epochs=3, learning_rate=0.01, label_smoothing=0.5, class_weights="bar=9")
    best = rows(run)[run.info.best_epoch - 1]
    assert validation_loss(run) == pytest.approx(float(best["val_loss"]), rel=0.01)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_weightless_classes_is_no_end(learn, smoothing):
    run = learn(batch_size=2, class_weights="bar=0,line=0", label_smoothing=smoothing, epochs=1)
    assert math.isfinite(float(rows(run)[0]["train_loss"]))


def test_balanced_weights_are_inverse_to_the_frequency():
    weights = class_weights("balanced", {"a": 10, "b": 40, "c": 50})
    assert np.multiply(weights, [10, 40, 50]).tolist() == pytest.approx([100 / 3] * 3)
    assert class_weights({"b": 2, "c": 0}, {"a": 1, "b": 1, "c": 1}) == [1, 2, 0]


# --- the pictures of a batch


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_are_mixed_as_the_pictures_are(kind):
    torch.manual_seed(0)
    mix = make_mixer(float(kind == "mixup"), float(kind == "cutmix"), 2)
    labels = torch.arange(64) % 2
    pictures = labels.float().view(64, 1, 1, 1).expand(64, 3, 32, 32).contiguous()  # as bright as their label
    mixed, shares = mix(pictures, labels)
    assert mixed.shape == pictures.shape
    assert torch.allclose(shares.sum(1), torch.ones(64))
    assert torch.allclose(mixed.mean((1, 2, 3)), shares[:, 1], atol=1e-5)
    assert 0 < shares[:, 1].max() < 1 or len(shares[:, 1].unique()) > 2


def test_nothing_is_mixed_unless_asked():
    assert make_mixer(0.0, 0.0, 3) is None


@pytest.mark.parametrize("options", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 0.5, "cutmix": 1.0}])
@pytest.mark.parametrize("strategy", ["full", "head"])
def test_mixed_batches_train_towards_mixed_labels(learn, monkeypatch, strategy, options):
    targets, real = {True: [], False: []}, F.cross_entropy

    def loss(logits, target, *weights, **more):
        targets[logits.requires_grad].append(target)
        return real(logits, target, *weights, **more)

    monkeypatch.setattr("zoo.training.loop.F.cross_entropy", loss)
    run = learn(strategy=strategy, epochs=3, **options)
    shares = torch.cat(targets[True])
    assert torch.allclose(shares.sum(1), torch.ones(len(shares)))
    assert (shares.amax(1) < 1).float().mean() > 0.3
    assert all(target.ndim == 1 for target in targets[False])  # validation is not mixed
    assert float(rows(run)[-1]["train_top1"]) > 0.2


def test_features_of_mixed_pictures_are_not_stored(learn, capsys):
    learn(strategy="head", mixup=0.5, epochs=1, progress=True)
    assert "computed in each epoch: pictures are mixed before they enter" in capsys.readouterr().err


@pytest.fixture(scope="module")
def skewed(tmp_path_factory):
    """60 bars, 12 lines, 3 slopes."""
    root = write_folder(tmp_path_factory.mktemp("skewed"), {"train": 60, "val": 4})
    for name, kept in (("line", 12), ("slope", 3)):
        for path in sorted((root / "train" / name).iterdir())[kept:]:
            path.unlink()
    return root


@pytest.mark.parametrize("sampling", ["balanced", "natural"])
def test_sampling_draws_what_it_says(skewed, tmp_path, phases, sampling):
    train(skewed, tmp_path, sampling=sampling, epochs=1)
    trainer = phases[0].trainer
    epochs = [trainer.drawn() for _ in range(200)]
    drawn = trainer.labels[torch.cat(epochs)].bincount() / (200 * 75)
    if sampling == "natural":
        assert all(torch.equal(epoch.sort().values, torch.arange(75)) for epoch in epochs)
    else:
        assert drawn.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
        assert len(torch.cat(epochs).unique()) == 75
    assert not torch.equal(epochs[0], epochs[1])


# --- the steps


def test_accumulated_batches_are_one_large_batch(learn, monkeypatch):
    add_backbone(monkeypatch, Plain)
    options = {"backbone": "foreign", "optimizer": "sgd", "learning_rate": 0.1, "epochs": 2}
    whole, parts, other = (
        learn(name=f"{size}x{count}", batch_size=size, accumulate=count, **options)
        for size, count in ((16, 1), (8, 2), (8, 1))
    )
    states = [load_file(run.path / "best.safetensors") for run in (whole, parts, other)]
    assert rows(parts)[-1]["train_loss"][:6] == rows(whole)[-1]["train_loss"][:6]
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-5) for name in states[0])
    assert not all(torch.allclose(states[0][name], states[2][name], atol=1e-3) for name in states[0])


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "shares"),
    [
        (50, 2, [0.5, 0.5, 1.0]),  # 50 + 50, 20
        (25, 3, [1 / 3, 1 / 3, 1 / 3, 5 / 9, 4 / 9]),  # 75, 25 + 20
        (17, 4, [0.25] * 4 + [17 / 51] * 3),  # 68, 51 (a single picture is left out)
    ],
)
def test_a_batch_weighs_by_its_pictures(learn, phases, batch_size, accumulate, shares):
    learn(batch_size=batch_size, accumulate=accumulate, epochs=1)
    trainer = phases[0].trainer
    sizes = [len(part) for part in torch.arange(120).split(batch_size)][: trainer.batches_per_epoch()]
    assert [trainer._share(number, size) for number, size in enumerate(sizes, start=1)] == pytest.approx(shares)


def test_clipping_bounds_the_gradient(learn, phases):
    def change(name, **options):
        learn(
            name=name,
            optimizer="sgd",
            momentum=0.0,
            weight_decay=0.0,
            learning_rate=1.0,
            schedule="constant",
            batch_size=120,
            epochs=1,
            **options,
        )
        seen = phases[-1]
        steps = [
            (seen.after[name] - seen.before[name]).flatten() for name, _ in seen.trainer.network.named_parameters()
        ]
        return float(torch.cat(steps).norm())

    assert change("free") > 0.2
    assert change("clipped", clip_norm=0.1) == pytest.approx(0.1, rel=1e-3)
    assert change("parts", clip_norm=0.1, accumulate=2) == pytest.approx(0.1, rel=1e-3)


# --- dropout


@pytest.mark.parametrize(
    "options", [{"strategy": "full"}, {"strategy": "head"}, {"strategy": "head", "cache_budget": "0"}]
)
def test_dropout_is_active_in_training_only(learn, monkeypatch, options):
    calls, real = [], F.dropout

    def dropout(inputs, share, training):
        calls.append((share, training, torch.is_inference_mode_enabled()))
        return real(inputs, share, training)

    with monkeypatch.context() as patch:
        patch.setattr("zoo.training.loop.F.dropout", dropout)
        run = learn(dropout=0.4, epochs=3, **options)
    assert {share for share, _, _ in calls} == {0.4}
    assert {(training, judging) for _, training, judging in calls} >= {(True, False), (False, True)}
    assert (True, True) not in {(training, judging) for _, training, judging in calls}
    best = rows(run)[run.info.best_epoch - 1]
    assert validation_loss(run) == pytest.approx(float(best["val_loss"]), rel=0.01)
    undropped = learn(name="undropped", epochs=3, **options)
    assert rows(undropped)[0]["train_loss"] != rows(run)[0]["train_loss"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
def test_no_dropout_is_exported(learn, tmp_path):
    run = learn(dropout=0.5, epochs=1)
    path = tmp_path / "model.ts"
    registry().exporter("torchscript").spec.write(run.classifier(), path, WriteOptions())
    program = torch.jit.load(path)
    assert "dropout" not in str(program.inlined_graph)
    pictures = torch.randint(0, 256, (3, 20, 20, 3), dtype=torch.uint8)
    trained, judged = program.train()(pictures), program.eval()(pictures)
    assert all(torch.equal(*pair) for pair in zip(trained, judged, strict=True))


# --- the average of the weights


def test_the_average_moves_slowly_and_copies_statistics():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(model[0].weight, 0.0)
    average = make_average(model, 0.5)
    expected = None
    for step, value in enumerate((1.0, 2.0, 4.0, 8.0)):
        nn.init.constant_(model[0].weight, value)
        model[1].running_mean.fill_(value)
        average.update_parameters(model)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert average.module[0].weight.item() == pytest.approx(expected)
        assert average.module[1].running_mean.item() == value
    assert make_average(model, None) is None


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "full"},
        {"strategy": "full", "freeze_until": "body"},
        {"strategy": "full", "freeze_until": "body", "cache_budget": "0"},
        {"strategy": "head"},
        {"strategy": "head", "cache_budget": "0"},
    ],
)
def test_the_average_is_what_is_validated_kept_and_deployed(learn, phases, options):
    run = learn(ema=0.9, learning_rate=0.02, epochs=1, **options)
    seen = phases[-1]
    kept = load_file(run.path / "best.safetensors")
    average = seen.phase.whole(seen.train_state.average.module.state_dict())
    raw = seen.phase.whole(seen.train_state.phase.model.state_dict())
    assert all(torch.equal(kept[name], value) for name, value in average.items())
    assert not torch.allclose(kept["2.weight"], raw["2.weight"], atol=1e-4)
    assert torch.equal(run.classifier().network.state_dict()["2.weight"], kept["2.weight"])
    assert validation_loss(run) == pytest.approx(float(rows(run)[0]["val_loss"]), rel=0.01)
    checkpoint = torch.load(run.path / "last.ckpt", weights_only=True)
    goes_on = average if options.get("strategy") == "head" else raw  # the head is kept as soon as it has learned
    assert all(torch.equal(value, checkpoint["network"][name]) for name, value in goes_on.items())


# --- which epoch is kept, and when it ends

LOSSES = (1.0, 0.8, 0.9, 0.7, 0.75, 0.76, 0.77, 0.78)
ACCURACIES = (0.3, 0.5, 0.6, 0.4, 0.6, 0.5, 0.5, 0.5)


@pytest.fixture
def scripted(monkeypatch):
    """Validation with the figures above; collects the network's weights at each."""
    states = []

    def validate(self, phase, learner):
        row = {"val_loss": LOSSES[len(states)], "val_top1": ACCURACIES[len(states)]}
        states.append({name: value.clone() for name, value in self.network.state_dict().items()})
        return row

    monkeypatch.setattr(Trainer, "validate", validate)
    return states


@pytest.mark.parametrize(("monitor", "best"), [("loss", 4), ("accuracy", 3)])
def test_the_monitored_figure_chooses_the_epoch(learn, scripted, monitor, best):
    run = learn(monitor=monitor, epochs=8)
    assert run.info.best_epoch == best
    kept = load_file(run.path / "best.safetensors")
    equal = [all(torch.equal(kept[name], value) for name, value in state.items()) for state in scripted]
    assert [number for number, same in enumerate(equal, start=1) if same] == [best]


@pytest.mark.parametrize(
    ("monitor", "patience", "last"),
    [("loss", 1, 3), ("loss", 2, 6), ("loss", 3, 7), ("accuracy", 1, 4), ("accuracy", 3, 6), ("loss", 9, 8)],
)
@pytest.mark.usefixtures("scripted")
def test_early_stopping_waits_as_long_as_it_is_told(learn, capsys, monitor, patience, last):
    run = learn(monitor=monitor, early_stopping=patience, epochs=8, progress=True)
    assert len(rows(run)) == last
    assert (f"Stopped early: no progress in {patience} epochs." in capsys.readouterr().err) == (last < 8)


@pytest.mark.usefixtures("scripted")
def test_plateau_listens_to_the_monitored_figure(learn):
    run = learn(schedule="plateau", monitor="accuracy", patience=1, gamma=0.5, learning_rate=0.1, epochs=8)
    assert [float(row["learning_rate"]) for row in rows(run)] == pytest.approx([0.1] * 5 + [0.05] * 2 + [0.025])


@pytest.mark.slow  # on a busy machine the time runs out otherwise
@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "full"},
        {"strategy": "head"},
        {"strategy": "head", "cache_budget": "0"},
        {"strategy": "gradual", "freeze_until": "body"},
    ],
)
def test_a_time_budget_ends_in_time_and_keeps_a_validated_epoch(learn, capsys, options):
    began = time.perf_counter()
    run = learn(time_budget="1.5s", epochs=50_000, progress=True, **options)
    assert time.perf_counter() - began < 10  # with the final figures
    assert run.info.training_seconds < 3
    assert "The time budget of 2 s is used up." in capsys.readouterr().err
    table = rows(run)
    best = table[run.info.best_epoch - 1]
    assert validation_loss(run) == pytest.approx(float(best["val_loss"]), rel=0.01)
    assert len(table) > 2


@pytest.mark.slow  # on a busy machine the pace changes within the two seconds
def test_the_learning_rate_falls_with_the_time_that_is_left(learn):
    run = learn(time_budget="2s", epochs=50_000, learning_rate=0.01)
    rates = [float(row["learning_rate"]) for row in rows(run)]
    assert max(rates) > 0.008
    assert rates[-1] < 0.003
    assert rates[len(rates) // 2] == pytest.approx(0.005, abs=0.003)


def test_a_budget_below_one_epoch_still_keeps_a_validated_one(learn):
    run = learn(time_budget="0.01s", epochs=5)
    assert [row["epoch"] for row in rows(run)] == ["1"]
    assert validation_loss(run) == pytest.approx(float(rows(run)[0]["val_loss"]), rel=0.01)


# --- the compiler


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"strategy": "full"}, {"strategy": "gradual", "freeze_until": "body", "ema": 0.9}])
def test_a_compiled_network_trains(learn, options):
    run = learn(compile=True, epochs=3, learning_rate=0.01, **options)
    assert validation_loss(run) == pytest.approx(float(rows(run)[run.info.best_epoch - 1]["val_loss"]), rel=0.01)
    assert not any("_orig_mod" in name for name in load_file(run.path / "best.safetensors"))
    assert float(rows(run)[-1]["train_loss"]) < float(rows(run)[0]["train_loss"])


def test_without_a_compiler_it_says_so(learn, monkeypatch, tmp_path):
    def broken(module):
        raise RuntimeError("no g++\nfound")

    monkeypatch.setattr("torch.compile", broken)
    with pytest.raises(TrainingError, match=r"torch\.compile does not work here: no g\+\+") as error:
        learn(compile=True)
    assert "--compile" in error.value.remedy
    assert not (tmp_path / "run").exists()


# --- a loss that is not a number


@pytest.mark.parametrize("step", [1, 3])
def test_a_loss_that_is_no_number_names_its_step_and_keeps_the_last_good_checkpoint(learn, tmp_path, monkeypatch, step):
    real, steps = Trainer.batch_loss, []

    def loss(self, *arguments):
        found, right = real(self, *arguments)
        steps.append(found)
        return found * (float("nan") if len(steps) == 8 + step else 1), right

    monkeypatch.setattr(Trainer, "batch_loss", loss)
    with pytest.raises(TrainingError, match=rf"in epoch 2, step {step}\. Epoch 1 is kept\.") as error:
        learn(epochs=3, learning_rate=0.25)
    assert "--learning-rate below 0.25" in error.value.remedy
    run = Run(tmp_path / "run")
    assert (run.info.status, len(rows(run))) == ("failed", 1)
    checkpoint = torch.load(run.path / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 1
    assert bool(checkpoint["network"]["2.bias"].isfinite().all())
    assert validation_loss(run) == pytest.approx(float(rows(run)[0]["val_loss"]), rel=0.01)


# --- what is refused

LONG = ("--strategy", "gradual", "--epochs", "10")


@pytest.mark.parametrize(
    ("arguments", "cause", "remedy"),
    [
        (["--freeze-until", "layer9"], "tiny has no stage 'layer9'.", "Its stages are: stem, body, head."),
        (["--class-weights", "cat=2"], "an unknown class 'cat'.", "The classes are 'bar', 'line', 'slope'."),
        (["--class-weights", "bar"], "class_weights cannot be 'bar'", "cat=2,dog=0.5"),
        (["--class-weights", "bar=-1"], "class_weights cannot be 'bar=-1'", "from 0"),
        (["--class-weights", "bar=much"], "class_weights cannot be 'much'", "--class-weights"),
        (["--class-weights", "bar=0,line=0,slope=0"], "All classes have the weight 0.", "above 0"),
        (["--strategy", "head", "--views", "3"], "all views of a picture are the same", "--augment"),
        (["--schedule", "multistep"], "multistep needs epochs", "--milestones"),
        (["--schedule", "multistep", "--milestones", "5,3"], "milestones cannot be '5,3'", "rising epochs"),
        (["--unfreeze-at", "3"], "unfreeze_at has no effect without --strategy gradual.", "--strategy gradual"),
        (["--milestones", "3"], "milestones has no effect with --schedule cosine.", "--schedule multistep"),
        (["--step-epochs", "3"], "step_epochs has no effect with --schedule cosine.", "Leave out --step-epochs"),
        (["--patience", "3"], "patience has no effect with --schedule cosine.", "--schedule plateau"),
        (["--gamma", "0.3"], "gamma has no effect with --schedule cosine.", "step or multistep or plateau"),
        (["--momentum", "0.3"], "momentum has no effect with --optimizer adamw.", "--optimizer sgd"),
        (["--no-nesterov"], "nesterov has no effect with --optimizer adamw.", "--optimizer sgd"),
        (["--strategy", "full", "--head-epochs", "3"], "head_epochs has no effect with --strategy full.", "finetune"),
        (["--strategy", "head", "--layer-decay", "0.5"], "layer_decay has no effect with --strategy head.", "finetune"),
        (["--limit", "2"], "2 pictures are too few for 3 classes.", "--limit 3"),
        ([*LONG, "--unfreeze-at", "1,3"], "cannot unfreeze at 1,3", "from 2 to 10"),
        ([*LONG, "--unfreeze-at", "3,11"], "cannot unfreeze at 3,11", "from 2 to 10"),
        ([*LONG, "--unfreeze-at", "2,3,4"], "2 stages before the head", "at most 2"),
        ([*LONG, "--unfreeze-at", "2.5"], "unfreeze_at cannot be '2.5'", "3,5,7"),
        (["--strategy", "gradual", "--epochs", "2"], "3 stages cannot unfreeze one by one in 2", "--epochs 3"),
        (["--cache-budget", "lots"], "cache_budget cannot be 'lots'", "500MB, 4GiB or 0"),
        (["--cache-budget=-1"], "cache_budget cannot be '-1'", "500MB, 4GiB or 0"),
        (["--cache-budget", "9" * 400 + "GiB"], "cache_budget cannot be '999", "500MB, 4GiB or 0"),
        (["--time-budget", "soon"], "time_budget cannot be 'soon'", "90s, 10m or 1.5h"),
        (["--time-budget", "0"], "time_budget cannot be '0'", "90s, 10m or 1.5h"),
        (["--mean", "0.5,0.5"], "mean cannot be '0.5,0.5'", "--mean one number, or three"),
        (["--mean", "nan"], "mean cannot be 'nan'", "--mean"),
        (["--std", "0"], "std cannot be '0'", "--std one number, or three"),
        (["--std", "0.2,0.2,0"], "std cannot be '0.2,0.2,0'", "--std one number, or three"),
        (["--zoom", "1.2,0.8"], "zoom cannot be '1.2,0.8'", "0.9,1.1"),
        (["--zoom", "0,1"], "zoom cannot be '0,1'", "0.9,1.1"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(bars, refused, arguments, cause, remedy):
    said = refused("tiny", bars, "--image-size", "16", *arguments)
    assert cause in said
    assert remedy in said


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs `zoo train`, which must exit as a wrong command does and leave the folder empty; returns what it says."""

    def run(*arguments):
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        monkeypatch.setattr(sys, "argv", ["zoo", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr().err
        assert end.value.code == 2
        assert "Traceback" not in said
        assert not list((tmp_path / "work").iterdir())
        return said

    return run


@pytest.mark.parametrize("weights", ["balanced", {"slope": 2.0}])
def test_a_class_without_pictures_cannot_be_weighed(weights):
    with pytest.raises(UsageError, match="The class 'slope' has"):
        class_weights(weights, {"bar": 3, "slope": 0})


def test_an_unknown_key_of_a_recipe_names_its_line(bars, tmp_path, refused):
    path = tmp_path / "mine.toml"
    path.write_text(f'backbone = "tiny"\ndataset = "{bars}"\n\n# faster\nlearning_rte = 0.1\n')
    said = refused("--recipe", path)
    assert "mine.toml, line 5: unknown option 'learning_rte'." in said
    assert "Did you mean learning_rate" in said
