"""The tab for many pictures, or a zip of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from zoo.errors import ZooError
from zoo_demo.answers import Answers, refuse_late
from zoo_demo.batch import Batch, nothing, run
from zoo_demo.batch_html import batch_html, ended_html, progress_html
from zoo_demo.given import given
from zoo_demo.limits import MAX_BATCHES
from zoo_demo.models import Model
from zoo_demo.picture_tab import LIVE, arrived
from zoo_demo.shown import error_html
from zoo_demo.steps import Stops
from zoo_demo.texts import LANGUAGES, language_of, say
from zoo_demo.uploads import Uploads

Parts = tuple[gr.Button, gr.Button, gr.HTML, gr.HTML]
Found = Iterator[Sequence[Any]]

SORTING = (Path(__file__).parent / "batch.js").read_text(encoding="utf-8")
# Their paths go as text: the guard reads no lists, and Gradio would open what it takes for files.
_AS_TEXT = "(files) => JSON.stringify((files ?? []).map((file) => file.path))"
_WAITING = "() => ({0})[navigator.language.startsWith('zh') ? 'zh' : 'en']"
_INSIDE: dict[str, Any] = {"preprocess": False, "api_visibility": "private", "show_progress": "hidden"}
# Not in the queue of the first tab: one picture would wait for whole batches.
_LONG: dict[str, Any] = {**_INSIDE, "concurrency_limit": MAX_BATCHES, "concurrency_id": "batch"}


def add(answers: Answers, uploads: Uploads, choice: gr.Dropdown, texts: gr.I18n) -> None:
    """Adds the tab's parts and connects them."""
    with gr.Column(elem_id="batch"):
        files = many_files(texts, "batch-files")
        parts = begin_and_stop(texts, "batch")
    stops = Stops()

    def found(paths: str, title: str, request: gr.Request) -> Found:
        language = language_of(request.headers)
        try:
            refuse_late(arrived(request), language)
            model = answers.model(title, language)
            batch = yield from steps(paths, [model], uploads, stops, request)
            yield done(ended_html(batch, language), batch_html(batch, model.card, title, language))
        except ZooError as error:
            yield done(error_html(error))

    connect(parts, stops, found, [files, choice])


def many_files(texts: gr.I18n, name: str) -> gr.Textbox:
    """Where many files are given; returns what holds their paths."""
    files = gr.File(label=texts("batch.files"), file_count="multiple", elem_id=name, height=200)
    paths = gr.Textbox("[]", visible=False)
    files.change(None, files, paths, js=_AS_TEXT, queue=False, api_visibility="private")
    return paths


def begin_and_stop(texts: gr.I18n, name: str) -> Parts:
    """The buttons around a batch, its progress, and its result."""
    with gr.Row():
        begin = gr.Button(texts(f"{name}.begin"), variant="primary", elem_id=f"{name}-begin", elem_classes="begin")
        stop = gr.Button(texts("batch.stop"), interactive=False, elem_id=f"{name}-stop")
    progress = gr.HTML(elem_id=f"{name}-progress", js_on_load=LIVE)
    return begin, stop, progress, gr.HTML(elem_id=f"{name}-result", js_on_load=SORTING)


def steps(
    paths: str,
    models: Sequence[Model],
    uploads: Uploads,
    stops: Stops,
    request: gr.Request,
) -> Generator[Sequence[Any], None, Batch]:
    """What the page shows while models answer to the pictures; returns the batch. Raises `ZooError`."""
    session, language = str(request.session_hash), language_of(request.headers)
    classes = min(len(model.card.classes) for model in models)
    with given(paths, uploads, language) as pictures, stops.working(session) as stopped:
        if not pictures.pictures:
            raise nothing(language)
        shown: Any = ""  # what an earlier batch left
        for batch in run(pictures, [model.service for model in models], classes, stopped, language):
            yield progress_html(batch, language), shown, gr.Button(interactive=False), gr.Button(interactive=True)
            shown = gr.skip()
    return batch


def done(progress: str, result: str = "") -> Sequence[Any]:
    """What the page shows in the end."""
    return progress, result, gr.Button(interactive=True), gr.Button(interactive=False)


def connect(parts: Parts, stops: Stops, found: Callable[..., Found], inputs: list[Any], js: str | None = None) -> None:
    """Connects the buttons around a batch.

    Args:
        found: takes the inputs, and yields what `steps` and `done` make.
        js: changes the inputs in the browser.
    """

    def end(request: gr.Request) -> None:
        stops.stop(str(request.session_hash))

    begin, stop, progress, result = parts
    waiting = json.dumps({language: f"<p>{say('batch.waiting', language)}</p>" for language in LANGUAGES})
    begin.click(None, None, progress, js=_WAITING.format(waiting), queue=False, api_visibility="private")
    begin.click(found, inputs, [progress, result, begin, stop], js=js, **_LONG)
    stop.click(end, None, None, concurrency_limit=None, **_INSIDE)
