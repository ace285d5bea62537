"""`zoo_demo`: the page's server, what reaches the model, and what a visitor is told."""

from __future__ import annotations

import hashlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.artifacts.card import DatasetCard
from zoo.artifacts.predictor import Predictor
from zoo.errors import DataError, UnreadablePictureError, UsageError, ZooError
from zoo.images import read_picture
from zoo.specs import PreprocessSpec
from zoo.transforms.view import model_view
from zoo_demo.card_html import describe, unavailable
from zoo_demo.limits import MAX_UPLOAD_BYTES
from zoo_demo.models import LeftOut, artifacts_in, loaded, newest_artifact
from zoo_demo.server import free_port
from zoo_demo.uploads import too_large

from ..refusals import refused
from .demo_server import NASTY, card, means

gradio_client = pytest.importorskip("gradio_client", reason="the demo extra is not installed")
httpx = pytest.importorskip("httpx", reason="the demo extra is not installed")

ROOT = Path(__file__).parents[2]


def onnx_artifact(path: Path, precision="fp32") -> Path:
    """`means` as an ONNX file with a card."""
    from onnx import TensorProto, helper, save_model

    from zoo_exporters import onnx as format_onnx

    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("Div", ["means", "scale"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("scale", TensorProto.FLOAT, [], [25.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save_model(model, path)
    text = card(content_hash=format_onnx.content_hash(path), precision=precision).model_dump_json()
    format_onnx.write_card(path, text)
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "log"


@pytest.fixture(scope="module")
def site(log):
    """The address of the page that `demo_server.py` serves."""
    # A proxy in the environment must not come between the server and itself.
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9"}
    with started([sys.executable, "-m", "tests.demo.demo_server", str(log)], **proxy) as process:
        yield process.stdout.readline().strip()


@contextmanager
def started(command, **environment):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, cwd=ROOT, env=os.environ | environment) as process:
        try:
            yield process
        finally:
            process.terminate()  # not kill: its temporary folder goes with it


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    client = gradio_client.Client(site, verbose=False, download_files=str(tmp_path_factory.mktemp("down")))
    yield client
    client.close()


def files() -> dict[str, bytes]:
    """One picture as many files: a gradient, mostly red."""
    rows, columns = np.indices((40, 60))
    rgb = np.stack([rows * 3 + 130, columns * 2, rows + columns], 2).astype(np.uint8)
    picture = Image.fromarray(rgb)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "png": saved(picture, "PNG"),
        "jpg": saved(picture, "JPEG", exif=exif, comment=b"kept"),
        "cmyk.jpg": saved(picture.convert("CMYK"), "JPEG"),
        "16.png": saved(Image.fromarray((rows * 1000).astype(np.uint16)), "PNG"),
        "palette.png": saved(picture.quantize(16), "PNG"),
        "webp": saved(picture, "WEBP", exif=exif),
        "gif": saved(picture, "GIF", save_all=True, append_images=[picture.rotate(180)]),
        "rgba.png": saved(picture.convert("RGBA").rotate(30), "PNG"),
        "tiff": saved(picture, "TIFF"),
    }


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(("suffix", "data"), files().items(), ids=files())
def test_the_bytes_of_an_upload_reach_the_decoder_untouched(client, log, tmp_path, suffix, data):
    (tmp_path / f"picture.{suffix}").write_bytes(data)
    answer = client.predict(gradio_client.handle_file(tmp_path / f"picture.{suffix}"), api_name="/predict")
    assert log.read_text().splitlines()[-1] == hashlib.sha256(data).hexdigest()
    (want,) = Predictor(card(), means).predict([data], 3)
    assert [(c["label"], c["confidence"]) for c in answer[0]["confidences"]] == [
        (label, pytest.approx(probability)) for label, probability in want.top
    ]


def test_predict_answers_with_a_label_first(client, tmp_path):
    (tmp_path / "x.png").write_bytes(files()["png"])
    label, seen = client.predict(gradio_client.handle_file(tmp_path / "x.png"), api_name="/predict")
    assert set(label) == {"label", "confidences"}
    assert label["label"] == "red"
    assert sum(c["confidence"] for c in label["confidences"]) == pytest.approx(1)
    assert "28 by 28 pixels, from 60 by 40" in seen
    assert re.search(r"answered in \d+\.\d ms", seen)


def test_the_second_model_can_be_asked_and_an_unknown_one_not(client, tmp_path):
    (tmp_path / "x.png").write_bytes(files()["png"])
    picture = gradio_client.handle_file(tmp_path / "x.png")
    assert client.predict(picture, NASTY, api_name="/predict")[0]["label"] == NASTY
    with pytest.raises(gradio_client.exceptions.AppError, match="This model does not exist"):
        client.predict(picture, "other", api_name="/predict")


@pytest.mark.parametrize(
    "data", [b"", b"<b>not a picture</b>", files()["png"][:100]], ids=["empty", "text", "truncated"]
)
def test_an_unreadable_file_gets_a_plain_sentence(client, tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(gradio_client.exceptions.AppError) as caught:
        client.predict(gradio_client.handle_file(tmp_path / "x.png"), api_name="/predict")
    message = str(caught.value)
    with pytest.raises(UnreadablePictureError) as decoded:
        read_picture(data)
    assert decoded.value.cause in message
    assert "<" not in message
    assert "/" not in message.replace("and/or", "")


def test_an_error_is_shown_as_text():
    pytest.importorskip("gradio", reason="the demo extra is not installed")
    from zoo_demo.told import shown_error

    assert shown_error(DataError("It's <b>.", "Go.")).message == "It's &lt;b&gt;. Go."


def test_no_picture_is_asked_for(client):
    with pytest.raises(gradio_client.exceptions.AppError, match="Choose a picture first"):
        client.predict(None, api_name="/predict")


def test_a_drawing_is_classified_and_an_empty_pad_is_not(client):
    label, seen = client.predict("[[[0.3, 0.2], [0.5, 0.8]]]", api_name="/draw")
    assert len(label["confidences"]) == 3
    assert "28 by 28 pixels." in seen
    with pytest.raises(gradio_client.exceptions.AppError, match="Nothing was given to look at"):
        client.predict("[]", api_name="/draw")


def test_a_file_of_the_server_cannot_be_classified(site, tmp_path):
    (tmp_path / "secret.png").write_bytes(files()["png"])
    body = {"data": [{"path": str(tmp_path / "secret.png"), "meta": {"_type": "gradio.FileData"}}, "colours"]}
    with httpx.Client(base_url=site, trust_env=False) as http:
        event = http.post("gradio_api/call/predict", json=body).json()["event_id"]
        answer = http.get(f"gradio_api/call/predict/{event}").text
    assert answer.startswith("event: error")
    assert "secret" not in answer


def test_a_file_that_is_too_large_is_refused(site):
    with httpx.Client(base_url=site, trust_env=False) as http:
        large = http.post("gradio_api/upload", files={"files": ("x.png", bytes(MAX_UPLOAD_BYTES + 1))})
        small = http.post("gradio_api/upload", files={"files": ("x.png", bytes(500_000))})
    assert (large.status_code, small.status_code) == (413, 200)
    assert large.json()["detail"] == str(too_large())
    assert "64 MB" in large.json()["detail"]


def test_the_page_asks_for_nothing_outside(site):
    with httpx.Client(base_url=site, trust_env=False) as http:
        page = http.get("").text
        config = http.get("config").json()
        theme = http.get("theme.css").text
    assert config["analytics_enabled"] is False
    assert not re.findall(r"https?://", str(config["stylesheets"]))
    assert not re.findall(r"(?:src|href)=[\"']?https?://", page)
    assert not re.findall(r"url\([\"']?https?://|@import", theme)


def test_an_untrusted_card_is_escaped():
    names = dict.fromkeys(("name", "format", "created", "backbone", "backbone_plugin", "weights"), NASTY)
    dataset = DatasetCard(name=NASTY, source=NASTY, notes=(NASTY,))
    html = describe(
        card(**names, classes=(NASTY, NASTY + "2"), dataset=dataset, metrics={"top1": NASTY}, metrics_split=NASTY)
    )
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;$") >= 10


@pytest.mark.parametrize("value", [True, float("nan"), 10**400, "<b>", None, [1]], ids=lambda value: repr(value)[:9])
def test_figures_that_are_none_are_unknown(value):
    odd = card().model_copy(update={"metrics": dict.fromkeys(("top1", "loss"), value), "parity": {"max": value}})
    html = describe(odd)
    assert "unknown accuracy on the pictures of the test split" in html
    assert "differ by at most unknown of their spread" in html


def test_a_converted_file_is_not_said_to_answer_as_the_network():
    assert "98.71% accuracy on 1,234 pictures of the test split. The exported file answers as" in describe(card())
    small = describe(card(precision="int8"))
    assert "before the network was converted to int8. The file&#x27;s answers differ slightly." in small
    assert "answers as the trained network does" not in small


def test_the_card_is_told_in_figures():
    html = describe(card(classes=tuple(str(i) for i in range(100))))
    assert "100 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 88 more." in html
    assert "98.71% accuracy on 1,234 pictures of the test split" in html
    assert "logits differ by at most 1.2e-06 of their spread, 100.00% get the same class, on 300 pictures" in html


@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("channels", ["rgb", "grey"])
@pytest.mark.parametrize("shape", [(40, 61), (7, 200), (1, 1)])
def test_the_view_is_what_the_model_sees(resize, channels, shape):
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    from zoo.transforms.preprocess import Preprocess

    spec = PreprocessSpec(
        image_size=24, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), resize=resize, crop_fraction=0.875, channels=channels
    )
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    seen = 255 * Preprocess(spec)(torch.from_numpy(picture)[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(model_view(picture, spec) - seen).max() <= 2


def test_a_port_in_use_is_left_to_its_owner(monkeypatch):
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        taken = owner.getsockname()[1]
        with refused("port-in-use", taken, "--port", kind=UsageError):
            free_port("127.0.0.1", taken)
        monkeypatch.setattr("zoo_demo.server.FIRST_PORT", taken)
        assert taken < free_port("127.0.0.1", None) < taken + 100


def test_an_address_that_is_not_this_machines_is_refused():
    with refused("host-unavailable", "192.0.2.1", "7860", "--host", kind=UsageError):
        free_port("192.0.2.1", 7860)


def test_the_newest_runs_onnx_file_is_shown(trained, tmp_path):
    for name, created in (
        ("old", "2026-01-01T00:00:00"),
        ("new", "2026-02-01T00:00:00"),
        ("bare", "2026-03-01T00:00:00"),
    ):
        folder = tmp_path / name / "export"
        folder.mkdir(parents=True)
        (tmp_path / name / "run.json").write_text(replace(trained.info, created=created).text())
        (tmp_path / name / "recipe.toml").write_text('backbone = "tiny"\ndataset = "mnist"\n')
        for file in ("model.txt",) if name == "bare" else ("model.onnx", "model.pt"):
            (folder / file).touch()
    assert newest_artifact(tmp_path) == tmp_path / "new" / "export" / "model.onnx"
    (tmp_path / "new" / "export" / "model.onnx").unlink()
    assert newest_artifact(tmp_path) == tmp_path / "new" / "export" / "model.pt"


def test_without_an_exported_model_there_is_a_remedy(tmp_path, monkeypatch):
    import typer

    from zoo_demo.plugin import zoo_commands

    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    zoo_commands(app)
    result = CliRunner().invoke(app, [])
    assert isinstance(result.exception, UsageError)
    assert "`zoo train resnet18 mnist` and `zoo export --onnx`" in result.exception.remedy


def test_models_of_one_name_are_told_apart(tmp_path):
    path = onnx_artifact(tmp_path / "model.onnx")
    with loaded([path] * 3) as models:
        assert [model.title for model in models] == ["colours (onnx)", "colours (onnx), 2", "colours (onnx), 3"]
    small = onnx_artifact(tmp_path / "int8.onnx", precision="int8")
    with loaded([path, small]) as models:
        assert [model.title for model in models] == ["colours (onnx)", "colours (onnx, int8)"]


def test_a_folder_shows_its_artifacts_and_names_the_others(tmp_path, monkeypatch):
    from zoo_demo import models as module

    folder = tmp_path / "exports"
    (folder / "old").mkdir(parents=True)
    old = onnx_artifact(folder / "old" / "old.onnx")
    new = onnx_artifact(folder / "new.onnx")
    os.utime(old, (1e9, 1e9))
    damaged = folder / "damaged.onnx"
    damaged.write_bytes(new.read_bytes()[:-1])
    os.utime(damaged, (1.5e9, 1.5e9))
    foreign = folder / "foreign.pt"
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("weights/data.pkl", b"")
    (folder / "notes.txt").touch()
    (folder / ".cache").mkdir()
    (folder / ".cache" / "hidden.onnx").write_bytes(new.read_bytes())
    assert artifacts_in(folder) == [*sorted([new, foreign], key=lambda path: -path.stat().st_mtime), damaged, old]
    foreign.unlink()
    left_out: list[LeftOut] = []
    with loaded([folder], left_out=left_out) as models:
        assert len(models) == 2
    (one,) = left_out
    assert one.file == str(damaged) and "damaged.onnx" in one.reason and str(folder) not in one.reason
    shown = unavailable([LeftOut("/x/<b>.onnx", "It needs <i>more</i>. Install it."), one])
    assert "&lt;b&gt;.onnx: It needs &lt;i&gt;more" in shown and "2 files not shown" in shown and "<b>" not in shown
    for taken in (None, []):
        with pytest.raises(ZooError), loaded([damaged], left_out=taken):
            pass
    monkeypatch.setattr(module, "MAX_MODELS", 1)
    left_out = []
    with loaded([folder], left_out=left_out) as models:
        assert len(models) == 1
    assert [each.file for each in left_out] == [str(damaged), str(old)]


def test_a_folder_without_artifacts_has_a_remedy(tmp_path):
    (tmp_path / "notes.txt").touch()
    with refused("no-exported-model", str(tmp_path), "zoo export", kind=UsageError), loaded([tmp_path]):
        pass


def test_zoo_demo_serves_an_onnx_file_without_torch_and_ends_with_ctrl_c(tmp_path):
    path = onnx_artifact(tmp_path / "model.onnx")
    (tmp_path / "tmp").mkdir()
    program = (
        "import atexit, sys; atexit.register(lambda: print(sorted({'torch', 'onnx'} & sys.modules.keys())));"
        "from zoo.cli import main; main()"
    )
    with started([sys.executable, "-c", program, "demo", str(path)], TMPDIR=str(tmp_path / "tmp")) as process:
        url = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        (tmp_path / "x.png").write_bytes(files()["png"])
        client = gradio_client.Client(url, verbose=False)
        picture = gradio_client.handle_file(tmp_path / "x.png")
        assert client.predict(picture, api_name="/predict")[0]["label"] == "red"
        assert list((tmp_path / "tmp").glob("zoo-demo-*/*/picture.png"))
        client.close()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "[]\n")
    assert err.strip() == "The demo has ended."
    assert not list((tmp_path / "tmp").iterdir())
