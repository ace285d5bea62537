"""The page's modules compute as zoo does."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
from javascript import needs_node, run

from visionzoo_web.write import SITE

pytestmark = needs_node
OWN_BYTES = 100 * 2**10
BASE64 = "const base64 = (data) => Buffer.from(data).toString('base64');"
PICTURES = "pictures.map((p) => ({ data: base64(p.data), width: p.width, height: p.height }))"


def pixels(picture: dict) -> np.ndarray:
    """uint8 `[H, W, 3]`."""
    data = np.frombuffer(base64.b64decode(picture["data"]), np.uint8)
    return data.reshape(picture["height"], picture["width"], 3)


def given(picture: np.ndarray) -> dict:
    return {"data": picture.reshape(-1).tolist(), "width": picture.shape[1], "height": picture.shape[0]}


@pytest.mark.parametrize(("size", "version"), [(24, 2), (97, 2), (224, 2), (32, 1), (1, 2)])
def test_synthetic_pictures_are_equal(size, version, tmp_path):
    from zoo.parity.synthetic import synthetic_pictures

    code = f"""import {{ syntheticPictures }} from "./site/synthetic.js";
{BASE64} const pictures = syntheticPictures(given.size, given.version); return {PICTURES};"""
    found = run(tmp_path, code, {"size": size, "version": version})
    expected = synthetic_pictures(size, version)
    assert len(found) == len(expected)
    for one, other in zip(map(pixels, found), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_versions_are_those_of_zoo(tmp_path):
    from zoo.parity.synthetic import VERSIONS

    assert run(tmp_path, 'import { VERSIONS } from "./site/synthetic.js";\nreturn VERSIONS;') == list(VERSIONS)


@pytest.mark.parametrize("count", [2, 3, 1000, 4096, 4097, 5000, 99_999])
def test_listed_classes_are_equal(count, tmp_path):
    from zoo.parity.self_check import listed_classes

    (tmp_path / "stub").mkdir()
    text = (SITE / "verify.js").read_text().replace('import { logitsOf } from "./runtime.js";\n', "")
    run(tmp_path, "return 0;")
    (tmp_path / "site" / "verify.js").write_text(text)
    code = 'import { listedClasses } from "./site/verify.js";\nreturn listedClasses(given);'
    assert run(tmp_path, code, count) == listed_classes(count).tolist()


MAX_LEVELS = 4  # of 255: Pillow's discs differ by 7 of 1,150 pixels, and a pixel of a digit has 256 of them
STROKES = {
    "one": [[[0.5, 0.1], [0.48, 0.5], [0.5, 0.9]]],
    "seven": [[[0.2, 0.2], [0.8, 0.2], [0.4, 0.9]]],
    "tap": [[[0.3, 0.7]]],
    "two strokes": [[[0.1, 0.1], [0.9, 0.9]], [[0.9, 0.1], [0.1, 0.9]]],
    "outside": [[[-0.4, 0.5], [1.3, 0.55]]],
    "circle": [[[0.5 + 0.3 * np.cos(t), 0.5 + 0.4 * np.sin(t)] for t in np.linspace(0, 6.3, 40)]],
}


@pytest.mark.parametrize("name", STROKES)
def test_strokes_become_the_digits_of_the_demo(name, tmp_path):
    pytest.importorskip("zoo_demo.drawing")
    from zoo_demo.drawing import digit_from_strokes

    code = f"""import {{ digitOf }} from "./site/drawing.js";
{BASE64} const pictures = [digitOf(given)]; return {PICTURES};"""
    (found,) = map(pixels, run(tmp_path, code, STROKES[name]))
    expected = digit_from_strokes(STROKES[name])
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= MAX_LEVELS, difference.max()


SPECS = {
    "crop": {"resize": "crop", "crop_fraction": 0.875},
    "crop, bicubic": {"resize": "crop", "interpolation": "bicubic"},
    "squash": {"resize": "squash"},
    "shorter": {"resize": "shorter", "crop_fraction": 0.875},
    "shorter, bicubic": {"resize": "shorter", "crop_fraction": 0.95, "interpolation": "bicubic"},
    "grey": {"resize": "crop", "channels": "grey"},
}
SIZES = [(24, 24), (37, 53), (1, 1), (90, 31), (5, 200), (23, 25)]


@pytest.mark.parametrize("name", SPECS)
def test_views_and_frames_are_those_of_zoo(name, tmp_path):
    from zoo.specs import PreprocessSpec
    from zoo.transforms.view import framed, model_view

    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    spec = PreprocessSpec(image_size=24, **SPECS[name])
    fields = {"image_size": 24, "interpolation": "bilinear", "channels": "rgb", "crop_fraction": 1, **SPECS[name]}
    code = f"""import {{ modelView, framed }} from "./site/view.js";
{BASE64} const views = given.pictures.map((p) => modelView(p, given.spec));
const pictures = [...views, ...views.map((view) => framed(view, given.spec))]; return {PICTURES};"""
    found = list(map(pixels, run(tmp_path, code, {"pictures": list(map(given, noise)), "spec": fields})))
    for picture, view, frame in zip(noise, found, found[len(noise) :], strict=False):
        assert np.abs(view.astype(int) - model_view(picture, spec)).max() <= 1, picture.shape
        np.testing.assert_array_equal(frame, framed(view[None], spec)[0])


def test_fractions_are_those_of_python(tmp_path):
    from fractions import Fraction

    shares = [1.0, 0.875, 0.95, 1 / 3, 0.1, 2 / 7, 0.999999, 0.000244140625, 0.123456789, 224 / 235]
    code = 'import { fractionOf } from "./site/view.js";\nreturn given.map(fractionOf);'
    found = [Fraction(*pair) for pair in run(tmp_path, code, shares)]
    assert found == [Fraction(share).limit_denominator(4096) for share in shares]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1, "100.0%"),
        (0.99999, ">99.9%"),
        (0.9995, ">99.9%"),
        (0.9994, "99.9%"),
        (0.5, "50.0%"),
        (0.0004, "<0.1%"),
        (0, "0.0%"),
    ],
)
def test_percentages_tell_almost_all_from_all(share, text, tmp_path):
    code = 'import { percent } from "./site/shown.js";\nreturn percent(given);'
    assert run(tmp_path, code, share) == text
    pytest.importorskip("gradio")
    from zoo_demo.shown import percent

    assert percent(share) == text


def refused(tmp_path, card: dict | str) -> str | None:
    """The reason for which the page refuses a card, or None. The reason has a sentence in both languages."""
    code = """import { readCard } from "./site/card.js";
