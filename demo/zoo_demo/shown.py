"""Answers as HTML. Classes, file names and errors are untrusted text: all of them are escaped here."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from zoo.errors import ZooError
from zoo.report.html import clean, text
from zoo_demo.service import Answer
from zoo_demo.texts import Language, say
from zoo_demo.worker import PIXELATED_BELOW

SURE = 0.9995  # shown with one decimal, what is above would look like certainty


def answer_html(answer: Answer, language: Language) -> str:
    """The classes as bars, best first, and what the model sees."""
    return f"<p class='best'>{text(answer.top[0][0])}</p>{bars(answer.top)}{_seen(answer, language)}"


def bars(top: Sequence[tuple[str, float]]) -> str:
    """Classes with their probabilities, as a list of bars."""
    rows = (
        f"<li><span class='name'>{text(label)}</span><span class='share'>{text(percent(share))}</span>"
        f"<span class='bar' aria-hidden='true'><span style='width:{100 * share:.2f}%'></span></span></li>"
        for label, share in top
    )
    return f"<ol class='bars'>{''.join(rows)}</ol>"


def percent(share: float) -> str:
    """A probability with one decimal. Only 1 is shown as 100%, and only 0 as 0%."""
    if SURE <= share < 1:
        return ">99.9%"
    if 0 < share < 1 - SURE:
        return "<0.1%"
    return f"{share:.1%}"


def heat_html(label: str, view: bytes, language: Language) -> str:
    """A heat map with its legend."""
    alt = text(say("picture.heat-alt", language, label=label))
    legend = f"{say('picture.little', language)}<span class='colours'></span>{say('picture.most', language)}"
    return (
        f"<figure><img src='{source(view)}' alt='{alt}'><figcaption>{say('picture.heat', language)} "
        f"<strong>{text(label)}</strong>: <span class='legend'>{legend}</span></figcaption></figure>"
    )


def progress_html(share: float, language: Language) -> str:
    """How far a piece of work is, from 0 to 1."""
    words = text(say("progress", language, share=f"{share:.0%}"))
    return f"<label class='progress'>{words}<progress value='{share:.3f}'></progress></label>"


def error_html(error: ZooError | str) -> str:
    """A sentence in place of an answer."""
    return f"<p class='wrong' role='alert'>{text(str(error))}</p>"


def hint_html(drawable: bool, language: Language) -> str:
    """What to do first."""
    return f"<p class='hint'>{say('picture.hint-drawable' if drawable else 'picture.hint', language)}</p>"


def label_data(answer: Answer) -> dict[str, object]:
    """The answer as the value of a Gradio label, for programs that know this form."""
    pairs = [{"label": clean(label), "confidence": share} for label, share in answer.top]
    return {"label": pairs[0]["label"], "confidences": pairs}


def source(picture: bytes) -> str:
    """A PNG or JPEG file as an address."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def seen_text(answer: Answer, language: Language) -> str:
    """What the model saw, and how long it took."""
    whole = answer.width == answer.height == answer.side
    facts = {"side": answer.side, "width": answer.width, "height": answer.height, "ms": f"{answer.latency_ms:.1f}"}
    return say("picture.seen" if whole else "picture.seen-of", language, **facts)


def _seen(answer: Answer, language: Language) -> str:
    small = " class='small'" if answer.side < PIXELATED_BELOW else ""
    alt = say("picture.view", language)
    return (
        f"<figure class='seen'><img{small} src='{source(answer.view)}' alt='{alt}'>"
        f"<figcaption>{seen_text(answer, language)}</figcaption></figure>"
    )
