import pytest
import torch

from zoo.augment import POLICIES, Policy, augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cross(count: int) -> torch.Tensor:
    """A bright left half: uint8 `[count, 32, 32, 3]`."""
    images = torch.zeros(count, 32, 32, 3, dtype=torch.uint8)
    images[:, :, :16] = 200
    return images


def test_an_empty_policy_is_the_resize():
    images = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    same = augment(images, Policy(), 16, generator())
    assert torch.allclose(same, images.permute(0, 3, 1, 2).float(), atol=1e-3)


@pytest.mark.parametrize("name", [name for name, policy in POLICIES.items() if policy])
def test_the_samples_of_a_batch_differ_and_stay_pixels(name):
    views = augment(cross(8), POLICIES[name], 24, generator())
    assert views.shape == (8, 3, 24, 24)
    assert views.min() >= 0
    assert views.max() <= 255
    assert all(not torch.equal(views[0], view) for view in views[1:])


def test_one_seed_gives_one_batch():
    first, second = (augment(cross(4), POLICIES["photos"], 24, generator(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, augment(cross(4), POLICIES["photos"], 24, generator(4)))


def mirrored(name: str) -> float:
    views = augment(cross(400), POLICIES[name], 32, generator())
    left, right = views[..., :16].mean((1, 2, 3)), views[..., 16:].mean((1, 2, 3))
    return float((right > left).float().mean())


def test_digits_are_never_mirrored():
    assert mirrored("digits") == 0


def test_other_pictures_are_mirrored_half_the_time():
    assert 0.4 < mirrored("light") < 0.6


def test_shifts_stay_within_their_range():
    views = augment(cross(500), Policy(translate=0.125), 32, generator())
    edge = (views[:, 0, 16] > 100).sum(1)  # columns that are bright: 16 without a shift
    assert edge.min() >= 12
    assert edge.max() <= 20
    assert edge.float().std() > 1.5


def test_crops_show_at_least_their_area():
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 256, 1).expand(200, 256, 256, 3)
    views = augment(ramp, Policy(crop=(0.25, 1.0)), 64, generator())
    width = (views[:, 0, 32].amax(1) - views[:, 0, 32].amin(1)) / 255
    assert width.min() > (0.25 * 3 / 4) ** 0.5 - 0.03
    assert width.max() <= 1
