"""Example pictures of the model, where its file has some: a click asks for the answer to one."""

from __future__ import annotations

from typing import Any

import gradio as gr

from zoo.artifacts.card import Card
from zoo.errors import UsageError
from zoo.report.html import text
from zoo_demo.answers import Answers
from zoo_demo.shown import source
from zoo_demo.texts import language_of, say
from zoo_demo.uploads import Uploads

# The value is the number of the chosen picture; the template does not contain it, so choosing renders nothing again.
_CHOOSE = """
element.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-example]");
  if (!chosen) return;
  props.value = chosen.dataset.example;
  trigger("input");
});
"""


def strip_html(card: Card) -> str:
    """The pictures as buttons, with their true classes as names."""
    buttons = (
        f"<button type='button' data-example='{number}' title='{text(example.label)}'>"
        f"<img src='{source(example.file)}' alt='{text(example.label)}'></button>"
        for number, example in enumerate(card.examples)
    )
    return f"<div class='examples'>{''.join(buttons)}</div>"


class Examples:
    """The example pictures of the models, as uploads: what answers an upload answers them."""

    def __init__(self, answers: Answers, uploads: Uploads) -> None:
        self._answers, self._uploads = answers, uploads

    def strip(self, title: str, request: gr.Request) -> gr.HTML:
        """The strip of a model."""
        card = self._answers.model(title, language_of(request.headers)).card
        return gr.HTML(shown=strip_html(card), visible=bool(card.examples))

    def chosen(self, number: object, title: str, request: gr.Request) -> tuple[dict[str, Any], Any]:
        """The picture as the value of the page's picture, and the tab that shows it."""
        language = language_of(request.headers)
        examples = {str(index): each for index, each in enumerate(self._answers.model(title, language).card.examples)}
        example = examples.get(str(number))
        if example is None:
            cause, remedy = say("wrong.example", language), say("wrong.model-remedy", language)
            raise UsageError(cause, remedy, code="unknown-example")
        path = self._uploads.new(f"example.{example.media_type.rpartition('/')[2]}")
        path.write_bytes(example.file)
        return {"path": str(path), "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}, gr.Tabs(
            selected="upload"
        )


def add(first: Card, texts: gr.I18n) -> gr.HTML:
    """The strip, for the first model."""
    return gr.HTML(
        "",
        label=texts("examples.title"),
        show_label=True,
        container=True,
        html_template="${shown}",
        js_on_load=_CHOOSE,
        elem_id="examples",
        shown=strip_html(first),
        visible=bool(first.examples),
    )
