"""The page's application, and the server that runs it."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI

from zoo.errors import ZooError
from zoo_demo import page
from zoo_demo.access import Access
from zoo_demo.guard import PROGRAMS, Guard, Refused
from zoo_demo.limits import MAX_OF_SESSION, MAX_SESSIONS, MAX_WAIT_SECONDS
from zoo_demo.models import LeftOut, Model
from zoo_demo.routes import add_routes
from zoo_demo.sessions import Sessions
from zoo_demo.texts import Language
from zoo_demo.told import tell_errors
from zoo_demo.turns import Turns
from zoo_demo.uploads import Uploads
from zoo_serve.admission import Admission
from zoo_serve.app import application
from zoo_serve.connections import LOGGERS, config_for, one_line_each
from zoo_serve.hosts import Hosts
from zoo_serve.limits import MAX_UPLOAD_BYTES, MAX_WAITING, Limits
from zoo_serve.models import names_for
from zoo_serve.state import State

START_SECONDS = 30.0
SWEEP_SECONDS = 5.0
HEAD = f"<script>{(Path(__file__).parent / 'retry.js').read_text(encoding='utf-8')}</script>"


@contextmanager
def serving(
    models: Sequence[Model],
    uploads: Uploads,
    hosts: Hosts,
    port: int,
    *,
    left_out: Sequence[LeftOut] = (),
    language: Language | None = None,
    access: Access | None = None,
) -> Iterator[None]:
    """Serves the page at `hosts.bound` until the context ends. Raises `ZooError` if the server does not start."""
    one_line_each((*LOGGERS, "gradio", "httpx"))
    turns = [Turns(name, model) for name, model in zip(names_for(m.card for m in models), models, strict=True)]
    models = [replace(model, service=turn) for model, turn in zip(models, turns, strict=True)]
    built = page.build(models, uploads, left_out)
    guarded = _application(built, models, turns, uploads, hosts=hosts, language=language, access=access)
    server = uvicorn.Server(config_for(guarded, hosts.bound, port, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            cause = f"The server cannot start at {hosts.bound}, port {port}."
            raise ZooError(cause, "Choose another --host or --port.", code="server-not-started")
        time.sleep(0.01)
    sweeper = _Sweeper(uploads)
    sweeper.start()
    try:
        yield
    finally:
        sweeper.stop()
        server.should_exit = True
        thread.join(timeout=10)
        for turn in turns:
            turn.close()


def _application(
    built: page.Page,
    models: Sequence[Model],
    turns: Sequence[Turns],
    uploads: Uploads,
    *,
    hosts: Hosts,
    language: Language | None,
    access: Access | None,
) -> Guard:
    blocks = built.blocks
    root_path = os.environ.get("GRADIO_ROOT_PATH", "")
    parent = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_routes(parent, uploads)
    blocks.state_session_capacity = MAX_SESSIONS
    gr.mount_gradio_app(
        parent,
        blocks,
        "/",
        root_path=root_path,
        show_error=False,
        max_file_size=MAX_UPLOAD_BYTES,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        run_history=False,
        footer_links=[],
        i18n=built.texts,
        theme=page.theme(),
        css_paths=page.STYLE,
        head=HEAD,
    )
    # Gradio's queue is the page's part of the one queue: `Turns` takes from both.
    admission = Admission(MAX_WAITING, MAX_WAIT_SECONDS, elsewhere=lambda: len(blocks._queue))
    state = State(Limits(seconds=MAX_WAIT_SECONDS), turns, admission)
    below = f"{root_path.rstrip('/')}{PROGRAMS}"
    api = application(state, hosts, with_password=access is not None, root_path=below)
    sessions = Sessions(blocks._queue)
    tell_errors(blocks)
    functions = {number: function for number, function in blocks.fns.items() if function.fn is not None}
    names = {
        str(function.api_name): number for number, function in functions.items() if function.api_visibility == "public"
    }
    inputs = {number: len(function.inputs) for number, function in functions.items()}

    def admit(session: str) -> None:
        waiting = admission.waiting
        seconds = waiting * max(model.service.expected_seconds for model in models)
        room = sessions.make_room() and sessions.count(session) < MAX_OF_SESSION
        if not room or waiting >= MAX_WAITING or seconds > MAX_WAIT_SECONDS:
            retry = max(1, math.ceil(min(seconds, MAX_WAIT_SECONDS) / 2))
            raise Refused(
                503, f"The demo is busy: {waiting} pictures wait for the model. Try again in {retry} seconds.", retry
            )

    return Guard(parent, hosts, inputs, names, admit, api=api, language=language, access=access, head=HEAD)


class _Sweeper:
    """Removes uploads that are too old while the page is served."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._ended.wait(SWEEP_SECONDS):
            self._uploads.sweep()
