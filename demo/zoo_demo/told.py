"""Errors of Gradio's calls: a sentence for the visitor, and no traceback in the operator's terminal."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from zoo.errors import ZooError
from zoo.progress import Reporter
from zoo_demo.texts import language_of, say


def tell_errors(blocks: Any) -> None:
    """Makes Gradio's application answer with a sentence where a call fails, also before it reaches its function."""
    process = blocks.process_api

    async def told(*values: Any, **named: Any) -> Any:
        try:
            return await process(*values, **named)
        except gr.Error:
            raise
        except ZooError as error:
            raise shown_error(error) from None
        except Exception as error:  # Gradio and its parts raise errors of any class
            Reporter().warn(f"A call of the page failed: {type(error).__name__}.")
            language = language_of(getattr(named.get("request"), "headers", {}))
            words = f"{say('wrong.request', language)} {say('wrong.again', language)}"
            raise gr.Error(words, print_exception=False) from None

    blocks.process_api = told


def shown_error(error: ZooError) -> gr.Error:
    """The error as Gradio's, escaped because Gradio shows messages as HTML."""
    return gr.Error(escape(str(error), quote=False), print_exception=False)
