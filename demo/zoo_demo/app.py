"""The page: a picture or a drawing on one side, the model's answer on the other."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from zoo.artifacts.card import Card
from zoo.errors import ZooError
from zoo.progress import Reporter
from zoo.report.html import clean, text
from zoo_demo.card_html import describe, unavailable
from zoo_demo.guard import ARRIVED
from zoo_demo.limits import MAX_WAIT_SECONDS, MAX_WAITING
from zoo_demo.models import LeftOut, Model
from zoo_demo.service import TOP_CLASSES, Answer, Kind
from zoo_demo.uploads import Uploads
from zoo_demo.worker import PIXELATED_BELOW

HERE = Path(__file__).parent
STYLE = HERE / "style.css"

# In the browser: a heat map belongs to what was there when it was asked for.
_CHANGED = "() => { window.zooChanges = (window.zooChanges || 0) + 1; return ''; }"
_ASKED = "(...given) => { window.zooAsked = window.zooChanges; return given; }"
_IF_UNCHANGED = "(map) => window.zooAsked === window.zooChanges ? map : ''"

Shown = tuple[dict[str, float] | None, str]
Upload = Mapping[str, Any]
T = TypeVar("T")


def theme() -> gr.themes.Base:
    """Gradio's default look in the system's fonts: no font is fetched."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def build(models: Sequence[Model], uploads: Uploads, left_out: Sequence[LeftOut] = ()) -> gr.Blocks:
    """The page for loaded models. `/predict` takes a picture, `/draw` the strokes of the pad."""
    first = models[0].card
    any_drawable = any(model.card.dataset.drawable for model in models)
    page = gr.Blocks(title=clean(first.name), analytics_enabled=False)
    with page:
        facts = gr.HTML(describe(first), elem_id="facts", js_on_load=None)
        titles = [model.title for model in models]
        choice = gr.Dropdown(titles, value=titles[0], label="Model", visible=len(models) > 1)
        if left_out:
            gr.HTML(unavailable(left_out), elem_id="left-out", js_on_load=None)
        with gr.Row():
            with gr.Column(), gr.Tabs(selected=_tab(first)) as tabs:
                drawing = gr.Tab("Draw", id="draw", visible=any_drawable, interactive=first.dataset.drawable)
                with drawing:
                    pad = _pad()
                with gr.Tab("Upload", id="upload"):
                    picture = gr.Image(sources=["upload", "clipboard"], label="Picture", height=420, buttons=[])
            with gr.Column():
                label = gr.Label(num_top_classes=TOP_CLASSES, label="Answer", elem_id="result")
                seen = gr.HTML(elem_id="seen", js_on_load=None)
                look = gr.Button("Show where it looks", elem_id="look")
                heat = gr.HTML(elem_id="heat", js_on_load=None)
        answers = _Answers(models, uploads)
        _connect(answers, choice, picture, pad, shown=[label, seen], about=[facts, drawing, tabs])
        _connect_look(answers, look, heat, choice=choice, picture=picture, pad=pad)
    page.queue(max_size=2 * MAX_WAITING)  # the guard turns away before
    return page


def _connect(
    answers: _Answers,
    choice: gr.Dropdown,
    picture: gr.Image,
    pad: gr.HTML,
    *,
    shown: list[Any],
    about: list[Any],
) -> None:
    # Gradio's preprocessing would open, convert and rewrite an upload. The handlers get the file itself.
    asking: dict[str, Any] = {"preprocess": False, "concurrency_limit": 1, "concurrency_id": "model"}
    inside: dict[str, Any] = {"api_visibility": "private"}
    cleared: dict[str, Any] = {"fn": None, "js": "() => [{}, '']", "queue": False, **inside}
    picture.upload(answers.of_file, [picture, choice], shown, api_name="predict", **asking)
    picture.clear(inputs=None, outputs=shown, **cleared)
    pad.input(answers.of_drawing, [pad, choice], shown, api_name="draw", trigger_mode="always_last", **asking)
    pad.input(None, None, picture, js="() => null", queue=False, **inside)
    pad.clear(inputs=None, outputs=shown, **cleared)
    choice.change(answers.about, choice, about, preprocess=False, concurrency_limit=None, **inside).then(
        answers.of_either, [picture, pad, choice], shown, **inside, **asking
    )


def _connect_look(
    answers: _Answers, look: gr.Button, heat: gr.HTML, *, choice: gr.Dropdown, picture: gr.Image, pad: gr.HTML
) -> None:
    inside: dict[str, Any] = {"preprocess": False, "concurrency_limit": 1, "concurrency_id": "model"}
    given = [picture, pad, choice]
    here: dict[str, Any] = {"queue": False, "api_visibility": "private"}
    looked = look.click(answers.of_look, given, heat, js=_ASKED, api_visibility="private", **inside)
    # The map of another picture, or by another model, must neither stay beside the answer nor come later.
    looked.then(None, heat, heat, js=_IF_UNCHANGED, **here)
    for changed in (picture.change, pad.input, pad.clear, choice.change):
        changed(None, None, heat, js=_CHANGED, **here)