import { say } from "./site/texts.js";
try { readCard(given.repeat ? given.text.repeat(given.repeat) : given.text); return null; } catch (error) {
  if (!error.key) throw error;
  return { key: error.key, text: say(error.key, error.values) };
}"""
    found = run(tmp_path, code, card if "text" in card else {"text": json.dumps(card)})
    if found is None:
        return None
    assert re.fullmatch(r"[A-Z][^<>{}]+\.", found["text"])
    return found["key"]


def test_a_card_of_zoo_is_taken(card, tmp_path):
    assert refused(tmp_path, card) is None
    assert refused(tmp_path, card | {"examples": [{"label": "red", "file": "iVBORw0KGgoAAAA="}]}) is None


HOSTILE = {
    "one class": ({"classes": ["red"]}, "classes"),
    "classes are text": ({"classes": "red"}, "classes"),
    "a class is a number": ({"classes": ["red", 1, "blue"]}, "classes"),
    "a class twice": ({"classes": ["red", "red", "blue"]}, "class-twice"),
    "control characters": ({"classes": ["red", "gre\x1b[2Jen", "blue"]}, "control"),
    "line separator": ({"classes": ["red", "gre\u2028en", "blue"]}, "control"),
    "half a character": ({"classes": ["red", "gre\ud800en", "blue"]}, "control"),
    "too many classes": ({"classes": [str(number) for number in range(100_001)]}, "too-many-classes"),
    "a million classes": ({"classes": [str(number) for number in range(1_000_001)]}, "too-large"),
    "name is a list": ({"name": ["a"]}, "invalid"),
    "name is long": ({"name": "a" * 10_001}, "invalid"),
    "dataset is null": ({"dataset": None}, "invalid"),
    "no preprocessing": ({"preprocess": {}}, "preprocess"),
    "image size of a metre": ({"preprocess": {"image_size": 10**6}}, "preprocess"),
    "image size is text": ({"preprocess": {"image_size": "24"}}, "preprocess"),
    "no spread of colours": ({"preprocess": {"image_size": 24, "std": [0, 1, 1]}}, "preprocess"),
    "reference of other classes": (
        {"reference": {"pictures": 2, "logits": [[1, 2]], "spread": 1, "tolerance": 0.1}},
        "reference",
    ),
    "tensors": ({"input": "tensor"}, "input"),
    "examples are markup": ({"examples": [{"label": "red", "file": "<svg onload=alert(1)>"}]}, "examples"),
    "examples of no class": ({"examples": [{"label": "pink", "file": "iVBORw0KGgoAAAA="}]}, "examples"),
    "a thousand examples": ({"examples": [{"label": "red", "file": "iVBORw0KGgoAAAA="}] * 1000}, "examples"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_card_is_refused_with_a_sentence(name, card, tmp_path):
    changes, reason = HOSTILE[name]
    assert refused(tmp_path, card | changes) == f"card.{reason}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ({"text": "{"}, "json"),
        ({"text": "[]"}, "invalid"),
        ({"text": "null"}, "invalid"),
        ({"text": "[", "repeat": 900_000}, "json"),
        ({"text": "[", "repeat": 2_000_000}, "too-large"),
        ({"text": "a", "repeat": 17 * 2**20}, "too-large"),
    ],
)
def test_other_text_than_a_card_is_refused(text, reason, tmp_path):
    assert refused(tmp_path, text) == f"card.{reason}"


@pytest.mark.parametrize("size", [5, 24, 28, 30, 97])
def test_heat_maps_cover_the_squares_of_zoo(size, tmp_path):
    """Of a network that answers with the sum of its input: each square is an area."""
    run(tmp_path, "return 0;")
    stub = """export const logitsOf = async (model, data) => {
  const length = 3 * model.card.preprocess.image_size ** 2;
  const sum = (first) => data.subarray(first, first + length).reduce((one, other) => one + other, 0);
  return Float64Array.from({ length: (2 * data.length) / length }, (_, at) => (at % 2 ? 0 : sum((at / 2) * length)));
};
export const run = null;"""
    (tmp_path / "site" / "runtime.js").write_text(stub)
    code = """import { heatMap } from "./site/heat.js";
