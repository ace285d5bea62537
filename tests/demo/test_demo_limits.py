"""`zoo_demo`: names that it answers to, room for uploads, models that hang or die, many visitors at once."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the demo extra is not installed")

from zoo.artifacts.predictor import Predictor
from zoo.errors import ArtifactError, DataError
from zoo.images import read_picture
from zoo_demo import limits, worker
from zoo_demo.models import loaded
from zoo_demo.service import Service
from zoo_demo.uploads import FullError, Uploads
from zoo_demo.worker import look
from zoo_serve.hosts import Hosts, host_name, is_loopback, is_pattern

from ..attacks.site import demo, upload, wait_until
from ..demo.test_demo import card, files, onnx_artifact, saved
from ..refusals import refused


@pytest.mark.parametrize(
    ("bound", "extra", "name", "answers"),
    [
        ("127.0.0.1", (), "127.0.0.1:7860", True),
        ("127.0.0.1", (), "localhost:7860", True),
        ("127.0.0.1", (), "LOCALHOST.", True),
        ("127.0.0.1", (), "[::1]:7860", True),
        ("127.0.0.1", (), "127.8.9.1", True),
        ("127.0.0.1", (), "192.168.1.5", False),
        ("127.0.0.1", (), "evil.example", False),
        ("127.0.0.1", (), "", False),
        ("localhost", (), socket.gethostname(), socket.gethostname() == "localhost"),
        ("127.0.0.1", ("demo.example",), "demo.example", True),
        ("127.0.0.1", ("demo.example",), "a.demo.example", False),
        ("127.0.0.1", ("*.example",), "a.demo.example:443", True),
        ("127.0.0.1", ("*.example",), "example", False),
        ("127.0.0.1", ("*.example",), "evilexample", False),
        ("127.0.0.1", ("*",), "anything", True),
        ("0.0.0.0", (), "192.168.1.5:7860", True),
        ("0.0.0.0", (), "[fe80::1]:7860", True),
        ("0.0.0.0", (), socket.gethostname(), True),
        ("0.0.0.0", (), "evil.example", False),
        ("demo.example", (), "demo.example", True),
    ],
)
def test_names_that_the_page_answers_to(bound, extra, name, answers):
    assert Hosts(bound, extra).answers(name) is answers


def test_pages_of_others_are_not_trusted():
    hosts = Hosts("127.0.0.1", ("demo.example",))
    assert hosts.trusts("http://127.0.0.1:7860", "127.0.0.1:7860")
    assert hosts.trusts("https://demo.example", "127.0.0.1:7860")
    assert not hosts.trusts("http://127.0.0.1:8000", "127.0.0.1:7860")
    assert not hosts.trusts("https://evil.example", "127.0.0.1:7860")
    assert not hosts.trusts("null", "127.0.0.1:7860")


def test_names_and_patterns_are_read_strictly():
    assert [host_name(text) for text in ("[::1].evil.example", "a b", "a:b", "a@b", "a/b")] == [None] * 5
    assert all(map(is_pattern, ("*", "*.a.b", "a-b.c", "10.0.0.1", "fe80::1")))
    assert not any(map(is_pattern, ("http://a", "a:80", "*a", "a.*", "", "a/b")))
    assert is_loopback("127.0.0.1")
    assert not is_loopback("localhost.evil.example")


def test_a_name_that_is_an_address_is_a_wrong_command(tmp_path):
    from typer.testing import CliRunner

    from zoo.cli import app
    from zoo.registry import registry

    registry().add_commands(app, ["demo"])
    result = CliRunner().invoke(app, ["demo", "x.onnx", "--allow-host", "https://demo.example/"])
    assert "--allow-host demo.example.org" in result.exception.remedy


def test_uploads_make_room_for_others_after_a_minute(tmp_path, monkeypatch):
    uploads = Uploads(tmp_path, quota=10 * 2**20)
    paths = [uploads.new("x.png") for _ in range(3)]
    for path in paths:
        path.write_bytes(b"x")
        uploads.grown(path, 3 * 2**20)
    with refused("uploads-full", kind=FullError):
        uploads.grown(uploads.new("y.png"), 4 * 2**20)
    later = time.monotonic() + limits.SPARED_SECONDS + 1
    monkeypatch.setattr("zoo_demo.uploads.time.monotonic", lambda: later)
    fresh = uploads.new("z.png")
    fresh.write_bytes(b"z")
    uploads.grown(fresh, 4 * 2**20)
    assert uploads.read(str(fresh)) == b"z"
    assert uploads.read(str(paths[2])) == b"x"
    with refused("missing-upload", kind=DataError):
        uploads.read(str(paths[0]))
    assert not paths[0].parent.exists()


def test_many_small_uploads_count_too(tmp_path):
    uploads = Uploads(tmp_path, quota=2**20)
    with pytest.raises(FullError):
        for _ in range(100):
            uploads.new("x.png")
    assert len(list(tmp_path.iterdir())) == 16


def test_uploads_go_after_ten_minutes(tmp_path, monkeypatch):
    uploads = Uploads(tmp_path)
    path = uploads.new("x.png")
    path.write_bytes(b"x")
    uploads.sweep()
    assert path.exists()
    later = time.monotonic() + limits.KEEP_SECONDS + 1
    monkeypatch.setattr("zoo_demo.uploads.time.monotonic", lambda: later)
    uploads.sweep()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.PNG", "a.b.png", "x", ".png", "x.<b>", "x." + "y" * 50, "é.jpg", "..", "a/b.gif"])
def test_of_a_name_only_the_suffix_counts(tmp_path, name):
    path = Uploads(tmp_path).new(name)
    assert path.parent.parent == tmp_path
    assert path.name in ("picture.PNG", "picture.png", "picture", "picture.jpg", "picture.gif")


def hanging(path: Path, height: int) -> Path:
    """`onnx_artifact`, which never answers to pictures of one height."""
    import onnx
    from onnx import TensorProto, helper

    from zoo_exporters import onnx as format_onnx

    model = onnx.load(onnx_artifact(path))
    del model.metadata_props[:]
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["was"], ["is"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("was", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("is", TensorProto.INT64, []),
        ],
    )
    scalars = {"one": 1, "height": height, "most": 2**62, "zero": 0}
    model.graph.initializer.extend(helper.make_tensor(name, TensorProto.INT64, [], [n]) for name, n in scalars.items())
    model.graph.initializer.append(true)
    first = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["rows"]),
        helper.make_node("Equal", ["rows", "height"], ["never"]),
        helper.make_node("Loop", ["most", "never", "zero"], ["nothing"], body=body),
        helper.make_node("Cast", ["nothing"], ["none"], to=TensorProto.FLOAT),
    ]
    last = helper.make_node("Add", ["sum", "none"], ["logits"])
    model.graph.node[-1].output[0] = "sum"
    for node in reversed(first):
        model.graph.node.insert(0, node)
    model.graph.node.append(last)
    onnx.save_model(model, path)
    text = card(content_hash=format_onnx.content_hash(path)).model_dump_json()
    format_onnx.write_card(path, text)
    return path


def picture(height: int) -> bytes:
    from PIL import Image

    return saved(Image.fromarray(np.full((height, 20, 3), (20, 20, 200), np.uint8)), "PNG")


def process_of(path: Path) -> int | None:
    """The process that has a model loaded, None where there is none."""
    for found in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"{path}\0".encode() in found.read_bytes():
                return int(found.parent.name)
        except OSError:  # it has ended
            continue
    return None


def test_a_picture_that_takes_too_long_costs_only_itself(tmp_path):
    service = Service(hanging(tmp_path / "model.onnx", 13), "cpu", 2.0)
    try:
        assert service.ask("file", picture(20)).top[0][0] == "blue"
        begun = time.monotonic()
        with refused("model-late", "2 seconds", "--time-limit", kind=ArtifactError):
            service.ask("file", picture(13))
        assert time.monotonic() - begun < 10
        assert service.ask("file", picture(20)).top[0][0] == "blue"
    finally:
        service.close()


def test_a_picture_that_is_being_answered_counts_for_those_that_wait(tmp_path):
    service = Service(hanging(tmp_path / "model.onnx", 13), "cpu", 4.0)
    try:
        service.ask("file", picture(20))
        before = service.expected_seconds
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(service.ask, "file", picture(13))
            assert wait_until(lambda: service.expected_seconds > before + 1, 20)
            with refused("model-late", kind=ArtifactError):
                late.result()
        assert service.expected_seconds < before + 1
    finally:
        service.close()


def test_where_a_model_looks_comes_from_its_process(tmp_path):
    shares: list[float] = []
    with loaded([onnx_artifact(tmp_path / "model.onnx")]) as (model,):
        label, view = model.service.look("file", files()["png"], lambda share: shares.append(share) or True)
        assert label == model.service.ask("file", files()["png"]).top[0][0]
        assert shares == sorted(shares)
        assert (len(shares), shares[-1]) == (4, 1)
        with refused("heat-map-stopped"):
            model.service.look("file", files()["png"], lambda share: share < 0.5)
        assert read_picture(view).shape == (224, 224, 3)
        with pytest.raises(DataError):
            model.service.look("file", b"no picture")


@pytest.mark.parametrize("slow", ["each", "several"])
def test_a_heat_map_that_would_take_too_long_is_refused_before_the_process_is_ended(slow):
    def runtime(images):
        if len(images) > 1 or slow == "each":
            time.sleep(0.01 * len(images))
        return images.mean((1, 2), dtype=np.float32)

    predictor = Predictor(card(), runtime)
    start = time.monotonic()
    with refused("heat-map-late", kind=ArtifactError):
        look(predictor, "file", files()["png"], 0.5)
    assert time.monotonic() - start < 0.5


def test_a_large_picture_is_read_once_so_its_heat_map_is_not_expected_to_take_long(monkeypatch):
    def slow(*_):
        time.sleep(0.1)
        return np.zeros((300, 400, 3), np.uint8)

    monkeypatch.setattr(worker, "_picture", slow)
    predictor = Predictor(card(), lambda images: images.mean((1, 2), dtype=np.float32))
    said, _ = look(predictor, "file", b"", 2.0)
    assert said["label"] in predictor.classes
    with refused("heat-map-late", kind=ArtifactError):
        look(predictor, "file", b"", 0.1)


def test_a_process_that_dies_is_replaced(tmp_path):
    path = onnx_artifact(tmp_path / "model.onnx")
    service = Service(path, "cpu", 30.0)
    try:
        os.kill(process_of(path), signal.SIGKILL)
        with refused("model-ended", kind=ArtifactError):
            service.ask("file", picture(20))
        assert service.ask("file", picture(20)).top[0][0] == "blue"
    finally:
        service.close()


def test_a_process_outlives_the_thread_that_started_it(tmp_path):
    # Linux would end the child with that thread, and a server's threads come and go.
    path = onnx_artifact(tmp_path / "model.onnx")
    with ThreadPoolExecutor(1) as pool:
        service = pool.submit(Service, path, "cpu", 30.0).result()
    try:
        first = process_of(path)
        assert first
        time.sleep(0.5)
        assert service.ask("file", picture(20)).top[0][0] == "blue"
        assert process_of(path) == first
    finally:
        service.close()


def test_a_process_that_keeps_memory_is_replaced_when_it_is_quiet(tmp_path, monkeypatch):
    from zoo_demo import service as module

    monkeypatch.setattr(module, "GROWTH", 0)
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.1)
    path = onnx_artifact(tmp_path / "model.onnx")
    service = Service(path, "cpu", 30.0)
    try:
        first = process_of(path)
        assert service.ask("file", picture(20)).top[0][0] == "blue"
        assert wait_until(lambda: process_of(path) not in (None, first), 20)
        assert service.ask("file", picture(20)).top[0][0] == "blue"
    finally:
        service.close()


def test_a_model_that_never_answers_is_not_served(tmp_path):
    path = hanging(tmp_path / "model.onnx", 28)  # its first picture, of the network's own size
    with refused("model-late", "2 seconds", kind=ArtifactError):
        Service(path, "cpu", 1.0)


@pytest.mark.slow
def test_a_model_that_takes_all_memory_gets_a_part_of_it(tmp_path):
    from ..attacks.artifacts import ARTIFACTS

    ARTIFACTS["doubles-40-times.onnx"].build(tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match=r"memory|process ended"):
        Service(tmp_path / "model.onnx", "cpu", 30.0)


def test_no_process_is_left_of_a_demo_that_is_killed(tmp_path):
    with demo(hanging(tmp_path / "model.onnx", 13), tmp_path) as site:
        with site.client() as client:
            path = upload(client, picture(13))
            client.post("gradio_api/call/predict", json={"data": [{"path": path}, "colours (onnx)"]})
        end(site, signal.SIGKILL)


def end(site, how) -> None:
    """Ends a demo whose model is in its loop, or will be in a second: the model's process ends too."""
    pids = site.pids()
    assert len(pids) == 2
    time.sleep(1)
    site.process.send_signal(how)
    assert wait_until(lambda: not any(map(alive, pids[1:])), 10)
    site.process.wait(15)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ask_often(site, requests: int, clients: int) -> list[str]:
    """What became of each request: `answered`, `retry` with a sentence and a time, or what else there was."""
    data = files()["png"]

    def visit(number: int) -> list[str]:
        found = []
        with site.client() as client:
            path = upload(client, data)
            for _ in range(requests // clients):
                body = {"data": [{"path": path}, "colours (onnx)"]}
                response = client.post("gradio_api/call/predict", json=body)
                if response.status_code == 503:
                    busy = "Try again in" in response.json()["detail"] and int(response.headers["retry-after"]) > 0
                    found.append("retry" if busy else response.text)
                    continue
                text = client.get(f"gradio_api/call/predict/{response.json()['event_id']}").text
                found.append("answered" if '"label": "red"' in text else text)
        return found

    with ThreadPoolExecutor(clients) as pool:
        return [result for results in pool.map(visit, range(clients)) for result in results]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A demo for several tests."""
    folder = tmp_path_factory.mktemp("shared")
    with demo(onnx_artifact(folder / "model.onnx"), folder) as site:
        yield site


@pytest.mark.parametrize(
    ("requests", "clients"), [(100, 20), pytest.param(1000, 50, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_class_gets_answers(shared, requests, clients):
    found = ask_often(shared, requests, clients)
    assert set(found) == {"answered"}
    assert shared.lines() == [] or max(map(len, shared.lines())) < 250


def test_a_demo_that_is_busy_says_when_to_come_back_and_leaves_nothing_when_it_ends(tmp_path):
    with demo(hanging(tmp_path / "model.onnx", 13), tmp_path) as site, site.client() as client:
        body = {"data": [{"path": upload(client, picture(13))}, "colours (onnx)"]}
        answers = [client.post("gradio_api/call/predict", json=body) for _ in range(limits.MAX_WAITING + 3)]
        codes = [answer.status_code for answer in answers]
        assert (codes[0], codes[-1]) == (200, 503)
        assert re.match(
            r"The demo is busy: \d+ pictures wait .* Try again in \d+ seconds\.", answers[-1].json()["detail"]
        )
        assert 1 <= int(answers[-1].headers["retry-after"]) <= limits.MAX_WAIT_SECONDS
        end(site, signal.SIGTERM)
        assert not list((tmp_path / "tmp").iterdir())


def test_an_interrupted_upload_leaves_nothing(shared):
    def stored() -> set[Path]:
        return set(shared.uploads.glob("*/picture*")) - before

    before = set(shared.uploads.glob("*/picture*"))
    lines = shared.lines()
    port = int(shared.url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = (
            "POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'
        )
        connection.sendall(head.encode() + bytes(1_000_000))
        assert wait_until(stored, 10)
    assert wait_until(lambda: not stored(), 10)
    assert shared.lines() == lines


@pytest.mark.slow
def test_connections_that_ask_nothing_are_closed(tmp_path):
    with demo(onnx_artifact(tmp_path / "model.onnx"), tmp_path) as site, ExitStack() as stack:
        port = int(site.url.rstrip("/").rpartition(":")[2])
        silent, begun = (stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(2))
        begun.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        for connection in (silent, begun):
            connection.settimeout(2.5 * limits.SILENT_SECONDS)
            assert connection.recv(1) == b""
