"""The browser's answers are those of `zoo predict`, and how far its decoders differ."""

from __future__ import annotations

import io

import numpy as np
import pytest
from browsing import answers, file_of, need_browser, visiting
from PIL import Image, ImageCms

import zoo
from zoo.images import read_picture

need_browser()


def scene(size=(61, 83), seed=0) -> np.ndarray:
    """Smooth colours with edges, uint8 `[H, W, 3]`, like a photo more than noise is."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    waves = [np.sin(rows / rng.uniform(5, 15) + columns / rng.uniform(5, 15)) for _ in range(3)]
    picture = 128 + 100 * np.stack(waves, -1) + rng.normal(0, 4, (*size, 3))
    picture[size[0] // 3 : size[0] // 2, size[1] // 4 : size[1] // 2] = rng.integers(0, 256, 3)
    return picture.clip(0, 255).astype(np.uint8)


def image(mode: str = "RGB", seed=0) -> Image.Image:
    return Image.fromarray(scene(seed=seed)).convert(mode)


def see_through(mode: str) -> Image.Image:
    picture = Image.fromarray(scene())
    alpha = Image.fromarray(
        np.linspace(0, 255, picture.width * picture.height).reshape(picture.size[::-1]).astype(np.uint8)
    )
    picture.putalpha(alpha)
    return picture.convert(mode)


def turned(kind: str, **options) -> dict:
    exif = Image.Exif()
    exif[0x0112] = 6
    return file_of(image(), kind, exif=exif, **options)


def animated() -> dict:
    return file_of(image("P"), "GIF", save_all=True, append_images=[image("P", seed=1)])


def profiled() -> dict:
    """With a colour profile in which red and blue have changed places; zoo leaves profiles out."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    changed = profile.replace(b"rXYZ", b"xXYZ", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"xXYZ", b"bXYZ", 1)
    return file_of(image(), "PNG", icc_profile=changed)


def deep() -> dict:
    """16 bits of grey."""
    return file_of(Image.fromarray((scene()[..., 0].astype(np.uint16) << 8) + 77), "PNG")


# By name: a file, and the largest difference of its pixels to zoo's decoder, in levels of 255. With Chromium 156 and
# Pillow 12.3, each difference is 0; others may have another version of a JPEG or AVIF decoder.
FILES = {
    "RGB": (lambda: file_of(image()), 0),
    "grey": (lambda: file_of(image("L")), 0),
    "palette": (lambda: file_of(image("P")), 0),
    "black and white": (lambda: file_of(image("1")), 0),
    "turned": (lambda: turned("PNG"), 0),
    "colour profile": (profiled, 0),
    "16 bits": (deep, 1),
    "RGBA": (lambda: file_of(see_through("RGBA")), 1),
    "grey and alpha": (lambda: file_of(see_through("LA")), 1),
    "BMP": (lambda: file_of(image(), "BMP"), 0),
    "GIF": (animated, 0),
    "WebP, lossless": (lambda: file_of(image(), "WEBP", lossless=True), 0),
    "WebP": (lambda: file_of(image(), "WEBP"), 2),
    "JPEG, 4:4:4": (lambda: file_of(image(), "JPEG", quality=90, subsampling=0), 2),
    "JPEG, 4:2:0": (lambda: file_of(image(), "JPEG", quality=90), 4),
    "JPEG, grey": (lambda: file_of(image("L"), "JPEG", quality=90), 2),
    "JPEG, turned": (lambda: turned("JPEG", quality=90), 4),
    "JPEG, CMYK": (lambda: file_of(image("CMYK"), "JPEG", quality=90), 2),
    "AVIF": (lambda: file_of(image(), "AVIF", quality=80), 2),
}


@pytest.fixture(scope="module")
def found(browser, site, serve, files):
    """By model and name of a file, what the browser decoded and answered."""
    given = [make() for make, _ in FILES.values()]
    with visiting(browser, serve(site)[0]) as page:
        models = page.evaluate("() => fetch('site.json').then((found) => found.json())")["models"]
        said = [answers(page, f"models/{model['name']}", given) for model in models]
    return given, [dict(zip(FILES, each, strict=True)) for each in said]


@pytest.mark.parametrize("name", FILES)
def test_pixels(name, found):
    given, said = found
    expected = read_picture(io.BytesIO(given[list(FILES).index(name)]["buffer"]))
    pixels = said[0][name]["pixels"]
    assert pixels.shape == expected.shape
    difference = np.abs(pixels.astype(int) - expected)
    assert difference.max() <= FILES[name][1]


@pytest.mark.parametrize("number", [0, 1])
def test_answers(number, found, files):
    given, said = found
    predictor = zoo.load(files[number])
    pictures = [each["buffer"] for each in given]
    logits, predictions = predictor.logits(pictures), predictor.predict(pictures)
    spread = logits.std(axis=0).mean()
    equal = 0
    for picture, mine, prediction, each in zip(pictures, logits, predictions, said[number].values(), strict=True):
        if not np.array_equal(each["pixels"], read_picture(picture)):
            continue
        equal += 1
        assert np.abs(np.array(each["logits"]) - mine).max() < 1e-4 * spread
        assert each["label"] == prediction.label
        assert each["probability"] == pytest.approx(prediction.probability, abs=1e-4)
    assert equal >= len([most for _, most in FILES.values() if most == 0])


@pytest.mark.slow
def test_two_hundred_files(browser, site, serve, files):
    """Noisy pictures of all sizes and modes: no class differs, but for near ties."""
    rng = np.random.default_rng(7)
    kinds = [("PNG", {}), ("JPEG", {"quality": 85}), ("WEBP", {}), ("BMP", {})]
    given = []
    for number in range(200):
        size = tuple(rng.integers(1, 500, 2))
        kind, options = kinds[number % len(kinds)]
        mode = ("RGB", "L", "P", "RGBA")[number // 4 % 4] if kind == "PNG" else "RGB"
        given.append(file_of(Image.fromarray(scene(size, number)).convert(mode), kind, **options))
    with visiting(browser, serve(site)[0]) as page:
        models = page.evaluate("() => fetch('site.json').then((found) => found.json())")["models"]
        said = [answers(page, f"models/{model['name']}", given) for model in models]
    pictures = [each["buffer"] for each in given]
    for path, answered in zip(files, said, strict=True):
        logits = zoo.load(path).logits(pictures)
        found = np.array([each["logits"] for each in answered])
        spread = logits.std(axis=0).mean()
        same = [np.array_equal(each["pixels"], read_picture(one)) for each, one in zip(answered, pictures, strict=True)]
        assert np.abs(found - logits)[same].max() < 1e-4 * spread
        assert np.abs(found - logits).max() < 0.02 * spread
        ranked = np.sort(logits, axis=1)
        tie = ranked[:, -1] - ranked[:, -2] < 0.02 * spread
        assert (found.argmax(1) == logits.argmax(1))[~tie].all()
        assert sum(same) >= 100
