"""Writes a folder with a web page, the browser's runtime and exported files: any web space can serve it.

Names of large files contain their hash or version. So browsers and the page's service worker may keep them for ever.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo_web.icon import draw_icon
from visionzoo_web.models import Model, read_models, sha256
from zoo.errors import ExportError

HERE = Path(__file__).parent
SITE = HERE / "site"
VENDOR = HERE / "vendor"
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
WEBGPU = ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
ICON_SIDES = (192, 512)  # that Android asks for

# Isolated from other pages, a page may use threads.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """The files of onnxruntime-web that pages get.

    Attributes:
        folder: of a page, with the version in its name.
    """

    version: str
    folder: str


def write_site(files: Sequence[Path], folder: Path) -> list[str]:
    """Fills a folder with a page that shows exported files. Returns what to do with it.

    Raises:
        ArtifactError, UsageError: a file is damaged or cannot run in a browser.
        ExportError: this package was installed without the browser's runtime.
    """
    runtime = _runtime()
    models = read_models(files)
    shutil.copytree(SITE, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)  # as new as the models
    _copy_runtime(folder / runtime.folder)
    _copy_models(models, folder / "models")
    for side in ICON_SIDES:
        draw_icon(side).save(folder / f"icon-{side}.png")
    _write_descriptions(models, runtime, folder)
    _write_for_hosts(models, folder)
    return _hosting(models)


def _runtime() -> Runtime:
    try:
        version = (VENDOR / "package.txt").read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError):
        raise ExportError(
            "The package visionzoo-web was installed without the browser's runtime, onnxruntime-web.",
            f"Install npm, and then run: python {HERE.parent / 'hatch_build.py'}",
            code="missing-browser-runtime",
        ) from None
    return Runtime(version, f"vendor/onnxruntime-web-{version}")


def _copy_runtime(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in (*RUNTIME, *WEBGPU):
        shutil.copyfile(VENDOR / name, folder / name)
    shutil.copyfile(HERE / "onnxruntime-web-LICENSE.txt", folder / "LICENSE.txt")


def _copy_models(models: Sequence[Model], folder: Path) -> None:
    folder.mkdir()
    for model in models:
        shutil.copyfile(model.path, folder / f"{model.name}.onnx")
        (folder / f"{model.name}.json").write_text(model.card_json, encoding="utf-8")


def _write_descriptions(models: Sequence[Model], runtime: Runtime, folder: Path) -> None:
    """What the page, its service worker and phones read."""
    title = models[0].card.name
    manifest = {
        "name": title,
        "short_name": title[:12],
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#1d4ed8",
        "icons": [{"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png"} for side in ICON_SIDES],
    }
    _write_json(folder / "manifest.webmanifest", manifest)
    described = {
        "models": [
            {"name": model.name, "label": label, "bytes": model.size}
            for model, label in zip(models, _labels(models), strict=True)
        ],
        "runtime": runtime.folder,
    }
    _write_json(folder / "site.json", described)
    own = sorted(path.relative_to(folder).as_posix() for path in folder.iterdir() if path.is_file())
    kept = [f"{runtime.folder}/{name}" for name in RUNTIME]
    used = [f"models/{model.name}{suffix}" for model in models for suffix in (".json", ".onnx")]  # kept once loaded
    own.remove("sw.js")
    digest = hashlib.sha256("".join(sha256(folder / name) for name in [*own, "sw.js"]).encode())
    _write_json(folder / "files.json", {"version": digest.hexdigest()[:16], "own": own, "kept": kept, "models": used})


def _labels(models: Sequence[Model]) -> list[str]:
    """For a menu. Models of one name and precision get numbers."""
    count = Counter(model.label for model in models)
    seen: Counter[str] = Counter()
    labels = []
    for model in models:
        seen[model.label] += 1
        labels.append(f"{model.label} ({seen[model.label]})" if count[model.label] > 1 else model.label)
    return labels


def _write_for_hosts(models: Sequence[Model], folder: Path) -> None:
    lines = "\n".join(f"  {name}: {value}" for name, value in HEADERS.items())
    (folder / "_headers").write_text(f"/*\n{lines}\n", encoding="utf-8")  # Netlify
    (folder / ".nojekyll").touch()  # GitHub Pages
    front = {
        "title": models[0].card.name,
        "sdk": "static",
        "app_file": "index.html",
        "custom_headers": {name.lower(): value for name, value in list(HEADERS.items())[:3]},
    }
    (folder / "README.md").write_text(readme(front, models), encoding="utf-8")


def readme(front: dict[str, Any], models: Sequence[Model]) -> str:
    """A README.md for Hugging Face: its front matter, and what the models are.

    JSON is YAML, too, but for characters in two escapes and for control characters. Texts of cards are in code spans,
    where they are no markup.
    """
    lines = [
        "---",
        *(f"{name}: {_plain(json.dumps(value, ensure_ascii=False))}" for name, value in front.items()),
        "---",
        "",
    ]
    for model in models:
        lines += [_code(model.card.name), "", *(f"- {term}: {_code(value)}" for term, value in model.facts()), ""]
    return "\n".join([*lines, "Made with `zoo export` of visionzoo.", ""])


def _code(text: str) -> str:
    plain = _plain(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", plain)), default=0))
    return f"{fence} {plain} {fence}"


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _hosting(models: Sequence[Model]) -> list[str]:
    size = sum(model.size for model in models) / 2**20
    return [
        f"A page of {len(models)} model{'s' * (len(models) > 1)} ({size:.1f} MiB). It needs no server program: put the",
        "files of the folder on any web space. Pictures stay in the visitor's browser.",
        "  Try it:             python -m http.server --bind 127.0.0.1 --directory {folder}",
        "  GitHub Pages:       push the files to a repository, then Settings, Pages, Deploy from a branch",
        "  Hugging Face:       create a Space with the SDK 'static', then push the files to it",
        "  Netlify:            drop the folder on its page; _headers lets the page use threads",
        "A camera needs https, or localhost. docs/web.md has the iframe and the module for your own page.",
    ]