class _Answers:
    """The handlers: pictures in, the label's probabilities and the view's HTML out."""

    def __init__(self, models: Sequence[Model], uploads: Uploads) -> None:
        self._models = {model.title: model for model in models}
        self._uploads = uploads

    def of_file(self, picture: Upload | None, model: str, request: gr.Request) -> Shown:
        refuse_late(request)
        if not isinstance(picture, Mapping):
            raise gr.Error("Choose a picture first.", print_exception=False)
        return self._shown(model, "file", lambda: self._uploads.read(picture.get("path")))

    def of_drawing(self, strokes: str | None, model: str, request: gr.Request) -> Shown:
        refuse_late(request)
        return self._shown(model, "strokes", lambda: strokes.encode() if isinstance(strokes, str) else b"")

    def of_either(self, picture: Upload | None, strokes: str | None, model: str, request: gr.Request) -> Shown:
        if picture:
            return self.of_file(picture, model, request)
        if strokes and strokes != "[]" and self._model(model).card.dataset.drawable:
            return self.of_drawing(strokes, model, request)
        return None, ""

    def of_look(self, picture: Upload | None, strokes: str | None, model: str, request: gr.Request) -> str:
        refuse_late(request)
        service = self._model(model).service
        if isinstance(picture, Mapping):
            path = picture.get("path")
            return _heat(*_asked(lambda: service.look("file", self._uploads.read(path))))
        if not strokes or strokes == "[]":
            raise gr.Error("Choose a picture first, or draw one.", print_exception=False)
        return _heat(*_asked(lambda: service.look("strokes", strokes.encode())))

    def about(self, model: str) -> tuple[str, gr.Tab, gr.Tabs]:
        """What changes on the page with the model."""
        card = self._model(model).card
        # Not `visible`: Gradio 6.31 does not change it for tabs.
        return describe(card), gr.Tab(interactive=card.dataset.drawable), gr.Tabs(selected=_tab(card))

    def _model(self, title: str) -> Model:
        try:
            return self._models[title]
        except (KeyError, TypeError):
            raise gr.Error("This model does not exist. Choose another one.", print_exception=False) from None

    def _shown(self, title: str, kind: Kind, body: Callable[[], bytes]) -> Shown:
        model = self._model(title)
        answer = _asked(lambda: model.service.ask(kind, body()))
        return {clean(label): probability for label, probability in answer.top}, _seen(answer)


def _asked(work: Callable[[], T]) -> T:
    """What a model answers. Raises `gr.Error` for the visitor."""
    try:
        return work()
    except ZooError as error:
        raise shown_error(error) from None
    except Exception as error:  # no tracebacks in the operator's terminal because of a visitor's request
        Reporter().warn(f"A picture got no answer: {type(error).__name__}.")
        raise gr.Error("The demo failed on this picture. Try again.", print_exception=False) from None


def refuse_late(request: gr.Request) -> None:
    """Refuses a request that waited too long: its visitor may be gone, and others wait."""
    arrived = float(request.headers.get(ARRIVED) or "nan")
    if time.monotonic() - arrived > MAX_WAIT_SECONDS:
        raise gr.Error(
            f"The demo is busy: this picture waited for {MAX_WAIT_SECONDS:.0f} seconds. Try again.",
            print_exception=False,
        )


def _tab(card: Card) -> str:
    return "draw" if card.dataset.drawable else "upload"


def _pad() -> gr.HTML:
    # The template does not contain the value, so drawing does not render it again.
    return gr.HTML(
        "",
        html_template=(HERE / "pad.html").read_text(encoding="utf-8"),
        js_on_load=(HERE / "pad.js").read_text(encoding="utf-8"),
        elem_id="pad",
        apply_default_css=False,
    )


def _seen(answer: Answer) -> str:
    origin = "" if answer.width == answer.height == answer.side else f", from {answer.width} by {answer.height}"
    small = " class='small'" if answer.side < PIXELATED_BELOW else ""
    return (
        f"<figure><img{small} src='{_source(answer.view)}' alt='What the model sees'><figcaption>"
        f"What the model sees: {answer.side} by {answer.side} pixels{origin}. "
        f"It answered in {answer.latency_ms:.1f} ms.</figcaption></figure>"
    )


def _heat(label: str, view: bytes) -> str:
    name = text(clean(label))
    return (
        f"<figure><img src='{_source(view)}' alt='Heat map of the class {name}'><figcaption>"
        f"What speaks for <strong>{name}</strong>: <span class='legend'>little<span class='colours'></span>most</span>"
        "</figcaption></figure>"
    )


def _source(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def shown_error(error: ZooError) -> gr.Error:
    """The error for the visitor, escaped because Gradio shows messages as HTML."""
    return gr.Error(escape(str(error), quote=False), print_exception=False)
