"""Training in every number format."""

import pytest
import torch
from safetensors.torch import load_file

import zoo
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.training.devices import computes_bf16
from zoo.training.lr_find import lr_find

from ..watch import interrupt_after, train, validation_losses

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("no_plots")]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "auto"])
@pytest.mark.parametrize("strategy", ["full", "gradual"])
def test_every_precision_trains(learn, device, precision, strategy):
    if device == "cuda" and precision == "bf16" and not computes_bf16(device):
        pytest.skip("this GPU does not compute in bf16")
    run = learn(strategy=strategy, precision=precision)
    assert run.info.plan.device == device
    assert run.metrics["top1"] > 0.5
    assert min(validation_losses(run)) < validation_losses(run)[0]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_of_the_bits_learn_what_all_of_them_learn(learn, tell, precision):
    options = {"strategy": "full", "epochs": 3, "augment": "light"}
    whole, half = (validation_losses(learn(name=name, precision=name, **options)) for name in ("fp32", precision))
    tell(f"validation losses differ by {max(abs(a - b) / a for a, b in zip(whole, half, strict=True)):.1e}")
    assert half == pytest.approx(whole, rel=0.1)


def test_auto_takes_what_the_device_computes_in(learn, device):
    run = learn(precision="auto", epochs=1)
    fast, slow = ("bf16", "fp16") if device == "cuda" else ("bf16", "fp32")
    assert run.info.plan.precision == (fast if computes_bf16(device) else slow)


def test_bf16_needs_no_scaler_and_keeps_weights_in_fp32(learn, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        learn(precision="bf16", strategy="full")
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["precision"] == {}
    assert {value.dtype for value in state["train_state"]["model"].values() if value.is_floating_point()} == {
        torch.float32
    }


def test_the_gpu_learns_what_the_cpu_learns(bars, tmp_path, device, tell):
    options = {"strategy": "full", "epochs": 2, "augment": "light", "learning_rate": 0.01}
    places = {"of-the-cpu": "cpu", "of-the-gpu": device}
    losses = [validation_losses(train(bars, tmp_path, name=name, device=places[name], **options)) for name in places]
    tell(f"validation losses differ by {max(abs(a - b) / a for a, b in zip(*losses, strict=True)):.1e}")
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize(
    "options",
    [
        {"mixup": 0.5},
        {"clip_norm": 0.5},
        {"class_weights": "balanced"},
        {"dropout": 0.3},
        {"augment": "strong"},
        {"ema": 0.9, "accumulate": 2},
    ],
    ids="+".join,
)
def test_options_train_on_the_gpu(learn, options):
    losses = validation_losses(learn(strategy="full", **options))
    assert min(losses[1:]) < losses[0]


@pytest.mark.usefixtures("gpu")  # for a CPU a C++ compiler works two minutes
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")  # a hint of torch.compile
def test_a_compiled_network_trains(learn):
    losses = validation_losses(learn(strategy="full", compile=True, epochs=3))
    assert min(losses[1:]) < losses[0]


def test_deterministic_trainings_are_equal_to_the_bit(learn):
    options = {"backbone": "resnet18", "weights": "none", "image_size": 32, "strategy": "full", "epochs": 2}
    first, second = (learn(name=name, deterministic=True, **options).weights() for name in ("first", "second"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_learning_rate_is_found(bars, device):
    recipe = Recipe.make(
        backbone="tiny", dataset=str(bars), device=device, image_size=16, batch_size=16, strategy="full", augment="none"
    )
    sweep = lr_find(recipe, Reporter(quiet=True))
    assert len(sweep.losses) > 20
    assert sweep.losses.min() < sweep.losses[0]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_run_folder_holds_nothing_of_the_gpu(learn, precision):
    run = learn(precision=precision, ema=0.9)
    last = torch.load(run.path / "last.ckpt", weights_only=True)
    assert {value.device.type for value in last["network"].values()} == {"cpu"}
    weights = load_file(run.path / "best.safetensors")
    assert {value.dtype for value in weights.values() if value.dim()} == {torch.float32}
    logits = zoo.runs.run.Run(run.path).classifier()(torch.zeros(2, 20, 30, 3, dtype=torch.uint8))
    assert (logits.device.type, logits.shape, logits.dtype) == ("cpu", (2, 3), torch.float32)
