"""The tab that compares models: on one picture, and over many."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from zoo.errors import ZooError
from zoo_demo import picture_tab
from zoo_demo.answers import Answers, Upload, refuse_late
from zoo_demo.batch_tab import add_batch
from zoo_demo.compare import chosen, on_picture
from zoo_demo.compare_html import over_batch, side_by_side
from zoo_demo.models import Model
from zoo_demo.picture_tab import INSIDE, LIVE, ONE_MODEL, arrived
from zoo_demo.shown import error_html
from zoo_demo.texts import Language, language_of, say
from zoo_demo.uploads import Uploads

FIRST = 2  # models that are chosen when the page opens
_AS_TEXT = "(given, models) => [given, JSON.stringify(models)]"  # the guard reads no lists


def add(answers: Answers, uploads: Uploads, models: Sequence[Model], texts: gr.I18n) -> None:
    """Adds the tab's parts and connects them."""
    titles = [model.title for model in models]
    choice = gr.CheckboxGroup(titles, value=titles[:FIRST], label=texts("compare.models"), elem_id="compared")
    picture = picture_tab.picture_input(texts, "compare-picture")
    answer = gr.HTML(texts("compare.hint"), elem_id="compare-answer", js_on_load=LIVE)
    _connect_picture(answers, uploads, choice, picture, answer)

    def compared(titles: str, language: Language) -> list[Model]:
        return chosen(titles, answers, language)

    add_batch(uploads, choice, texts, "compare", models=compared, result=over_batch, js=_AS_TEXT)


def _connect_picture(
    answers: Answers, uploads: Uploads, choice: gr.CheckboxGroup, picture: gr.Image, answer: gr.HTML
) -> None:
    def shown(picture: Upload | None, titles: str, request: gr.Request) -> str:
        language = language_of(request.headers)
        try:
            refuse_late(arrived(request), language)
            models = chosen(titles, answers, language)
            found = on_picture(models, picture, uploads, language)
        except ZooError as error:
            return error_html(error)
        return side_by_side(models, found, language) if found else say("compare.hint", language)

    for changed in (picture.input, choice.input):
        changed(shown, [picture, choice], answer, js=_AS_TEXT, trigger_mode="always_last", **INSIDE, **ONE_MODEL)
