"""Hostile requests to the demo: what each sends, and what must come back.

`{home}` stands for the folder that the demo was started in, `{uploads}` for its upload folder, `{own}` for a picture
that was uploaded, `{port}` for the demo's port.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

NOT_OURS = "This picture is not among the uploads. They are kept for 10 minutes. Upload it again."
NOTHING = "This address does not exist. Open the page, or see its API."
UNREAD = "The request cannot be read"
FORM = "multipart/form-data; boundary=b"


# A path in place of an upload's: whatever is there or not, the answer is NOT_OURS.
PATHS = {
    "absolute": "{home}/secret.png",
    "relative": "secret.png",
    "parent": "{uploads}/../../home/secret.png",
    "parent of the token": "{own}/../../../home/secret.png",
    "dot": "{uploads}/./secret",
    "doubled slash": "{uploads}//secret",
    "missing": "{home}/missing.png",
    "missing upload": "{uploads}/00000000000000000000000000000000/picture.png",
    "folder": "{home}",
    "upload folder": "{uploads}",
    "device": "/dev/zero",
    "terminal": "/dev/tty",
    "pipe": "{home}/pipe",
    "process": "/proc/self/environ",
    "open file": "/dev/fd/0",
    "link in the upload folder": "{uploads}/link.png",
    "link beside an upload": "{linked}",
    "link to a folder with the picture": "{uploads}/11111111111111111111111111111111/secret.png",
    "pipe beside an upload": "{piped}",
    "device beside an upload": "{zero}",
    "address of a file": "file://{home}/secret.png",
    "address": "http://127.0.0.1:{port}/config",
    "user": "~/secret.png",
    "zero byte": "{own}\0",
    "long": "{uploads}/" + "a" * 4000,
    "letter case": "{upper}",
    "backslash": "{uploads}\\..\\secret.png",
    "empty": "",
}


@dataclass(frozen=True)
class Attack:
    """One request.

    Attributes:
        status: of the answer.
        said: what its text contains.
        hides: what its text does not contain.
    """

    name: str
    method: str
    path: str
    status: int
    said: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hides: str = "secret"


def _json(name: str, body: object, status: int, said: str, path: str = "/gradio_api/call/predict") -> Attack:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Attack(name, "POST", path, status, said, {"content-type": "application/json"}, data)


def _form(name: str, body: bytes, status: int, said: str, kind: str = FORM) -> Attack:
    return Attack(name, "POST", "/gradio_api/upload", status, said, {"content-type": kind}, body)


def _part(filename: bytes, content: bytes = b"x") -> bytes:
    head = b'--b\r\ncontent-disposition: form-data; name="files"; filename="' + filename + b'"\r\n\r\n'
    return head + content + b"\r\n"


def _hidden(method: str, path: str) -> Attack:
    return Attack(f"{method} {path}", method, path, 404, NOTHING)


def _foreign(header: str, value: str, status: int = 403, said: str = "--allow-host") -> Attack:
    return Attack(f"{header} {value}", "GET", "/config", status, said, {header: value})


FILE = {"path": "{own}"}
JOIN = "/gradio_api/queue/join"

REQUESTS = [
    # Names that are not ours: DNS rebinding, other people's pages, proxies that nobody configured.
    _foreign("host", "evil.example"),
    _foreign("host", "localhost.evil.example"),
    _foreign("host", "127.0.0.1.evil.example:{port}"),
    _foreign("host", "10.1.2.3"),
    _foreign("host", "evil.example:80@127.0.0.1"),
    _foreign("host", "[::1].evil.example"),
    _foreign("host", "<script>alert(1)</script>"),
    _foreign("x-forwarded-host", "evil.example"),
    _foreign("origin", "http://evil.example"),
    _foreign("origin", "null"),
    _foreign("origin", "http://127.0.0.1:1"),  # another server of this machine
    _foreign("origin", "http://["),
    # Gradio's routes that this page does not need: editors, proxies, files of packages, other people's sessions.
    _hidden("POST", "/gradio_api/run/predict"),
    _hidden("POST", "/gradio_api/api/predict"),
    _hidden("POST", "/gradio_api/call/v2/predict"),
    _hidden("POST", "/gradio_api/component_server"),
    _hidden("POST", "/gradio_api/vibe-edit"),
    _hidden("GET", "/gradio_api/vibe-code"),
    _hidden("POST", "/gradio_api/process_recording"),
    _hidden("GET", "/gradio_api/dev/reload"),
    _hidden("GET", "/gradio_api/proxy=http://127.0.0.1:{port}/config"),
    _hidden("GET", "/gradio_api/deep_link?session_hash=a"),
    _hidden("GET", "/gradio_api/queue/status"),
    _hidden("GET", "/gradio_api/custom_component/a/client/b/c"),
    _hidden("GET", "/gradio_api/stream/a/b/1/playlist.m3u8"),
    _hidden("GET", "/monitoring"),
    _hidden("POST", "/login"),
    _hidden("PUT", "/gradio_api/upload"),
    _hidden("GET", "/gradio_api/heartbeat/a"),
    Attack("HEAD of a file", "HEAD", "/gradio_api/file=secret.png", 404),
    _hidden("OPTIONS", "/gradio_api/file=secret.png"),
    Attack("assets above", "GET", "/assets/..%2f..%2f..%2f..%2f..%2fhome/secret.png", 403, "Forbidden"),
    Attack("file by address", "GET", "/gradio_api/file=http://127.0.0.1:{port}/config", 404, NOT_OURS),
    Attack("stored page", "GET", "/?deep_link=..%2f..%2fsecret", 200, "gradio"),
    # Bodies that are not what the page sends.
    _json("no body", b"", 400, UNREAD),
    _json("no object", [], 400, UNREAD),
    _json("deep", b'{"data":' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400, UNREAD),
    _json("no list", {"data": FILE}, 400, UNREAD),
    _json("too few values", {"data": []}, 400, "has 0 values, but this function takes 2"),
    _json("too many values", {"data": [FILE] * 10}, 400, "has 10 values"),
    _json("a list for a file", {"data": [[FILE], "colours"]}, 400, UNREAD),
    _json("a number for a path", {"data": [{"path": 1}, "colours"]}, 400, UNREAD),
    _json("This function does not exist", {"data": []}, 404, "This function does not exist", "/gradio_api/call/secret"),
    _json("function by number", {"data": [], "fn_index": 10**6}, 400, "This function does not exist", JOIN),
    _json("negative number", {"data": [], "fn_index": -1}, 400, "This function does not exist", JOIN),
    _json("no function", {"data": []}, 400, "This function does not exist", JOIN),
    _json("session of another kind", {"data": [FILE, "x"], "session_hash": "../../a"}, 400, UNREAD),
    _json("three megabytes", b" " * 3_000_000, 413, "more than 0.5 MB"),
    _json("a million values", b'{"data":[' + b"1," * 200_000 + b"1]}", 400, UNREAD),
    _json("wide characters", {"data": ["a" * 200_000 + "\U0001f600", "x"]}, 400, UNREAD, "/gradio_api/call/draw"),
    _json("cancel anything", {"event_id": {"a": 1}}, 200, "success", "/gradio_api/cancel"),
    # Forms that are not one file.
    _form("no form", b"{}", 400, "must be a form", "application/json"),
    _form("no boundary", b"--b--", 400, "must be a form", "multipart/form-data"),
    _form("no part", b"--b--\r\n", 400, "The form has no file"),
    _form(
        "no file",
        b'--b\r\ncontent-disposition: form-data; name="files"\r\n\r\nx\r\n--b--\r\n',
        400,
        "The form has no file",
    ),
    _form("cut short", _part(b"x.png"), 400, "The form is incomplete"),
    _form("damaged", b"--c\r\n", 400, "The form is damaged"),
    _form("endless header", b"--b\r\ncontent-disposition: " + b"a" * 100_000, 400, "The form is damaged"),
    _form("two files", _part(b"x.png") + _part(b"y.png") + b"--b--\r\n", 200, "/picture.png"),
    _form("a thousand files and one", 1001 * _part(b"x.png") + b"--b--\r\n", 413, "more than 1,000 files"),
    _form("empty name", _part(b"") + b"--b--\r\n", 200, "/picture"),
    _form("a path as name", _part(b"../../../home/secret.png") + b"--b--\r\n", 200, "/picture.png"),
    _form("a folder as name", _part(b"///") + b"--b--\r\n", 200, "/picture"),
    _form("zero byte in the name", _part(b"x\0.png") + b"--b--\r\n", 200, "/picture.png"),
    _form("a name of no text", _part(b"\xff\xfe.\xff") + b"--b--\r\n", 200, "/picture"),
    _form("a long name", _part(b"x" * 3000 + b".png") + b"--b--\r\n", 200, "/picture.png"),
]
