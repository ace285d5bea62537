"""The page: its models above, and a tab for each kind of question to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from zoo.report.html import clean
from zoo_demo import about_tab, batch_tab, compare_tab, picture_tab
from zoo_demo.answers import Answers
from zoo_demo.card_html import describe, unavailable
from zoo_demo.limits import MAX_WAITING
from zoo_demo.models import LeftOut, Model
from zoo_demo.texts import LANGUAGES, Language, all_texts, language_of
from zoo_demo.uploads import Uploads

HERE = Path(__file__).parent
STYLE = HERE / "style.css"
# Gradio's page takes the first of these that it has, from the browser's language: zh-CN, zh-TW or zh.
_LOCALES: dict[str, Language] = {"en": "en", "zh": "zh", "zh-CN": "zh", "zh-TW": "zh"}
_HEAD, _LEFT_OUT = "head", "left-out-list"  # texts of the first page that are made, not read


@dataclass(frozen=True, slots=True)
class Page:
    """The page's Gradio application, and its texts for the browser."""

    blocks: gr.Blocks
    texts: gr.I18n


def theme() -> gr.themes.Base:
    """Gradio's default look in the system's fonts: no font is fetched."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def build(models: Sequence[Model], uploads: Uploads, left_out: Sequence[LeftOut] = ()) -> Page:
    """The page for loaded models."""
    texts = _texts(models[0], left_out)
    answers = Answers(models, uploads)
    titles = [model.title for model in models]
    with gr.Blocks(title=clean(models[0].card.name), analytics_enabled=False) as blocks:
        head = gr.HTML(texts(_HEAD), elem_id="facts", js_on_load=None)
        choice = gr.Dropdown(titles, value=titles[0], label=texts("model"), visible=len(models) > 1)
        if left_out:
            gr.HTML(texts(_LEFT_OUT), elem_id="left-out", js_on_load=None)
        with gr.Tabs():
            with gr.Tab(texts("tab.picture"), id="picture"):
                picture_tab.add(answers, uploads, models, choice, texts)
            with gr.Tab(texts("tab.batch"), id="batch"):
                batch_tab.add(answers, uploads, choice, texts)
            if len(models) > 1:
                with gr.Tab(texts("tab.compare"), id="compare"):
                    compare_tab.add(answers, uploads, models, texts)
            with gr.Tab(texts("tab.about"), id="about-model") as about:
                about_tab.add(answers, about, choice, texts)

        def describe_model(title: str, request: gr.Request) -> str:
            language = language_of(request.headers)
            return describe(answers.model(title, language).card, language)

        choice.change(describe_model, choice, head, preprocess=False, concurrency_limit=None, api_visibility="private")
    blocks.queue(max_size=2 * MAX_WAITING)  # the guard turns away before
    return Page(blocks, texts)


def _texts(first: Model, left_out: Sequence[LeftOut]) -> gr.I18n:
    made = {
        language: {_HEAD: describe(first.card, language), _LEFT_OUT: unavailable(left_out, language)}
        for language in LANGUAGES
    }
    read = {language: {key: texts[language] for key, texts in all_texts().items()} for language in LANGUAGES}
    return gr.I18n(**{locale: read[language] | made[language] for locale, language in _LOCALES.items()})
