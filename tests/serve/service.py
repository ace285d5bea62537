"""The service in this process: a model of three colours, and requests as ASGI messages."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from zoo.artifacts.predictor import Predictor
from zoo_serve.app import application
from zoo_serve.decoder import Decoder
from zoo_serve.hosts import Hosts
from zoo_serve.limits import Limits
from zoo_serve.models import BatchedModel
from zoo_serve.state import State

from ..cards import any_card

HOST = ("host", "127.0.0.1:8000")


def means(images: np.ndarray) -> np.ndarray:
    """The mean of each colour as logits."""
    return images.mean((1, 2), dtype=np.float32) / 25


def png(colour: str = "red", size: tuple[int, int] = (6, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


@dataclass
class Served:
    """A running service.

    Attributes:
        runs: the shape of each run of the model.
    """

    app: Callable
    state: State
    runs: list[tuple[int, ...]] = field(default_factory=list)

    async def send(self, method: str, target: str, body: bytes = b"", *headers, chunks=1, leave=None, **named):
        """One request.

        Args:
            chunks: in how many parts the body comes.
            leave: an event after which the sender leaves.
            named: more headers, with underscores.
        """
        path, _, query = target.partition("?")
        given = [*headers, *((name.replace("_", "-"), value) for name, value in named.items())]
        if not any(name == "host" for name, _ in given):
            given.append(HOST)
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in given]
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": pairs}
        scope |= {"http_version": "1.1", "scheme": "http", "asgi": {"version": "3.0"}}
        size = max(1, -(-len(body) // chunks))
        parts = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
        sent, over = [], leave or asyncio.Event()

        async def receive():
            if parts:
                part = parts.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(parts)}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))

    def ask(self, method: str, target: str, body: bytes = b"", *headers, **named) -> Answer:
        return asyncio.run(self.send(method, target, body, *headers, **named))

    def predict(self, body: bytes, query: str = "", **named) -> Answer:
        return self.ask("POST", f"/predict{query}", body, **named)


@contextmanager
def served(
    runtime=means,
    *,
    limits: Limits | None = None,
    names=("colours",),
    token=None,
    root_path="",
    card=any_card,
    decoders=2,
) -> Iterator[Served]:
    limits = limits or Limits()
    runs = []

    def noted(images):
        runs.append(images.shape)
        return runtime(images)

    state, decoder = State(limits), Decoder(decoders, limits.pixels)
    models = [
        BatchedModel(name, Predictor(card(), noted), decoder, limits.batch, state.metrics.batch) for name in names
    ]
    state.begin(models)
    try:
        yield Served(application(state, Hosts("127.0.0.1"), token=token, root_path=root_path), state, runs)
    finally:
        decoder.close()
        for model in models:
            model.close()


def form(*files: tuple[str, bytes], boundary: str = "limit") -> tuple[bytes, str]:
    """A form of files with these names, and its type."""
    parts = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files
    )
    return parts + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
