import colorsys
import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from zoo.errors import UsageError
from zoo.recipes.recipe import Recipe
from zoo.registry.validation import spec_fault
from zoo.specs import DatasetSpec
from zoo.transforms.augment import POLICIES, Draws, Policy, augment, describe, draw, make_policy
from zoo.transforms.augment.trivial import LEVELS, NAMES

MANY = 20_000
NAMED = [name for name, policy in POLICIES.items() if policy]
EVERYTHING = Policy(
    crop=(0.3, 1.0), degrees=20, shear=10, flip="both", jitter=0.4, hue=0.1, grey=0.2, trivial=True, erase=0.5
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def views_of(images: torch.Tensor, policy: Policy, size: int, seed: int = 0) -> torch.Tensor:
    return augment(images, draw(policy, len(images), generator(seed)), size)


def noise(count: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=generator(9))


def spans(values: torch.Tensor, low: float, high: float) -> bool:
    """Whether values lie within a range, fill it to its ends, and are as many on either side of its middle."""
    slack = 0.02 * (high - low)
    inside = bool((values >= low - 1e-4).all() and (values <= high + 1e-4).all())
    whole = float(values.min()) < low + slack and float(values.max()) > high - slack
    return inside and whole and abs(float((values > (low + high) / 2).float().mean()) - 0.5) < 0.02


# --- what is drawn


def turns(theta: torch.Tensor) -> torch.Tensor:
    """The angle in degrees, of maps that do not mirror top and bottom."""
    return torch.atan2(-theta[:, 0, 1], theta[:, 1, 1]).rad2deg()


def determinant(theta: torch.Tensor) -> torch.Tensor:
    return torch.linalg.det(theta[:, :, :2])


@pytest.mark.parametrize("name", ["digits", "light"])
def test_a_policys_rotations_zooms_and_shifts_fill_their_ranges(name):
    policy = POLICIES[name]
    theta = draw(policy, MANY, generator()).theta
    assert spans(turns(theta), -policy.degrees, policy.degrees)
    assert spans(1 / determinant(theta).abs().sqrt(), *policy.scale)
    for way in (0, 1):
        assert spans(theta[:, way, 2] / 2, -policy.translate, policy.translate)


@pytest.mark.parametrize("policy", [POLICIES["photos"], Policy(crop=POLICIES["strong"].crop), Policy(crop=(0.08, 0.5))])
def test_crops_fill_their_ranges_and_stay_inside(policy):
    theta = draw(policy, MANY, generator()).theta
    width, height = theta[:, 0, 0].abs(), theta[:, 1, 1].abs()
    assert spans(width * height, *policy.crop)
    aspect = (width / height).log()
    assert aspect.abs().max() <= math.log(4 / 3) + 1e-4
    small = width * height < 3 / 4
    assert spans(aspect[small], -math.log(4 / 3), math.log(4 / 3))
    for way, side in ((0, width), (1, height)):
        assert (theta[:, way, 2].abs() + side).max() <= 1 + 1e-5
        room = side < 0.95
        assert spans(theta[room, way, 2] / (1 - side[room]), -1, 1)


@pytest.mark.parametrize("name", NAMED)
def test_half_are_mirrored_and_digits_never(name):
    policy = dataclasses.replace(POLICIES[name], trivial=False)
    share = float((determinant(draw(policy, MANY, generator()).theta) < 0).float().mean())
    assert share == (0 if name == "digits" else pytest.approx(0.5, abs=0.02))


@pytest.mark.parametrize("policy", [Policy(jitter=POLICIES["photos"].jitter), Policy(jitter=0.7)])
def test_jitter_fills_its_range(policy):
    draws = draw(policy, MANY, generator())
    brightness = draws.colour.sum(2)
    assert torch.allclose(brightness, brightness[:, :1].expand(-1, 3), atol=1e-5)
    saturation = (draws.colour[:, 0, 0] - draws.colour[:, 1, 0]) / brightness[:, 0]
    parts = (brightness[:, 0], saturation, draws.contrast)
    assert all(spans(part, 1 - policy.jitter, 1 + policy.jitter) for part in parts)
    assert torch.stack(parts).corrcoef().sub(torch.eye(3)).abs().max() < 0.03


def test_a_share_loses_a_rectangle_of_the_published_size():
    box = draw(POLICIES["strong"], MANY, generator()).box
    erased = box.any(1)
    assert float(erased.float().mean()) == pytest.approx(0.1, abs=0.01)
    left, top, right, bottom = draw(Policy(erase=1), MANY, generator()).box.unbind(1)
    width, height = right - left, bottom - top
    assert spans(width * height, 0.02, 0.33)
    assert (width / height).log().abs().max() <= math.log(3.3) + 1e-4
    assert spans((width / height).log()[width * height < 1 / 3.3], -math.log(3.3), math.log(3.3))
    assert min(float(left.min()), float(top.min())) >= 0
    assert max(float(right.max()), float(bottom.max())) <= 1 + 1e-6
    assert spans(left / (1 - width), 0, 1)


def test_trivial_operations_are_equally_frequent_and_as_strong_as_torchvisions():
    draws = draw(POLICIES["strong"], MANY, generator())
    counts = draws.operation.bincount(minlength=len(NAMES))
    assert (counts / MANY).tolist() == pytest.approx([1 / 14] * 14, abs=0.01)
    space = list(v2.TrivialAugmentWide._AUGMENTATION_SPACE.items())
    theirs = {"ShearX": "shear_x", "ShearY": "shear_y", "TranslateX": "translate_x", "TranslateY": "translate_y"}
    theirs |= {"Color": "saturation"}
    assert [theirs.get(name, name.lower()) for name, _ in space] == list(NAMES)
    for index, (name, (levels, signed)) in enumerate(space):
        strength = draws.strength[draws.operation == index]
        factor = {"TranslateX": 1 / 224, "TranslateY": 1 / 224, "Solarize": 255}.get(name, 1)
        expected = levels(LEVELS, 224, 224)
        expected = torch.zeros(1) if expected is None else expected.float() * factor
        assert torch.allclose(strength.abs().unique(), expected.unique(), atol=1e-6), name
        assert float((strength < 0).float().mean()) == pytest.approx(0.5 if signed else 0, abs=0.06), name


def test_trivial_placements_are_part_of_the_one_resampling():
    draws = draw(Policy(trivial=True), MANY, generator())
    of = {name: (draws.theta[mask], draws.strength[mask]) for name, mask in masks(draws).items()}
    theta, strength = of["rotate"]
    assert torch.allclose(turns(theta), strength, atol=1e-3)
    for name, (row, column), factor in (
        ("shear_x", (0, 1), 1),
        ("shear_y", (1, 0), 1),
        ("translate_x", (0, 2), 2),
        ("translate_y", (1, 2), 2),
    ):
        theta, strength = of[name]
        expected = torch.eye(2, 3).repeat(len(theta), 1, 1)
        expected[:, row, column] = factor * strength
        assert torch.allclose(theta, expected, atol=1e-6), name
    others = torch.cat([of[name][0] for name in NAMES if name not in NAMES[1:6]])
    assert torch.equal(others, torch.eye(2, 3).expand_as(others))


def masks(draws: Draws) -> dict[str, torch.Tensor]:
    return {name: draws.operation == index for index, name in enumerate(NAMES)}


def test_the_generators_state_alone_decides():
    chance = generator(3)
    state = chance.get_state()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draw(EVERYTHING, 50, chance)
    following = draw(EVERYTHING, 50, chance)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    chance.set_state(state)
    for drawn in (first, following):
        again = draw(EVERYTHING, 50, chance)
        assert all(torch.equal(a, b) for a, b in zip(tensors(drawn), tensors(again), strict=True))
    assert not torch.equal(first.theta, following.theta)
    assert not torch.equal(first.theta, draw(EVERYTHING, 50, generator(4)).theta)


def tensors(draws: Draws) -> list[torch.Tensor]:
    return [value for field in dataclasses.fields(draws) if (value := getattr(draws, field.name)) is not None]


def test_what_a_policy_does_not_vary_is_not_drawn():
    assert len(tensors(draw(Policy(), 2, generator()))) == 1
    assert all(len(value) == 7 for value in tensors(draw(EVERYTHING, 7, generator())))
    assert len(tensors(draw(EVERYTHING, 7, generator()))) == len(dataclasses.fields(Draws))


# --- what becomes of it


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", [*NAMED, "everything"])
def test_rows_alone_are_the_rows_of_the_batch(name, threads):
    policy = POLICIES.get(name, EVERYTHING)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for side, size in ((37, 29), (64, 24), (130, 112)):
            images, draws = noise(12, side), draw(policy, 12, generator(side))
            whole = augment(images, draws, size)
            for index in (slice(0, 1), slice(3, 6), slice(5, 12), torch.tensor([11, 3, 9, 10])):
                assert torch.equal(augment(images[index], draws.rows(index), size), whole[index])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("policy", [Policy(), Policy(crop=(1.0, 1.0)), Policy(jitter=1e-9)])
def test_without_ranges_it_is_the_picture(policy):
    images = noise(4, 16)
    same = views_of(images, policy, 16)
    assert torch.allclose(same, images.permute(0, 3, 1, 2).float(), atol=1e-3)


@pytest.mark.parametrize("name", NAMED)
def test_the_samples_of_a_batch_differ_and_stay_pixels(name):
    views = views_of(noise(1, 24).expand(8, -1, -1, -1), POLICIES[name], 24)
    assert views.shape == (8, 3, 24, 24)
    assert views.dtype == torch.float32
    assert views.min() >= 0
    assert views.max() <= 255
    assert all(not torch.equal(first, view) for i, first in enumerate(views) for view in views[i + 1 :])


@pytest.mark.parametrize("policy", [POLICIES["strong"], Policy(jitter=0.4), EVERYTHING])
def test_a_network_that_computes_in_bf16_sees_the_same_pictures(policy):
    images, draws = noise(12, 24), draw(policy, 12, generator())
    exact = augment(images, draws, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(images, draws, 24), exact)


def glyph() -> torch.Tensor:
    """Like an F: a picture that is not its own mirror image, uint8 `[1, 28, 28, 3]`."""
    image = torch.zeros(1, 28, 28, 3, dtype=torch.uint8)
    image[:, 4:24, 7:10] = image[:, 4:7, 7:20] = image[:, 12:15, 7:17] = 255
    return image


def test_no_digit_comes_out_mirrored():
    views = views_of(glyph().expand(1000, -1, -1, -1), POLICIES["digits"], 28)[:, :1]
    both = torch.stack([image[..., 0].float() for image in (glyph(), glyph().flip(2))])  # [2, 1, 28, 28]
    same, mirrored = F.conv2d(views, both, padding=4).amax((2, 3)).unbind(1)  # at the best of 81 shifts
    assert (same > mirrored).all()


def test_a_large_reduction_does_not_alias():
    stripes = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    view = views_of(stripes, Policy(), 32)[..., 2:-2]
    assert view.min() > 90
    assert view.max() < 165


def test_only_the_rectangle_is_erased():
    images, fill = noise(40, 32), torch.tensor([10.0, 20.0, 30.0]).view(1, 3, 1, 1)
    draws = draw(Policy(erase=0.5), 40, generator())
    views = augment(images, draws, 32, fill=fill)
    plain = images.permute(0, 3, 1, 2).float()
    centre = (torch.arange(32) + 0.5) / 32
    for view, before, (left, top, right, bottom) in zip(views, plain, draws.box.tolist(), strict=True):
        inside = ((centre >= top) & (centre < bottom))[:, None] & ((centre >= left) & (centre < right))
        assert (view[:, inside] == fill[0, :, 0]).all()
        assert torch.allclose(view[:, ~inside], before[:, ~inside], atol=1e-3)
    assert 0 < int(draws.box.any(1).sum()) < 40


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NAMES[1:6]])
def test_trivial_operations_are_torchvisions(name):
    apply = {
        "identity": lambda image, _: image,
        "brightness": lambda image, by: functional.adjust_brightness(image, 1 + by),
        "saturation": lambda image, by: functional.adjust_saturation(image, 1 + by),
        "contrast": lambda image, by: functional.adjust_contrast(image, 1 + by),
        "sharpness": lambda image, by: functional.adjust_sharpness(image, 1 + by),
        "posterize": lambda image, bits: functional.posterize(image, int(bits)),
        "solarize": functional.solarize,
        "autocontrast": lambda image, _: functional.autocontrast(image),
        "equalize": lambda image, _: functional.equalize(image),
    }[name]
    draws = draw(Policy(trivial=True), 500, generator())
    rows = masks(draws)[name].nonzero().flatten()
    images = (60 + noise(500, 24) // 2)[rows]
    views = augment(images, draws.rows(rows), 24)
    assert len(rows) > 20
    smooth = name in (
        "brightness",
        "saturation",
        "contrast",
        "sharpness",
    )  # torchvision cuts off what uint8 cannot hold
    for image, view, strength in zip(images.permute(0, 3, 1, 2), views, draws.strength[rows].tolist(), strict=True):
        expected = 255 * apply(image / 255, strength) if smooth else apply(image, strength).float()
        assert torch.allclose(view, expected, atol=0.51 if name == "sharpness" else 0.05), strength


def test_hue_turns_the_colours_to_either_side_and_leaves_grey():
    brown = torch.tensor([200, 120, 100], dtype=torch.uint8).expand(400, 4, 4, 3)
    views = views_of(brown, Policy(hue=0.1), 4)[:, :, 0, 0]
    before = colorsys.rgb_to_hsv(200, 120, 100)[0]
    turned = torch.tensor([(colorsys.rgb_to_hsv(*view)[0] - before + 0.5) % 1 - 0.5 for view in views.tolist()])
    assert turned.min() == pytest.approx(-0.1, abs=0.02)
    assert turned.max() == pytest.approx(0.1, abs=0.02)
    assert float((turned > 0).float().mean()) == pytest.approx(0.5, abs=0.08)
    grey = torch.full((9, 4, 4, 3), 77, dtype=torch.uint8)
    assert torch.allclose(views_of(grey, Policy(hue=0.5), 4), torch.tensor(77.0), atol=1e-3)


def test_contrast_keeps_the_mean_luma():
    images, draws = noise(50, 16), draw(Policy(jitter=0.3), 50, generator())
    images = 90 + images // 4
    draws = dataclasses.replace(draws, colour=torch.eye(3).repeat(50, 1, 1))
    views, plain = augment(images, draws, 16), images.permute(0, 3, 1, 2).float()
    weights = torch.tensor([0.299, 0.587, 0.114])
    assert torch.allclose(views.mean((2, 3)) @ weights, plain.mean((2, 3)) @ weights, atol=0.1)
    assert torch.allclose(views.std((1, 2, 3)) / plain.std((1, 2, 3)), draws.contrast, atol=0.02)


def cross(count: int) -> torch.Tensor:
    """A bright left half: uint8 `[count, 32, 32, 3]`."""
    images = torch.zeros(count, 32, 32, 3, dtype=torch.uint8)
    images[:, :, :16] = 200
    return images


def test_shifts_stay_within_their_range():
    views = views_of(cross(500), Policy(translate=0.125), 32)
    edge = (views[:, 0, 16] > 100).sum(1)  # columns that are bright: 16 without a shift
    assert edge.min() >= 12
    assert edge.max() <= 20
    assert edge.float().std() > 1.5


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
    centres = bright(views_of(spot(300), Policy(degrees=30), 64))
    angles = torch.atan2(centres[:, 0], centres[:, 1]) * 180 / torch.pi
    assert angles.abs().max() == pytest.approx(30, abs=2)
    assert angles.min() < -20
    assert angles.max() > 20
    assert torch.allclose(centres.norm(dim=1), torch.tensor(0.25), atol=0.03)


def test_zoom_is_a_factor_on_what_is_in_the_picture():
    views = views_of(spot(300), Policy(scale=(0.5, 1.5)), 64)
    side = (views[:, 0] > 100).float().sum((1, 2)).sqrt() / 8
    assert side.min() == pytest.approx(0.5, abs=0.1)
    assert side.max() == pytest.approx(1.5, abs=0.1)
    assert side.mean() == pytest.approx(1, abs=0.1)


def test_shear_slants_to_either_side():
    upright = torch.zeros(300, 64, 64, 3, dtype=torch.uint8)
    upright[:, :, 30:34] = 200
    views = views_of(upright, Policy(shear=20), 64)
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
    centres = bright(views_of(corner, Policy(flip=flip), 32))
    mirrored = centres > 0  # down, across
    assert mirrored.float().mean(0).tolist() == pytest.approx(shares, abs=0.06)
    if flip == "both":
        assert float(mirrored.all(1).float().mean()) == pytest.approx(0.25, abs=0.06)


def test_a_share_of_the_pictures_loses_its_colours():
    red = torch.zeros(400, 8, 8, 3, dtype=torch.uint8)
    red[..., 0] = 200
    views = views_of(red, Policy(grey=0.3), 8)
    lost = (views[:, 0] == views[:, 1]).flatten(1).all(1)
    assert float(lost.float().mean()) == pytest.approx(0.3, abs=0.06)
    assert torch.allclose(views[lost], torch.tensor(200 * 0.299), atol=0.1)
    assert torch.allclose(views[~lost][:, 0], torch.tensor(200.0), atol=0.1)


def test_jitter_keeps_to_its_range():
    flat = torch.full((400, 8, 8, 3), 100, dtype=torch.uint8)
    views = views_of(flat, Policy(jitter=0.2), 8)
    assert views.min() == pytest.approx(80, abs=1)
    assert views.max() == pytest.approx(120, abs=1)
    assert torch.equal(views_of(flat, Policy(), 8), torch.full((400, 3, 8, 8), 100.0))


def test_crops_show_at_least_their_area():
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 256, 1).expand(200, 256, 256, 3)
    views = views_of(ramp, Policy(crop=(0.25, 1.0)), 64)
    width = (views[:, 0, 32].amax(1) - views[:, 0, 32].amin(1)) / 255
    assert width.min() > (0.25 * 3 / 4) ** 0.5 - 0.03
    assert width.max() <= 1


