"""The fixtures that the tests of plugins get."""

from __future__ import annotations

import gzip

import zoo


def test_pictures_in_each_form(zoo_folder, zoo_list_file, zoo_idx_folder, zoo_arrays):
    assert zoo.check(zoo_folder).errors == 0
    assert zoo_list_file.read_text().count("\n") == 121
    images = gzip.decompress((zoo_idx_folder / "train-images-idx3-ubyte.gz").read_bytes())
    assert len(images) == 16 + 120 * 24 * 24
    assert zoo_arrays["test"][0].shape == (18, 24, 24, 3)


def test_a_run_and_its_files(zoo_run, zoo_artifact, zoo_folder, artifacts_here):
    assert zoo_run.metrics["top1"] > 0.8
    for name in ("onnx", "torchscript"):
        predictor = zoo.load(zoo_artifact(name))
        assert predictor.predict([zoo_folder / "test/bar/000.png"])[0].label == "bar"
    assert zoo_artifact("onnx") == zoo_artifact("onnx")
