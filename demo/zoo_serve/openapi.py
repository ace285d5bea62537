"""The description of the routes: OpenAPI 3.1, and a page that shows it without any request elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from zoo_serve.limits import MAX_FILES, Limits

VERSION = "1.0"  # of the routes
DOCS_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code,pre{font-family:ui-monospace,monospace}pre{overflow:auto;padding:1rem;border:1px solid}"
    "table{border-collapse:collapse}td,th{border:1px solid;padding:.3rem .6rem;text-align:left}"
)
_TEXT = {"type": "string"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def _object(required: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": required, "required": list(required), **more}


_SCHEMAS = {
    "Class": _object({"label": _TEXT, "probability": _SHARE}),
    "Prediction": _object(
        {
            "file": _TEXT,
            "label": _TEXT,
            "probability": _SHARE,
            "top": {"type": "array", "items": {"$ref": "#/components/schemas/Class"}},
        }
    ),
    "Problem": _object({"code": _TEXT, "cause": _TEXT, "remedy": _TEXT}),
    "Error": _object({"error": {"$ref": "#/components/schemas/Problem"}}),
    "Unreadable": _object({"file": _TEXT, "error": {"$ref": "#/components/schemas/Problem"}}),
    "Model": _object(
        {
            **dict.fromkeys(("name", "title", "format", "precision", "created"), _TEXT),
            "image_size": {"type": "integer"},
            "classes": {"type": "array", "items": _TEXT},
        }
    ),
    "Health": _object({"status": _TEXT}, additionalProperties=True),
}
_MEANINGS = {
    "400": "The picture is damaged, or a parameter is wrong.",
    "401": "The token or the password is missing or wrong.",
    "403": "The host name of the request, or the page that sent it, is not accepted.",
    "404": "The model or the address does not exist.",
    "405": "The address takes another method.",
    "408": "The request took too long to arrive.",
    "413": "The file, the picture or the form is too large.",
    "415": "The body is not a picture of a known format.",
    "429": "The queue is full. `Retry-After` says when to retry, in seconds.",
    "500": "The model failed.",
    "503": "The service is starting or ending. `Retry-After` says when to retry, in seconds.",
    "504": "No answer in time.",
}


def document(limits: Limits, root_path: str, *, with_token: bool, with_password: bool = False) -> dict[str, Any]:
    """The routes as OpenAPI 3.1: https://spec.openapis.org/oas/v3.1.0

    Args:
        with_token: whether requests need one.
        with_password: whether all requests need a user name and a password, or else the token.
    """
    always = ("401", "403") if with_token or with_password else ("403",)
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "zoo serve", "version": VERSION, "description": "Classifies pictures."},
        "servers": [{"url": root_path or "/"}],
        "paths": {
            "/predict": {"post": _predict(limits, always)},
            "/models": {"get": _get("The models", "models", _list_of("Model"), (*always, "503"))},
            "/health": {"get": _health("Whether the service takes requests", "health")},
            "/health/ready": {"get": _health("Whether the service takes requests", "ready")},
            "/health/live": {"get": _health("Whether the models' runs end", "live")},
            "/metrics": {"get": _get("Figures for Prometheus", "metrics", {"text/plain": {"schema": _TEXT}}, always)},
            "/openapi.json": {"get": _get("This description", "openapi", _json({"type": "object"}), ("403",))},
            "/docs": {"get": _get("This description as a page", "docs", {"text/html": {"schema": _TEXT}}, ("403",))},
        },
        "components": {"schemas": _SCHEMAS},
    }
    schemes = {"password": "basic"} if with_password else {}
    schemes |= {"token": "bearer"} if with_token else {}
    if schemes:
        described["components"]["securitySchemes"] = {
            name: {"type": "http", "scheme": scheme} for name, scheme in schemes.items()
        }
        for path in described["paths"] if with_password else ("/predict", "/models", "/metrics"):
            for operation in described["paths"][path].values():
                operation["security"] = [{name: []} for name in schemes]
                operation["responses"].setdefault(
                    "401", operation["responses"]["403"] | {"description": _MEANINGS["401"]}
                )
    return described


def _predict(limits: Limits, always: tuple[str, ...]) -> dict[str, Any]:
    binary = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    files = {"type": "array", "items": binary["schema"], "minItems": 1, "maxItems": MAX_FILES}
    answers = [{"$ref": "#/components/schemas/Prediction"}, {"$ref": "#/components/schemas/Unreadable"}]
    found = _json({"type": "array", "items": {"anyOf": answers}})
    statuses = ("400", *always, "404", "408", "413", "415", "429", "500", "503", "504")
    return {
        "summary": "Classify pictures",
        "operationId": "predict",
        "description": (
            f"A picture's file as the body, or up to {MAX_FILES} in a form. A file may have "
            f"{limits.file_bytes / 1e6:.3g} MB and {limits.pixels:,} pixels. The answer has a row per file, in order, "
            "as `zoo predict --json` prints it; of a form, a file that cannot be read has its error instead."
        ),
        "parameters": [
            _parameter("model", "The name of the model. Default: the first one.", _TEXT),
            _parameter(
                "top_k", "How many classes to list, at most all.", {"type": "integer", "minimum": 1, "default": 3}
            ),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": binary,
                "image/*": binary,
                "multipart/form-data": {"schema": _object({"files": files})},
            },
        },
        "responses": _responses(found, statuses),
    }


def _health(summary: str, name: str) -> dict[str, Any]:
    found = _json({"$ref": "#/components/schemas/Health"})
    responses = _responses(found, ("403",)) | {"503": {"description": "It does not.", "content": found}}
    return {"summary": summary, "operationId": name, "responses": responses}


def _get(summary: str, name: str, content: dict[str, Any], statuses: tuple[str, ...]) -> dict[str, Any]:
    return {"summary": summary, "operationId": name, "responses": _responses(content, statuses)}


def _responses(content: dict[str, Any], statuses: tuple[str, ...]) -> dict[str, Any]:
    error = _json({"$ref": "#/components/schemas/Error"})
    refused = {status: {"description": _MEANINGS[status], "content": error} for status in statuses}
    return {"200": {"description": "The answer.", "content": content}} | refused


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _list_of(name: str) -> dict[str, Any]:
    return _json({"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}})


def docs_page(described: dict[str, Any]) -> str:
    """The description as HTML: no script, no font, nothing from elsewhere."""
    sections = []
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            rows = [(f"?{each['name']}=", each["description"]) for each in operation.get("parameters", ())] + [
                (status, response["description"]) for status, response in operation["responses"].items()
            ]
            table = "".join(f"<tr><td><code>{escape(a)}</code></td><td>{escape(b)}</td></tr>" for a, b in rows)
            sections.append(
                f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}. "
                f"{escape(operation.get('description', ''))}</p><table>{table}</table>"
            )
    schemas = escape(json.dumps(described["components"]["schemas"], indent=2))
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>zoo serve</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style></head><body>"
        f"<h1>zoo serve</h1><p>As data: <a href='openapi.json'>openapi.json</a>. For example: "
        f"<code>curl --data-binary @picture.jpg ADDRESS/predict</code></p>"
        f"{''.join(sections)}<h2>Shapes of the answers</h2><pre>{schemas}</pre></body></html>"
    )
