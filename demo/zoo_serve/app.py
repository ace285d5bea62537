"""The service as an ASGI application: its routes, and what stands before them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from zoo.errors import ZooError
from zoo.progress import Reporter
from zoo_serve.bodies import Body, Message, Receive
from zoo_serve.hosts import Hosts
from zoo_serve.limits import MAX_FORM_BYTES
from zoo_serve.metrics import CONTENT_TYPE
from zoo_serve.openapi import DOCS_POLICY, docs_page, document
from zoo_serve.predictions import predict
from zoo_serve.refusals import RequestError, refusal
from zoo_serve.senders import check_sender, check_token, headers_of
from zoo_serve.state import State

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]

LEFT = 499  # the status, for the figures only, of a request whose sender left before the answer
FAILED = 500
SECURE = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
# Without a token: probes of a cluster have none, and the description of the routes holds nothing of the models.
OPEN = ("/health", "/health/live", "/health/ready", "/docs", "/openapi.json")


def application(
    state: State,
    hosts: Hosts,
    *,
    token: str | None = None,
    with_password: bool = False,
    root_path: str = "",
    lifespan: Lifespan | None = None,
) -> App:
    """The service.

    Args:
        hosts: the host names that it answers to.
        token: that requests must have.
        with_password: whether something before it asks for a password; for the description of the routes.
        root_path: the path before all routes, for example of a proxy. Requests may come with it or without it.
    """

    about = document(state.limits, root_path, with_token=token is not None, with_password=with_password)

    async def predicted(request: Request) -> Response:
        return await predict(request, state)

    async def models(_: Request) -> Response:
        state.check()
        return JSONResponse([_described(model.name, model.card) for model in state.models.values()])

    async def ready(_: Request) -> Response:
        names = list(state.models)
        return JSONResponse({"status": state.phase, "models": names}, 200 if state.phase == "ready" else 503)

    async def live(_: Request) -> Response:
        stuck = state.is_stuck
        return JSONResponse({"status": "stuck" if stuck else "alive"}, 503 if stuck else 200)

    async def metrics(_: Request) -> Response:
        return PlainTextResponse(state.metrics.text(), media_type=CONTENT_TYPE)

    async def described(_: Request) -> Response:
        return JSONResponse(about)

    async def docs(_: Request) -> Response:
        return HTMLResponse(docs_page(about), headers={"Content-Security-Policy": DOCS_POLICY})

    routes = [
        Route("/predict", predicted, methods=["POST"]),
        Route("/models", models),
        Route("/health", ready),
        Route("/health/ready", ready),
        Route("/health/live", live),
        Route("/metrics", metrics),
        Route("/openapi.json", described),
        Route("/docs", docs),
    ]
    handlers = {ZooError: _refused, HTTPException: _no_route, ClientDisconnect: _left, Exception: _failed}
    inner = Starlette(routes=routes, exception_handlers=cast(Any, handlers), lifespan=cast(Any, lifespan))
    inner.router.redirect_slashes = False
    paths = {route.path for route in routes}
    return _Front(cast(App, inner), state, hosts, token=token, root_path=root_path, routes=paths)


class _Front:
    """Checks the sender, bounds the body, counts the answer."""

    def __init__(
        self, app: App, state: State, hosts: Hosts, *, token: str | None, root_path: str, routes: set[str]
    ) -> None:
        self._app, self._state, self._hosts, self._token = app, state, hosts, token
        self._root_path, self._routes = root_path, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), LEFT

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *SECURE]
            await send(message)

        scope, route = self._rooted(scope)
        body = Body(receive, MAX_FORM_BYTES)
        try:
            headers = headers_of(scope)
            check_sender(self._hosts, headers)
            if route not in OPEN:
                check_token(self._token, headers)
        except RequestError as error:
            await refusal(error)(cast(Any, scope), receive, cast(Any, noting))
        else:
            await self._answered(scope, body.receive, noting)
        self._state.metrics.request(route if route in self._routes else "other", status, time.monotonic() - begun)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except ConnectionError:
            pass
        except Exception as error:  # `_failed` has answered; no traceback in the terminal because of a request
            Reporter().warn(f"A request to {scope['path']!r:.80} failed: {type(error).__name__}: {error!s:.200}")

    def _rooted(self, scope: Scope) -> tuple[Scope, str]:
        """The request with the path before all routes, and its route."""
        root, path = self._root_path, scope["path"]
        route = path.removeprefix(root) if root and path.startswith(f"{root}/") else path
        return {**scope, "root_path": root, "path": f"{root}{route}"}, route


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ZooError)
    return refusal(error)


def _no_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:  # noqa: PLR2004
        allowed = (error.headers or {}).get("Allow", "")
        cause = "This address does not take requests of this method."
        return refusal(
            RequestError(405, cause, f"It takes {allowed}.", code="method", headers=dict(error.headers or {}))
        )
    return refusal(
        RequestError(404, "This address does not exist.", "GET /docs lists those that do.", code="unknown-address")
    )


def _left(_: Request, __: Exception) -> Response:
    return Response(status_code=LEFT)


def _failed(_: Request, __: Exception) -> Response:
    cause = "The service failed on this request."
    return refusal(RequestError(FAILED, cause, "Send it again, or look at the service's terminal.", code="failed"))


def _described(name: str, card: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": card.name,
        "format": card.format,
        "precision": card.precision,
        "created": card.created,
        "image_size": card.preprocess.image_size,
        "classes": list(card.classes),
    }
