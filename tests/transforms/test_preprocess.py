import numpy as np
import pytest
import torch
from PIL import Image

from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess import Preprocess

NEUTRAL = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def pixels(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3), (28, 28), (31, 77), (300, 200)])
def test_any_size_gives_the_networks_size(size, resize):
    spec = PreprocessSpec(image_size=32, resize=resize, crop_fraction=0.875)
    result = Preprocess(spec)(pixels(2, *size))
    assert result.shape == (2, 3, 32, 32)
    assert result.dtype == torch.float32
    assert result.isfinite().all()


def test_the_resize_is_pillows_antialiased_bilinear():
    picture = pixels(1, 96, 96)
    ours = Preprocess(PreprocessSpec(image_size=32)).resize(picture)[0].permute(1, 2, 0).numpy()
    theirs = Image.fromarray(picture[0].numpy()).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.abs(ours - np.asarray(theirs, dtype=np.float32)).max() <= 1  # Pillow rounds twice


def test_a_crop_takes_the_centre():
    picture = torch.zeros(1, 40, 80, 3, dtype=torch.uint8)
    picture[:, 10:30, 30:50] = 255  # the middle half of the shorter side
    result = Preprocess(PreprocessSpec(image_size=20, crop_fraction=0.5, **NEUTRAL))(picture)
    assert torch.allclose(result, torch.ones(1, 3, 20, 20))


def test_a_squash_keeps_the_edges():
    picture = torch.zeros(1, 40, 80, 3, dtype=torch.uint8)
    picture[:, :, 60:] = 255
    result = Preprocess(PreprocessSpec(image_size=20, resize="squash", **NEUTRAL))(picture)
    assert result[..., :14].max() < 0.01
    assert result[..., 16:].min() > 0.99


def test_pixels_are_normalised_per_channel():
    spec = PreprocessSpec(image_size=4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    picture = torch.full((1, 4, 4, 3), 51, dtype=torch.uint8)
    result = Preprocess(spec)(picture)[0, :, 0, 0]
    assert torch.allclose(result, torch.tensor([0.2, 0.0, -0.05]), atol=1e-6)


def test_grey_is_pillows_luma_in_every_channel():
    picture = pixels(1, 8, 8)
    result = Preprocess(PreprocessSpec(image_size=8, channels="grey", **NEUTRAL))(picture)[0] * 255
    luma = np.asarray(Image.fromarray(picture[0].numpy()).convert("L"), dtype=np.float32)
    assert torch.equal(result[0], result[1])
    assert torch.equal(result[0], result[2])
    assert np.abs(result[0].numpy() - luma).max() <= 1


def test_a_row_does_not_depend_on_its_batch():
    batch = pixels(5, 30, 40)
    preprocess = Preprocess(PreprocessSpec(image_size=16))
    assert torch.equal(preprocess(batch)[3], preprocess(batch[3:4])[0])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")
def test_scripted_is_eager():
    preprocess = Preprocess(PreprocessSpec(image_size=24, crop_fraction=224 / 232))
    scripted = torch.jit.script(preprocess)
    for size in ((1, 1), (1, 500), (33, 50)):
        assert torch.equal(scripted(pixels(2, *size)), preprocess(pixels(2, *size)))
