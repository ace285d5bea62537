"""The tab about the model: its card, and a check of its file."""

from __future__ import annotations

import gradio as gr

from zoo.errors import ZooError
from zoo_demo.about_html import about_html, checks_html
from zoo_demo.answers import Answers, refuse_late
from zoo_demo.picture_tab import INSIDE, LIVE, ONE_MODEL, arrived
from zoo_demo.shown import error_html
from zoo_demo.texts import language_of


def add(answers: Answers, tab: gr.Tab, choice: gr.Dropdown, texts: gr.I18n) -> None:
    """Adds the tab's parts and connects them. The card is read when the tab is opened: it may be long."""
    about = gr.HTML(elem_id="about", js_on_load=None)
    check = gr.Button(texts("about.check"), elem_id="check")
    found = gr.HTML(elem_id="checked", js_on_load=LIVE)

    def shown(model: str, request: gr.Request) -> str:
        language = language_of(request.headers)
        try:
            return about_html(answers.model(model, language).card, language)
        except ZooError as error:
            return error_html(error)

    def checked(model: str, request: gr.Request) -> str:
        language = language_of(request.headers)
        try:
            refuse_late(arrived(request), language)
            return checks_html(model, answers.check(model, language), language)
        except ZooError as error:
            return error_html(error)

    for event in (tab.select, choice.change):
        event(shown, choice, about, concurrency_limit=None, **INSIDE)
    check.click(checked, choice, found, **INSIDE, **ONE_MODEL)
    choice.change(None, None, found, js="() => ''", queue=False, api_visibility="private")
