import pytest
import torch

from zoo.augment import POLICIES, Policy, augment, make_policy
from zoo.recipe import Recipe


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


def recipe(**options) -> Recipe:
    return Recipe.make(backbone="tiny", dataset="bars", **options)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_alone_is_itself(name):
    assert make_policy(recipe(), name) is POLICIES[name]


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"rotate": 30.0}, {"degrees": 30.0}),
        ({"translate": 0.25}, {"translate": 0.25, "crop": None}),
        ({"zoom": "0.5,2"}, {"scale": (0.5, 2.0), "crop": None}),
        ({"shear": 20.0}, {"shear": 20.0}),
        ({"flip": "both"}, {"flip": "both"}),
        ({"jitter": 0.0}, {"jitter": 0.0}),
        ({"grey": 0.5}, {"grey": 0.5}),
    ],
)
@pytest.mark.parametrize("name", POLICIES)
def test_an_option_stands_in_place_of_the_policys_own(name, options, fields):
    whole = make_policy(recipe(**options), name)
    before = POLICIES[name] or Policy()
    for field in Policy.__dataclass_fields__:
        assert getattr(whole, field) == fields.get(field, getattr(before, field))


def bright(views: torch.Tensor) -> torch.Tensor:
    """The centre of what is bright, as shares of the side from the middle: `[N, 2]`, down and across."""
    weight = (views.mean(1) > 100).float()
    places = torch.linspace(-0.5, 0.5, weight.shape[-1])
    total = weight.sum((1, 2))
    return torch.stack([(weight.sum(2) * places).sum(1) / total, (weight.sum(1) * places).sum(1) / total], 1)


def spot(count: int) -> torch.Tensor:
    """A bright square right of the middle: uint8 `[count, 64, 64, 3]`."""
    images = torch.zeros(count, 64, 64, 3, dtype=torch.uint8)
    images[:, 28:36, 44:52] = 200
    return images


def test_rotation_turns_to_either_side_within_its_range():
    centres = bright(augment(spot(300), Policy(degrees=30), 64, generator()))
    angles = torch.atan2(centres[:, 0], centres[:, 1]) * 180 / torch.pi
    assert angles.abs().max() == pytest.approx(30, abs=2)
    assert angles.min() < -20
    assert angles.max() > 20
    assert torch.allclose(centres.norm(dim=1), torch.tensor(0.25), atol=0.03)


def test_zoom_is_a_factor_on_what_is_in_the_picture():
    views = augment(spot(300), Policy(scale=(0.5, 1.5)), 64, generator())
    side = (views[:, 0] > 100).float().sum((1, 2)).sqrt() / 8
    assert side.min() == pytest.approx(0.5, abs=0.1)
    assert side.max() == pytest.approx(1.5, abs=0.1)
    assert side.mean() == pytest.approx(1, abs=0.1)


def test_shear_slants_to_either_side():
    upright = torch.zeros(300, 64, 64, 3, dtype=torch.uint8)
    upright[:, :, 30:34] = 200
    views = augment(upright, Policy(shear=20), 64, generator())
    places = torch.linspace(-0.5, 0.5, 64)
    rows = [(views[:, 0, row] > 100).float() for row in (11, 51)]
    top, bottom = ((row * places).sum(1) / row.sum(1) for row in rows)
    slant = torch.atan((top - bottom) * 63 / 40) * 180 / torch.pi
    assert slant.abs().max() == pytest.approx(20, abs=2)
    assert slant.min() < -15
    assert slant.max() > 15


@pytest.mark.parametrize(
    ("flip", "shares"), [("none", (0, 0)), ("horizontal", (0, 0.5)), ("vertical", (0.5, 0)), ("both", (0.5, 0.5))]
)
def test_flips_mirror_half_of_the_pictures(flip, shares):
    corner = torch.zeros(600, 32, 32, 3, dtype=torch.uint8)
    corner[:, :8, :8] = 200
    centres = bright(augment(corner, Policy(flip=flip), 32, generator()))
    mirrored = centres > 0  # down, across
    assert mirrored.float().mean(0).tolist() == pytest.approx(shares, abs=0.06)
    if flip == "both":
        assert float(mirrored.all(1).float().mean()) == pytest.approx(0.25, abs=0.06)


def test_a_share_of_the_pictures_loses_its_colours():
    red = torch.zeros(400, 8, 8, 3, dtype=torch.uint8)
    red[..., 0] = 200
    views = augment(red, Policy(grey=0.3), 8, generator())
    lost = (views[:, 0] == views[:, 1]).flatten(1).all(1)
    assert float(lost.float().mean()) == pytest.approx(0.3, abs=0.06)
    assert torch.allclose(views[lost], torch.tensor(200 * 0.299), atol=0.1)
    assert torch.allclose(views[~lost][:, 0], torch.tensor(200.0), atol=0.1)


def test_jitter_keeps_to_its_range():
    flat = torch.full((400, 8, 8, 3), 100, dtype=torch.uint8)
    views = augment(flat, Policy(jitter=0.2), 8, generator())
    assert views.min() == pytest.approx(80, abs=1)
    assert views.max() == pytest.approx(120, abs=1)
    assert torch.equal(augment(flat, Policy(), 8, generator()), torch.full((400, 3, 8, 8), 100.0))