const preprocess = { image_size: given, resize: "squash", interpolation: "bilinear", channels: "rgb" };
Object.assign(preprocess, { mean: [0, 0, 0], crop_fraction: 1 });
const pixels = { data: new Uint8Array(3 * given * given).fill(1), width: given, height: given };
return [...(await heatMap({ card: { preprocess, classes: ["a", "b"] } }, pixels, 0)).values];"""
    cells = min(8, size)
    edges = np.linspace(0, size, cells + 1).round().astype(int)
    areas = [3.0 * (edges[min(cells, at + 2)] - edges[max(0, at)]) for at in range(-1, cells)]
    sides = np.array([(areas[at] + areas[at + 1]) / 2 for at in range(cells)])
    np.testing.assert_allclose(run(tmp_path, code, size), np.outer(sides, sides / 3).reshape(-1))


def test_names_lose_what_would_turn_the_text_around(tmp_path):
    code = 'import { short } from "./site/shown.js";\nreturn given.map((text) => short(text));'
    found = run(tmp_path, code, ["a\u202eb\x07c", "x" * 500])
    assert found == ["a\ufffdb\ufffdc", "x" * 119 + "…"]


def test_each_text_is_used_and_in_two_languages(tmp_path):
    text = (SITE / "texts.js").read_text(encoding="utf-8")
    keys = set(re.findall(r'^  "?([\w.-]+)"?: \[', text, re.MULTILINE))
    users = [path for path in SITE.iterdir() if path.suffix in (".js", ".html") and path.name != "texts.js"]
    rest = "\n".join(path.read_text(encoding="utf-8") for path in users)
    said = set(re.findall(r'say\("([\w.-]+)"|data-(?:text|label)="([\w.-]+)"', rest))
    assert {first or second for first, second in said} <= keys
    patterns = ("backend.", "card.")  # composed
    assert [key for key in keys if f'"{key}"' not in rest and not key.startswith(patterns)] == []
    assert len(keys) > 60


def test_our_own_files_are_small_and_without_markup_from_data():
    sources = [path for path in SITE.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in sources) < OWN_BYTES
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "://"):
        assert word not in text, word
    html = (SITE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\son\w+=|style=|<script(?! type=\"module\" src=\")", html)


def test_the_module_for_other_pages_has_forty_lines():
    assert len((SITE / "classifier.js").read_text(encoding="utf-8").splitlines()) <= 40
