"""Writes the files of a Gradio Space of Hugging Face: `zoo demo` with exported files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from visionzoo_web.models import Model, read_models
from visionzoo_web.write import readme
from zoo import __version__

APP = '''"""Shows the models of this folder with `zoo demo`."""

import os
import sys
from pathlib import Path

from zoo.cli import main

HERE = Path(__file__).parent
MODELS = {models}

if __name__ == "__main__":
    # A Space serves port 7860 of all its addresses, under the name in SPACE_HOST.
    command = ["demo", *(str(HERE / name) for name in MODELS), "--host", os.environ.get("ZOO_HOST", "0.0.0.0")]
    command += ["--port", os.environ.get("ZOO_PORT", "7860")]
    if name := os.environ.get("SPACE_HOST"):
        command += ["--allow-host", name]
    sys.argv = ["zoo", *command]
    main()
'''


def write_space(files: Sequence[Path], folder: Path) -> list[str]:
    """Fills a folder with a Space. Returns what to do with it. Raises `ArtifactError`, `UsageError`."""
    models = read_models(files)
    for model in models:
        shutil.copyfile(model.path, folder / f"{model.name}.onnx")
    names = ", ".join(f'"{model.name}.onnx"' for model in models)
    (folder / "app.py").write_text(APP.format(models=f"[{names}]"), encoding="utf-8")
    (folder / "requirements.txt").write_text(f"visionzoo[onnx,demo]>={__version__}\n", encoding="utf-8")
    (folder / ".gitattributes").write_text("*.onnx filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8")
    (folder / "README.md").write_text(readme(_front(models), models), encoding="utf-8")
    return [
        "A Gradio Space: app.py starts zoo demo, requirements.txt has what it needs.",
        "  Try it:        ZOO_HOST=127.0.0.1 python {folder}/app.py",
        "  Hugging Face:  create a Space with the SDK 'gradio', then push the files to it (git lfs install, first)",
    ]


def _front(models: Sequence[Model]) -> dict[str, str]:
    front = {"title": models[0].card.name, "sdk": "gradio", "app_file": "app.py", "python_version": "3.11"}
    try:
        return front | {"sdk_version": version("gradio")}
    except PackageNotFoundError:  # the Space takes the newest one
        return front
