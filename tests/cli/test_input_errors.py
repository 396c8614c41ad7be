import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import small_runs
from support.marks import more
from support.small_runs import QUICK, assert_input_error, entries, pictures, without_certificate

from pcacam_jax.core.checks import InputError
from pcacam_jax.fitting import features, training
from pcacam_jax.nets import vgg16, weights
from pcacam_jax.reports import figures
from pcacam_jax.runs import make_run
from pcacam_jax.runs.run import load

pytestmark = [
    pytest.mark.filterwarnings("ignore:the CNN's macro F1"),  # after the three epochs of QUICK
    pytest.mark.filterwarnings("ignore:there are fewer than 5 test images"),
]


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--targets", "svm"], "target 'svm' names no output"),
        (["--targets", "cnn:cat"], "target 'cnn:cat' names no entry"),
        (["--targets", "pca:3"], "target 'pca:3' names no entry"),
        (["--method", "magic"], "method must be one of"),
        (["--backend", "magic"], "backend must be one of"),
    ],
)
def test_explain_rejects_unknown_names(pcacam, run, images, small_world, arguments, pattern):
    before = entries(run)
    assert_input_error(pcacam("explain", run, images["grey"], *arguments), pattern)
    assert entries(run) == before


def test_explain_rejects_bad_images(pcacam, run, images, tmp_path, small_world):
    before = entries(run)
    assert_input_error(pcacam("explain", run), "give at least one image file")
    assert_input_error(pcacam("explain", run, images["grey"], images["corrupt"]), "corrupt.png cannot be decoded")
    assert_input_error(pcacam("explain", run, tmp_path / "gone.png"), "there is none at this path")
    Image.fromarray(np.zeros((20, 40), np.uint8)).save(tmp_path / "tiny.png")
    assert_input_error(
        pcacam("explain", run, tmp_path / "tiny.png"), "tiny.png must be at least 28 x 28 pixels; got 40 x 20"
    )
    (tmp_path / "other").mkdir()
    assert_input_error(pcacam("explain", run, tmp_path / "other"), "must hold images .*, but has none")
    twin = shutil.copy(images["grey"], tmp_path / "other" / "grey.jpg")
    assert_input_error(pcacam("explain", run, images["grey"], twin), "would overwrite each other")
    assert entries(run) == before


def test_explain_rejects_other_weights_before_it_writes(pcacam, run, images, small_params, monkeypatch):
    layer = small_params["block1_conv1"]
    altered = {**small_params, "block1_conv1": {**layer, "bias": layer["bias"] + 1}}
    monkeypatch.setattr(weights, "load", lambda path=None: altered)
    before = entries(run)
    assert_input_error(pcacam("explain", run, images["grey"]), "fitted with VGG16 weights of digest")
    assert entries(run) == before


def test_folders_that_are_not_writable_are_rejected(pcacam, run, images, data, tmp_path, small_world, monkeypatch):
    monkeypatch.setattr(make_run, "fit", lambda *_, **__: pytest.fail("fitting was started"))
    file = tmp_path / "file"
    file.touch()
    for out in (file, file / "out", "/proc/out"):
        assert_input_error(pcacam("fit", "--data", data, "--out", out, *QUICK), "(is a file|cannot be written to)")
        assert_input_error(pcacam("demo", "--out", out), "(is a file|cannot be written to)")
        assert_input_error(pcacam("explain", run, images["grey"], "--out", out), "cannot be written to")
    assert_input_error(pcacam("verify", "--out", tmp_path), "is a folder")
    assert_input_error(pcacam("verify", "--out", file / "certificate.json"), "cannot be written to")


def test_a_folder_with_other_files_is_not_replaced(pcacam, data, run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    (other / "thesis.tex").touch()
    assert_input_error(pcacam("fit", "--data", data, "--out", other, *QUICK), r"thesis\.tex")
    (run / "notes.txt").touch()
    assert_input_error(pcacam("demo", "--out", run), r"notes\.txt")
    assert entries(other) == {"config.json", "thesis.tex"}
    assert load(run)


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--size", "31"], "size must be at least 32"),
        (["--learning-rate", "nan"], "learning_rate must be positive and finite"),
        (["--epochs", "-3"], "epochs must be positive"),
        (["--tap", "block1_pool"], "tap must be one of"),
        (["--components", "9"], "components must lie in 1 to 6"),
    ],
)
def test_fit_rejects_bad_values(pcacam, data, tmp_path, arguments, pattern):
    assert_input_error(pcacam("fit", "--data", data, "--out", tmp_path / "out", *QUICK, *arguments), pattern)
    assert entries(tmp_path) == {"data.npz"}


@pytest.mark.parametrize("weights_file", [b"", b"not a weights file"])
def test_fit_rejects_bad_weights(pcacam, data, tmp_path, weights_file):
    path = tmp_path / "vgg.safetensors"
    path.write_bytes(weights_file)
    assert_input_error(
        pcacam("fit", "--data", data, "--out", tmp_path / "out", *QUICK, "--weights", path), "vgg.safetensors"
    )
    assert entries(tmp_path) == {"data.npz", "vgg.safetensors"}


