"""The tab for one picture: it is given on one side, and the model's answer is on the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api

from zoo.errors import ZooError
from zoo_demo import examples_strip
from zoo_demo.answers import Answers, Upload, refuse_late
from zoo_demo.examples_strip import Examples
from zoo_demo.guard import ARRIVED
from zoo_demo.models import Model
from zoo_demo.shown import answer_html, error_html, heat_html, hint_html, label_data, progress_html, seen_text
from zoo_demo.steps import Steps, Stops
from zoo_demo.texts import LANGUAGES, language_of, say
from zoo_demo.told import shown_error
from zoo_demo.uploads import Uploads

Programs = tuple[dict[str, Any], str]
HERE = Path(__file__).parent
PAD_TEXTS = ("name", "hint", "undo", "clear")
# Screen readers read what changes in here.
LIVE = "element.setAttribute('role', 'status'); element.setAttribute('aria-live', 'polite');"

# In the browser: a heat map belongs to what was there when it was asked for.
_CHANGED = "() => { window.zooChanges = (window.zooChanges || 0) + 1; return ''; }"
_ASKED = "(...given) => { window.zooAsked = window.zooChanges; return given; }"
_IF_UNCHANGED = "(map) => window.zooAsked === window.zooChanges ? map : ''"
# Calls that only the page makes; Gradio's preprocessing would open, convert and rewrite an upload.
INSIDE: dict[str, Any] = {"preprocess": False, "api_visibility": "private"}
_HERE: dict[str, Any] = {"queue": False, "api_visibility": "private"}
ONE_MODEL: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}


def add(answers: Answers, uploads: Uploads, models: Sequence[Model], choice: gr.Dropdown, texts: gr.I18n) -> None:
    """Adds the tab's parts and connects them. Programs find `/predict` and `/draw`."""
    first = models[0].card.dataset.drawable
    any_drawable = any(model.card.dataset.drawable for model in models)
    with gr.Row(elem_id="one"):
        with gr.Column():
            with gr.Tabs(selected="draw" if first else "upload") as tabs:
                drawing = gr.Tab(texts("tab.draw"), id="draw", visible=any_drawable, interactive=first)
                with drawing:
                    pad = _pad()
                with gr.Tab(texts("tab.upload"), id="upload"):
                    picture = picture_input(texts, "picture")
            strip = examples_strip.add(models[0].card, texts)
        with gr.Column():
            hint = texts("picture.hint-drawable" if first else "picture.hint")
            answer = gr.HTML(hint, elem_id="answer", js_on_load=LIVE)
            look = gr.Button(texts("picture.look"), elem_id="look")
            stop = gr.Button(texts("picture.stop"), elem_id="stop", visible=False)
            heat = gr.HTML(elem_id="heat", js_on_load=LIVE)
    asking = _connect(answers, choice, picture, pad, answer)
    examples = Examples(answers, uploads)
    strip.input(examples.chosen, [strip, choice], [picture, tabs], postprocess=False, **INSIDE).success(**asking)
    choice.change(examples.strip, choice, strip, concurrency_limit=None, **INSIDE)
    _connect_model(answers, choice, [drawing, tabs])
    _connect_look(answers, (look, stop, heat), (picture, pad, choice))
    _for_programs(answers, models[0].title)


def _connect(answers: Answers, choice: gr.Dropdown, picture: gr.Image, pad: gr.HTML, answer: gr.HTML) -> dict[str, Any]:
    def shown(picture: Upload | None, strokes: str | None, model: str, request: gr.Request) -> str:
        language = language_of(request.headers)
        try:
            refuse_late(arrived(request), language)
            found = answers.of(picture, strokes, model, language)
            drawable = answers.model(model, language).card.dataset.drawable
        except ZooError as error:
            return error_html(error)
        return answer_html(found, language) if found else hint_html(drawable, language)

    asking = {**INSIDE, **ONE_MODEL, "fn": shown, "inputs": [picture, pad, choice], "outputs": answer}
    pad.input(None, None, picture, js="() => null", **_HERE).then(**asking)
    picture.input(**asking, trigger_mode="always_last")
    pad.clear(**asking, trigger_mode="always_last")
    choice.change(**asking, trigger_mode="always_last")
    return asking


