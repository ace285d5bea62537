"""A plugin in one file: how it is loaded, and what is refused."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys

import pytest

import zoo
from zoo.errors import PluginError, UsageError
from zoo.recipes.place import with_files
from zoo.recipes.recipe import Recipe
from zoo.registry import Registry
from zoo.registry.plugin_file import VARIABLE

from ..plugin_files import SOURCE, write_plugin
from ..refusals import refused


@pytest.fixture
def host(monkeypatch) -> Registry:
    """A registry of its own, whose files no other test finds."""
    monkeypatch.setenv(VARIABLE, "")
    own = Registry()
    monkeypatch.setattr("zoo.registry.registry", lambda: own)
    return own


def test_a_file_registers_what_its_hooks_return(host, tmp_path):
    path = write_plugin(tmp_path)
    file = host.add_file(path)
    assert (file.name, file.path) == ("my_zoo.py", str(path))
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    entry = host.backbone("mine")
    assert (entry.name, entry.distribution, entry.version) == ("mine", "my_zoo.py", f"sha256:{file.sha256[:12]}")
    assert host.backbone("my_zoo.py:mine").spec is entry.spec
    (status,) = [each for each in host.plugins() if each.plugin.file]
    assert (status.state, status.registers["backbones"]) == ("loaded", ["mine"])
    assert host.added_file("my_zoo.py") == file
    assert not (tmp_path / "__pycache__").exists()


def test_python_takes_the_path_too(host, tmp_path, monkeypatch):
    write_plugin(tmp_path)
    monkeypatch.chdir(tmp_path)
    zoo.register("my_zoo.py")
    assert "mine" in zoo.backbones()


def test_a_changed_file_replaces_itself_and_a_same_one_is_not_run_again(host, tmp_path):
    count = "\nfrom pathlib import Path\nwith open(__file__ + '.ran', 'a') as file:\n    file.write('x')\n"
    path = write_plugin(tmp_path, SOURCE + count)
    for _ in range(2):
        host.add_file(path)
    assert (tmp_path / "my_zoo.py.ran").read_text() == "x"
    path.write_text(SOURCE.replace("min_image_size=8", "min_image_size=9"))
    host.add_file(path)
    assert host.backbone("mine").spec.min_image_size == 9
    assert len([each for each in host.plugins() if each.plugin.file]) == 1


def test_two_files_of_one_name_do_not_meet(host, tmp_path):
    first = write_plugin(tmp_path / "a")
    other = write_plugin(tmp_path / "b", SOURCE.replace("min_image_size=8", "min_image_size=9"))
    build = {}
    for path in (first, other):
        host.add_file(path)
        build[path] = host.backbone("mine").spec.build
    assert host.backbone("mine").spec.min_image_size == 9
    assert build[first].__module__ != build[other].__module__
    assert [pickle.loads(pickle.dumps(each)) for each in build.values()] == list(build.values())


FAULTS = {
    "def f(:": "SyntaxError",
    "raise RuntimeError('no such thing')": "importing it raised RuntimeError: no such thing",
    "raise SystemExit(3)": "SystemExit",
    "x = 1": "it implements no hook",
    SOURCE.replace("@hookimpl", ""): "zoo_backbones is not marked",
    SOURCE.replace("zoo_backbones", "zoo_backbone"): "Did you mean zoo_backbones?",
    SOURCE.replace('head="1"', 'head=""'): "head=''",
    SOURCE.replace("yield", "return"): "returned a BackboneSpec",
    SOURCE + "\n@hookimpl\ndef zoo_commands(app): pass": "only an installed plugin can add commands",
}


@pytest.mark.parametrize("source", FAULTS)
def test_a_faulty_file_is_refused_and_leaves_the_earlier_one(host, tmp_path, source):
    host.add_file(write_plugin(tmp_path))
    modules = set(sys.modules)
    path = write_plugin(tmp_path / "other", source)
    with refused("faulty-plugin-file", path, FAULTS[source], kind=PluginError):
        host.add_file(path)
    assert host.backbone("mine").spec.head == "1"
    assert os.environ[VARIABLE] == str(tmp_path / "my_zoo.py")
    if "SystemExit" in source:
        assert set(sys.modules) == modules


def test_ctrl_c_in_a_file_is_no_fault(host, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        host.add_file(write_plugin(tmp_path, "raise KeyboardInterrupt"))


def test_what_is_no_python_file_is_refused(host, tmp_path):
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "notes.txt").write_text(SOURCE)
    with refused("missing-plugin-file", tmp_path / "absent.py", kind=UsageError):
        host.add_file(tmp_path / "absent.py")
    with refused("missing-plugin-file", "folder.py"):
        host.add_file(tmp_path / "folder.py")
    with refused("no-plugin-file", "notes.txt"):
        host.add_file(tmp_path / "notes.txt")


def test_a_file_that_registers_more_by_itself_does_not_hang(host, tmp_path):
    line = "import zoo\nzoo.register(BackboneSpec(name='more', build=build, head='1', stages=print))\n"
    host.add_file(write_plugin(tmp_path, SOURCE + line))
    assert host.backbone("more").distribution == "this process"


def test_no_built_in_is_replaced(host, tmp_path):
    host.add_file(write_plugin(tmp_path, SOURCE.replace('"mine"', '"resnet18"')))
    assert host.backbone("resnet18").builtin
    assert host.backbone("my_zoo.py:resnet18").spec.min_image_size == 8


def test_processes_that_this_one_starts_find_it(host, tmp_path):
    host.add_file(write_plugin(tmp_path))
    code = "from zoo.registry import registry; print(registry().backbone('mine').spec.min_image_size)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "8\n"
    (tmp_path / "my_zoo.py").unlink()
    assert "mine" not in [each.name for each in Registry().backbones()]


def test_nothing_is_imported_from_the_working_folder_unasked(tmp_path):
    for name in ("my_zoo.py", "zoo_plugin.py", "conftest.py", "plugins.py"):
        write_plugin(tmp_path, "from pathlib import Path\nPath(__file__ + '.ran').touch()\n", name)
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    for command, ends in ((["list", "backbones"], 0), (["plugins"], 0), (["info", "mine"], 2)):
        code = f"import sys; sys.argv = ['zoo', *{command}]; from zoo.cli import main; main()"
        run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)
        assert run.returncode == ends
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".ran") == []


def test_a_recipe_names_files_from_its_own_folder(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "recipe.toml"
    for written in ('["my_zoo.py", "/abs/b.py"]', '["./my_zoo.py", "/abs/b.py"]'):
        file.write_text(f'backbone = "mine"\ndataset = "d"\nplugins = {written}\n')
        recipe = Recipe.make(**Recipe.read(file))
        assert recipe.plugins == (str(tmp_path / "sub" / "my_zoo.py"), "/abs/b.py")
    file.write_text('backbone = "mine"\ndataset = "d"\nplugins = "my_zoo.py"\n')
    assert Recipe.make(**Recipe.read(file)).plugins == (str(tmp_path / "sub" / "my_zoo.py"),)
    assert Recipe.make(backbone="a", dataset="b", plugins=[tmp_path / "x.py"]).plugins == (str(tmp_path / "x.py"),)
    assert "plugins" not in Recipe.make(backbone="a", dataset="b").options()
    with refused("impossible-option", "plugins"):
        Recipe.make(backbone="a", dataset="b", plugins=3)
    assert with_files(["/a/x.py", "/a/y.py"], ["/b/x.py"]) == ("/a/y.py", "/b/x.py")
