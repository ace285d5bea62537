"""Going on: on a CPU with what a GPU began, on a GPU with what a CPU began, and on the GPU itself."""

import pytest
import torch
from safetensors.torch import load_file

import zoo

from ..watch import interrupt_after, validation_losses

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("no_plots")]

OPTIONS = {
    "everything": {"strategy": "full", "ema": 0.9, "dropout": 0.1},
    "behind a frozen prefix": {"strategy": "full", "freeze_until": "body", "augment": "light"},
    "phase by phase": {"strategy": "gradual", "learning_rate": 0.003},
}


@pytest.fixture
def interrupted(learn, tmp_path, monkeypatch):
    """A function that trains four of six epochs, and returns the folder."""

    def train(**options):
        with monkeypatch.context() as patch:
            interrupt_after(patch, 4)
            with pytest.raises(KeyboardInterrupt):
                learn(**options)
        return tmp_path / "run"

    return train


def test_it_is_interrupted_before_its_end(interrupted):
    state = torch.load(interrupted(strategy="full") / "last.ckpt", weights_only=True)
    assert (state["epoch"], state["progress"]["epoch"]) == (4, 4)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "auto"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_cpu_goes_on_with_what_a_gpu_began(interrupted, precision, options):
    folder = interrupted(precision=precision, **options)
    rows = validation_losses(zoo.runs.run.Run(folder))
    before = load_file(folder / "best.safetensors")
    run = zoo.resume(folder, device="cpu")
    losses = validation_losses(run)
    assert losses[: len(rows)] == rows
    assert len(losses) == 6
    assert min(losses[4:]) < losses[0]
    assert run.metrics["top1"] > 0.5
    assert run.info.best_epoch <= 4 or any(
        not torch.equal(value, before[name]) for name, value in run.weights().items()
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_gpu_goes_on_with_what_a_cpu_began(interrupted, device, options):
    folder = interrupted(device="cpu", precision="auto", **options)
    run = zoo.resume(folder, device=device)
    assert run.info.machine.device
    assert len(validation_losses(run)) == 6
    assert min(validation_losses(run)[4:]) < validation_losses(run)[0]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_gpu_goes_on_with_its_own_as_if_nothing_had_happened(learn, interrupted, tell, precision, options):
    whole = learn(name="whole", precision=precision, **options)
    run = zoo.resume(interrupted(precision=precision, **options))
    pairs = list(zip(validation_losses(whole), validation_losses(run), strict=True))
    tell(f"validation losses differ by {max(abs(a - b) / a for a, b in pairs):.1e}")
    assert validation_losses(run) == pytest.approx(validation_losses(whole), rel=0.02)
    assert run.metrics["top1"] == pytest.approx(whole.metrics["top1"], abs=0.12)  # two of 18 pictures
