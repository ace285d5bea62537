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
from zoo_demo.picture_tab import INSIDE, LIVE, arrived, connect_stop
from zoo_demo.shown import error_html
from zoo_demo.steps import Stops
from zoo_demo.texts import LANGUAGES, Language, language_of, say
from zoo_demo.uploads import Uploads

Parts = tuple[gr.Button, gr.Button, gr.HTML, gr.HTML]
Found = Iterator[Sequence[Any]]

SORTING = (Path(__file__).parent / "batch.js").read_text(encoding="utf-8")
# Their paths go as text: the guard reads no lists, and Gradio would open what it takes for files.
_AS_TEXT = "(files) => JSON.stringify((files ?? []).map((file) => file.path))"
_WAITING = "() => ({0})[navigator.language.startsWith('zh') ? 'zh' : 'en']"
# Not in the queue of the first tab: one picture would wait for whole batches.
_LONG: dict[str, Any] = {
    **INSIDE,
    "show_progress": "hidden",
    "concurrency_limit": MAX_BATCHES,
    "concurrency_id": "batch",
}


def add(answers: Answers, uploads: Uploads, choice: gr.Dropdown, texts: gr.I18n) -> None:
    """Adds the tab's parts and connects them."""

    def models(title: str, language: Language) -> list[Model]:
        return [answers.model(title, language)]

    def result(models: Sequence[Model], batch: Batch, language: Language) -> str:
        (model,) = models
        return batch_html(batch, model.card, model.title, language)

    with gr.Column(elem_id="batch"):
        add_batch(uploads, choice, texts, "batch", models=models, result=result)


def add_batch(
    uploads: Uploads,
    choice: gr.components.Component,
    texts: gr.I18n,
    name: str,
    *,
    models: Callable[[str, Language], Sequence[Model]],
    result: Callable[[Sequence[Model], Batch, Language], str],
    js: str | None = None,
) -> None:
    """Where many files are given, the buttons, the progress and the result, connected with each other.

    Args:
        name: of the parts on the page.
        models: those that are asked, from the value of `choice`. May raise `ZooError`.
        result: the batch as HTML.
        js: changes the paths and the value of `choice` in the browser.
    """
    paths = _many_files(texts, f"{name}-files")
    begin, stop, progress, shown = _begin_and_stop(texts, name)
    stops = Stops()

    def found(paths: str, chosen: str, request: gr.Request) -> Found:
        language = language_of(request.headers)
        try:
            refuse_late(arrived(request), language)
            asked = models(chosen, language)
            batch = yield from _steps(paths, asked, uploads, stops, request)
            yield _done(ended_html(batch, language), result(asked, batch, language))
        except ZooError as error:
            yield _done(error_html(error))

    waiting = json.dumps({language: f"<p>{say('batch.waiting', language)}</p>" for language in LANGUAGES})
    begin.click(None, None, progress, js=_WAITING.format(waiting), queue=False, api_visibility="private")
    begin.click(found, [paths, choice], [progress, shown, begin, stop], js=js, **_LONG)
    connect_stop(stop, stops)


def _many_files(texts: gr.I18n, name: str) -> gr.Textbox:
    """Where many files are given; returns what holds their paths."""
    files = gr.File(label=texts("batch.files"), file_count="multiple", elem_id=name, height=200)
    paths = gr.Textbox("[]", visible=False)
    files.change(None, files, paths, js=_AS_TEXT, queue=False, api_visibility="private")
    return paths


def _begin_and_stop(texts: gr.I18n, name: str) -> Parts:
    """The buttons around a batch, its progress, and its result."""
    with gr.Row():
        begin = gr.Button(texts(f"{name}.begin"), variant="primary", elem_id=f"{name}-begin", elem_classes="begin")
        stop = gr.Button(texts("batch.stop"), interactive=False, elem_id=f"{name}-stop")
    progress = gr.HTML(elem_id=f"{name}-progress", js_on_load=LIVE)
    return begin, stop, progress, gr.HTML(elem_id=f"{name}-result", js_on_load=SORTING)


def _steps(
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


def _done(progress: str, result: str = "") -> Sequence[Any]:
    """What the page shows in the end."""
    return progress, result, gr.Button(interactive=True), gr.Button(interactive=False)
