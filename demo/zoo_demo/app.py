"""The page: a picture or a drawing in, the model's answer beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from zoo.artifact import Predictor
from zoo.card import Card
from zoo.errors import ZooError
from zoo.images import read_picture
from zoo.specs import PreprocessSpec
from zoo_demo.drawing import digit_from_strokes, parse_strokes
from zoo_demo.facts import describe
from zoo_demo.models import Model
from zoo_demo.view import data_url, model_view

HERE = Path(__file__).parent
STYLE = HERE / "style.css"
TOP_CLASSES = 5
PIXELATED_BELOW = 112
MAX_WAITING = 32
# Uploads are looked at once; the browser may show its preview for this long.
KEEP_SECONDS = 600

Answer = tuple[dict[str, float] | None, str]
Upload = Mapping[str, Any]


def theme() -> gr.themes.Base:
    """Gradio's default look in the system's fonts: no font is fetched."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def build(models: Sequence[Model]) -> gr.Blocks:
    """The page for models that are loaded; `/predict` takes a picture, `/draw` the pad's strokes."""
    first = models[0].predictor.card
    any_drawable = any(model.predictor.card.dataset.drawable for model in models)
    page = gr.Blocks(title=first.name, analytics_enabled=False, delete_cache=(60, KEEP_SECONDS))
    with page:
        facts = gr.HTML(describe(first), elem_id="facts", js_on_load=None)
        titles = [model.title for model in models]
        choice = gr.Dropdown(titles, value=titles[0], label="Model", visible=len(models) > 1)
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
        _connect(_Answers(models), choice, picture, pad, shown=[label, seen], about=[facts, drawing, tabs])
    page.queue(max_size=MAX_WAITING)
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
    # Preprocessing would open an upload, convert it and write it again: the handlers get the file itself.
    asking: dict[str, Any] = {"preprocess": False, "concurrency_limit": 1, "concurrency_id": "model"}
    inside: dict[str, Any] = {"api_visibility": "private"}
    picture.upload(answers.of_file, [picture, choice], shown, api_name="predict", **asking)
    picture.clear(_nothing, None, shown, queue=False, **inside)
    pad.input(answers.of_drawing, [pad, choice], shown, api_name="draw", trigger_mode="always_last", **asking)
    pad.input(lambda: None, None, picture, queue=False, **inside)
    pad.clear(_nothing, None, shown, queue=False, **inside)
    choice.change(answers.about, choice, about, queue=False, **inside).then(
        answers.of_either, [picture, pad, choice], shown, **inside, **asking
    )


class _Answers:
    """The handlers: pictures in, the label's probabilities and the view's HTML out."""

    def __init__(self, models: Sequence[Model]) -> None:
        self.predictors = {model.title: model.predictor for model in models}

    def of_file(self, picture: Upload | None, model: str) -> Answer:
        if not picture or not picture.get("path"):
            raise gr.Error("Choose a picture first.", print_exception=False)
        try:
            return self._of_picture(read_picture(Path(picture["path"]).read_bytes()), model)
        except ZooError as error:
            raise shown_error(error) from None

    def of_drawing(self, strokes: str | None, model: str) -> Answer:
        try:
            return self._of_picture(digit_from_strokes(parse_strokes(strokes)), model)
        except ZooError as error:
            raise shown_error(error) from None

    def of_either(self, picture: Upload | None, strokes: str | None, model: str) -> Answer:
        if picture:
            return self.of_file(picture, model)
        if strokes and strokes != "[]" and self._predictor(model).card.dataset.drawable:
            return self.of_drawing(strokes, model)
        return _nothing()

    def about(self, model: str) -> tuple[str, gr.Tab, gr.Tabs]:
        """What changes on the page with the model."""
        card = self._predictor(model).card
        # Not `visible`: Gradio 6.31 does not change that of a tab.
        return describe(card), gr.Tab(interactive=card.dataset.drawable), gr.Tabs(selected=_tab(card))

    def _predictor(self, model: str) -> Predictor:
        try:
            return self.predictors[model]
        except (KeyError, TypeError):
            raise gr.Error("There is no such model.", print_exception=False) from None

    def _of_picture(self, picture: np.ndarray, model: str) -> Answer:
        predictor = self._predictor(model)
        start = time.perf_counter()
        (prediction,) = predictor.predict([picture], TOP_CLASSES)
        latency_ms = 1000 * (time.perf_counter() - start)
        return dict(prediction.top), _seen(picture, predictor.card.preprocess, latency_ms)


def _tab(card: Card) -> str:
    return "draw" if card.dataset.drawable else "upload"


def _pad() -> gr.HTML:
    # A template without the value: drawing does not render it again.
    return gr.HTML(
        "",
        html_template=(HERE / "pad.html").read_text(encoding="utf-8"),
        js_on_load=(HERE / "pad.js").read_text(encoding="utf-8"),
        elem_id="pad",
        apply_default_css=False,
    )


def _seen(picture: np.ndarray, spec: PreprocessSpec, latency_ms: float) -> str:
    view = model_view(picture, spec)
    origin = "" if view.shape == picture.shape else f", from {picture.shape[1]} by {picture.shape[0]}"
    small = " class='small'" if len(view) < PIXELATED_BELOW else ""
    return (
        f"<figure><img{small} src='{data_url(view)}' alt='What the model sees'><figcaption>"
        f"What the model sees: {len(view)} by {len(view)} pixels{origin}. "
        f"It answered in {latency_ms:.1f} ms.</figcaption></figure>"
    )


def _nothing() -> Answer:
    return None, ""


def shown_error(error: ZooError) -> gr.Error:
    """What the visitor reads; Gradio takes the message for HTML."""
    return gr.Error(escape(str(error), quote=False), print_exception=False)