def recipe(**options) -> Recipe:
    return Recipe.make(backbone="tiny", dataset="bars", **options)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_alone_is_itself(name):
    assert make_policy(name, {}) is POLICIES[name]


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
        ({"crop": "0.5,0.75"}, {"crop": (0.5, 0.75), "translate": 0, "scale": (1, 1)}),
        ({"hue": 0.25}, {"hue": 0.25}),
        ({"trivial": True}, {"trivial": True}),
        ({"trivial": False}, {"trivial": False}),
        ({"erase": 0.75}, {"erase": 0.75}),
    ],
)
@pytest.mark.parametrize("name", POLICIES)
def test_an_option_stands_in_place_of_the_policys_own(name, options, fields):
    whole = make_policy(name, recipe(**options).variation())
    before = POLICIES[name] or Policy()
    for field in Policy.__dataclass_fields__:
        assert getattr(whole, field) == fields.get(field, getattr(before, field))


@pytest.mark.parametrize(
    ("options", "cause", "remedy"),
    [
        ({"augment": "strnog"}, ("augment", "'strnog'"), ("--augment",)),
        ({"crop": "0,1"}, ("crop", "'0,1'"), (" 1, ", "0.35,1")),
        ({"crop": "0.5,1.5"}, ("crop", "'0.5,1.5'"), (" 1, ", "0.35,1")),
        ({"crop": "1,0.5"}, ("crop", "'1,0.5'"), ("0.35,1",)),
        ({"crop": "half"}, ("crop", "'half'"), ("--crop",)),
        ({"crop": "0.5,1", "zoom": "0.9,1.1"}, ("crop",), ("--zoom",)),
        ({"crop": "0.5,1", "translate": 0.1}, ("crop",), ("--translate",)),
        ({"hue": 0.6}, ("hue", "0.6"), ("0 to 0.5",)),
        ({"erase": -0.1}, ("erase", "-0.1"), ("0 to 1",)),
        ({"trivial": "perhaps"}, ("trivial", "'perhaps'"), ("--trivial",)),
    ],
)
def test_impossible_ranges_are_refused(options, cause, remedy):
    with pytest.raises(UsageError) as error:
        recipe(**options)
    assert all(fact in error.value.cause for fact in cause)
    assert all(fact in error.value.remedy for fact in remedy)


def test_a_dataset_with_an_unknown_policy_is_refused():
    fault = spec_fault(DatasetSpec(name="x", load=lambda _: None, augment="loud"))
    assert fault == (
        "Its DatasetSpec 'x' has augment='loud'. It should be 'none', 'light', 'digits', 'photos' or 'strong'."
    )
    assert all(spec_fault(DatasetSpec(name="x", load=lambda _: None, augment=name)) is None for name in POLICIES)


def test_a_policy_says_what_it_does():
    assert describe(None) == describe(Policy()) == "nothing varies"
    assert describe(POLICIES["digits"]) == "rotated by up to 10°, shifted by up to 8% of the side, zoomed by 0.9 to 1.1"
    whole = describe(EVERYTHING)
    for words in ("30% to 100%", "20°", "10°", "(both)", "40%", "36°", "20% grey", "TrivialAugment", "50% with"):
        assert words in whole