def test_fit_rejects_bad_data(pcacam, images, tmp_path, small_world):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    assert_input_error(pcacam("fit", "--data", tmp_path / "empty", "--out", out, *QUICK), "is empty")
    assert_input_error(pcacam("fit", "--data", tmp_path / "gone", "--out", out, *QUICK), "does not exist")
    few = tmp_path / "few.npz"
    np.savez(few, images=pictures(2, 0)[0][:5], labels=[0, 0, 1, 1, 1])
    assert_input_error(pcacam("fit", "--data", few, "--out", out, *QUICK), "give more images of each class")
    assert not out.exists()
    assert not [name for name in entries(tmp_path) if name.startswith(".")]


def test_fit_rejects_a_corrupt_image_among_good_ones(pcacam, images, tmp_path, small_world):
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for i in range(9):
                shutil.copy(images["grey"], tmp_path / "photos" / part / name / f"{i}.png")
    shutil.copy(images["corrupt"], tmp_path / "photos" / "test" / "b" / "4.png")
    code, out, err = pcacam("fit", "--data", tmp_path / "photos", "--out", tmp_path / "out", *QUICK)
    assert (code, out) == (2, "")
    assert re.search(r"(^|\n)pcacam: the image .*test/b/4\.png cannot be decoded .*\.\n$", err)
    assert not [name for name in entries(tmp_path) if name.startswith((".", "out"))]


FULL = (OSError(28, "No space left on device"), 2, "No space left on device; no incomplete files were left behind.\n")
INTERRUPTED = (KeyboardInterrupt, 130, "pcacam: interrupted; no incomplete files were left behind.\n")


@pytest.mark.parametrize(
    ("place", "error", "code", "sentence"),
    [
        ((training, "_steps"), *INTERRUPTED),
        more((make_run, "write_json"), *FULL),
        more((features, "extract"), *INTERRUPTED),
        more((figures, "grid"), *INTERRUPTED),
        more((make_run, "write_json"), *INTERRUPTED),
        more((figures, "grid"), InputError("it failed."), 2, "pcacam: it failed.\n"),
    ],
)
def test_an_early_end_leaves_no_incomplete_files(
    pcacam, data, tmp_path, small_params, monkeypatch, place, error, code, sentence
):
    def stop(*_, **__):
        raise error

    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "load", lambda path=None: small_params)
    if place[0] is not features:
        noise = np.random.default_rng(0).random
        monkeypatch.setattr(
            features,
            "extract",
            lambda params, images, **options: noise((len(images), *vgg16.maps_shape((32, 32), options["tap"]))),
        )
    without_certificate(monkeypatch)
    monkeypatch.setattr(*place, stop)
    result = pcacam("fit", "--data", data, "--out", tmp_path / "runs" / "out", *QUICK)
    assert result[0] == code
    assert result[1] == ""
    assert result[2].endswith(sentence)
    assert "Traceback" not in result[2]
    assert not list((tmp_path / "runs").iterdir())
    assert not [name for name in entries(tmp_path / "cache" / "features") if name.startswith(".")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), more(signal.SIGTERM, 143)])
def test_a_signal_during_the_extraction_leaves_no_incomplete_files(data, tmp_path, number, code):
    script = (
        "import os, signal, sys, time\n"
        # children of a background shell ignore interrupts
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.path.insert(0, {str(Path(small_runs.__file__).parents[1])!r})\n"
        "import numpy as np\n"
        "from pcacam_jax import cli\n"
        "from pcacam_jax.fitting import features\n"
        "from pcacam_jax.nets import weights\n"
        "weights.load = lambda path=None: {'layer': {'kernel': np.zeros(1, np.float32)}}\n"
        # another thread may receive the signal, so this one may continue for a moment
        f"features.extract = lambda *_, **__: (os.kill(os.getpid(), {int(number)}), time.sleep(60))\n"
        "cli.main()\n"
    )
    environment = {**os.environ, "PCACAM_CACHE": str(tmp_path / "cache")}
    arguments = ["fit", "--data", str(data), "--out", str(tmp_path / "runs" / "out"), *QUICK]
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "runs").iterdir())
    assert not list((tmp_path / "cache" / "features").glob("*/done"))  # no chunk was finished


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "model.safetensors", "verification_point.safetensors"])
def test_a_run_without_one_of_its_files_is_rejected(pcacam, run, images, name):
    (run / name).unlink()
    assert_input_error(pcacam("verify", run), f"lacks {name}")
    assert_input_error(pcacam("explain", run, images["grey"]), f"lacks {name}")


def test_verify_writes_a_missing_certificate_again(pcacam, run, images):
    (run / "verification.json").unlink()
    assert_input_error(pcacam("explain", run, images["grey"]), "lacks verification.json; make it with: pcacam verify")
    assert pcacam("verify", run)[0] == 0
    assert load(run)


def test_another_schema_is_rejected(pcacam, run):
    path = run / "config.json"
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 99'))
    assert_input_error(pcacam("verify", run), "schema version 99, but this version reads 1")


def test_verify_rejects_a_missing_run(pcacam, tmp_path):
    assert_input_error(pcacam("verify", tmp_path / "gone"), "does not exist; make one with: pcacam fit")


@pytest.mark.parametrize("arguments", [("fit",), ("fly",), ("demo", "--bogus"), ()])
def test_an_invalid_command_line_exits_with_2(pcacam, arguments):
    code, out, err = pcacam(*arguments)
    assert code == 2
    assert out == ""
    assert err