def _connect_model(answers: Answers, choice: gr.Dropdown, changed: list[Any]) -> None:
    def fits(model: str, request: gr.Request) -> tuple[gr.Tab, Any]:
        drawable = answers.model(model, language_of(request.headers)).card.dataset.drawable
        # Not `visible`: Gradio 6.31 does not change it for tabs.
        return gr.Tab(interactive=drawable), gr.skip() if drawable else gr.Tabs(selected="upload")

    choice.change(fits, choice, changed, concurrency_limit=None, **INSIDE)


def _connect_look(
    answers: Answers, parts: tuple[gr.Button, gr.Button, gr.HTML], given: tuple[gr.Image, gr.HTML, gr.Dropdown]
) -> None:
    look, stop, heat = parts
    stops = Stops()

    def found(
        picture: Upload | None, strokes: str | None, model: str, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        language = language_of(request.headers)
        hidden, shown = gr.Button(visible=False), gr.Button(visible=True)
        with stops.working(str(request.session_hash)) as stopped:
            steps = Steps(lambda report: answers.look(picture, strokes, model, language, report), stopped)
            try:
                refuse_late(arrived(request), language)
                for share in steps:
                    yield progress_html(share, language), hidden, shown
                yield heat_html(*steps.result(), language), shown, hidden
            except ZooError as error:
                yield "" if error.code == "heat-map-stopped" else error_html(error), shown, hidden

    looked = look.click(found, [*given], [heat, look, stop], js=_ASKED, **INSIDE, **ONE_MODEL)
    # The map of another picture, or by another model, must neither stay beside the answer nor come later.
    looked.then(None, heat, heat, js=_IF_UNCHANGED, **_HERE)
    picture, pad, choice = given
    for changed in (picture.change, pad.input, pad.clear, choice.change):
        changed(None, None, heat, js=_CHANGED, **_HERE)
    connect_stop(stop, stops)


def connect_stop(button: gr.Button, stops: Stops) -> None:
    """Lets a button stop what its visitor waits for."""

    def stopped(request: gr.Request) -> None:
        stops.stop(str(request.session_hash))

    button.click(stopped, None, None, concurrency_limit=None, **INSIDE)


def _for_programs(answers: Answers, first: str) -> None:
    def answered(picture: Upload | None, strokes: str | None, model: str, request: gr.Request) -> Programs:
        try:
            refuse_late(arrived(request), "en")
            found = answers.of_given(picture, strokes, model, "en")
        except ZooError as error:
            raise shown_error(error) from None
        return label_data(found), seen_text(found, "en")

    def predict(picture: dict[str, Any], request: gr.Request, model: str = first) -> Programs:
        return answered(picture, None, model, request)

    def draw(strokes: str, request: gr.Request, model: str = first) -> Programs:
        return answered(None, strokes, model, request)

    api(predict, api_name="predict", **ONE_MODEL)
    api(draw, api_name="draw", **ONE_MODEL)


def arrived(request: gr.Request) -> float:
    """When a request came, in seconds of the monotonic clock."""
    return float(request.headers.get(ARRIVED) or "nan")


def picture_input(texts: gr.I18n, name: str) -> gr.Image:
    """Where one picture is given."""
    camera = gr.WebcamOptions(mirror=False, constraints={"video": {"facingMode": "environment"}})
    return gr.Image(
        sources=["upload", "clipboard", "webcam"],
        label=texts("picture.label"),
        elem_id=name,
        buttons=[],
        webcam_options=camera,
    )


def _pad() -> gr.HTML:
    # The template does not contain the value, so drawing does not render it again.
    return gr.HTML(
        "",
        html_template=(HERE / "pad.html").read_text(encoding="utf-8"),
        js_on_load=(HERE / "pad.js").read_text(encoding="utf-8"),
        elem_id="pad",
        apply_default_css=False,
        texts={language: {key: say(f"pad.{key}", language) for key in PAD_TEXTS} for language in LANGUAGES},
    )
