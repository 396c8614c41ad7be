"""Run folders: saved, loaded and verified again; missing, altered and foreign files raise an InputError."""

import dataclasses
import json
import shutil
import types

import jax
import numpy as np
import pytest
from PIL import Image
from support.small_runs import CLASSES, in_place, pictures, random_params

import pcacam_jax
from pcacam_jax.core import array_file
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.written import sealed
from pcacam_jax.nets import weights
from pcacam_jax.runs.make_run import RUN_FILES
from pcacam_jax.runs.run import load, save, verify_run
from pcacam_jax.serialization import store
from pcacam_jax.stages import Flatten

TARGETS = ["cnn:predicted", "svm_rbf:predicted", "svm_linear:left", "pca"]


@pytest.fixture
def copied(run_folder, tmp_path):
    return shutil.copytree(run_folder, tmp_path / "copied")


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_loaded_run_explains_like_the_fitted_one(fitted, run_folder, small_world):
    run = load(run_folder)
    images = fitted.dataset.test.images(slice(4, 9), 32)
    explained = run.explain(images, TARGETS)
    expected = pcacam_jax.explain(fitted.head, fitted.tap_maps["test"][4:9], TARGETS)
    assert explained.targets == expected.targets
    assert explained.labels.tolist() == expected.labels.tolist()
    for name in ("positive", "negative", "values"):
        a, b = np.asarray(getattr(explained, name)), np.asarray(getattr(expected, name))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max(), err_msg=name)


@pytest.mark.exhaustive
def test_a_run_gives_its_images_and_backbone_to_the_methods_that_change_images(fitted, run_folder, small_world):
    run = load(run_folder)
    images = fitted.dataset.test.images(slice(4, 6), 32)
    options = {"method": "smooth(gradcam)", "samples": 2, "seed": 3}
    explained = run.explain(images, TARGETS, **options)
    maps = fitted.tap_maps["test"][4:6]
    expected = pcacam_jax.explain(run.head, maps, TARGETS, images=images, backbone=run.backbone, **options)
    a, b = np.asarray(explained.signed), np.asarray(expected.signed)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())
    assert (np.asarray(explained.standard_errors) > 0).any()
    np.testing.assert_allclose(run.backbone(images), maps, rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_run_bit_for_bit(fitted, run_folder):
    loaded, expected = jax.tree.leaves(load(run_folder).head), jax.tree.leaves(fitted.head)
    assert len(loaded) == len(expected)
    for a, b in zip(loaded, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_the_fields_of_a_loaded_run(fitted, run_folder):
    run = load(str(run_folder))
    assert run.config == fitted.config
    assert run.class_names == CLASSES
    assert run.weights_digest == fitted.weights_digest
    assert run.metrics["metrics"] == fitted.metrics["metrics"]
    assert run.metrics["training"]["validation_accuracy"] == fitted.training.validation_accuracy
    assert json.loads((run_folder / "config.json").read_text())["version"] == pcacam_jax.__version__


def test_the_report(run_folder):
    report = json.loads((run_folder / "report.json").read_text())
    for classifier in ("cnn", "svm_linear", "svm_rbf"):
        for part in ("train_f1", "test_f1"):
            assert 0 <= report["metrics"][classifier][part] <= 1
    assert len(report["explained_variance_ratio"]) == 3
    assert report["verification"]["passed"] is True
    assert report["verification"]["float32"]["max_relative_error"] <= 1e-5
    assert report["verification"]["float64"]["max_relative_error"] <= 1e-12
    assert report["timings"].keys() >= {"features", "training", "estimators", "verification", "figures", "total"}
    drawn = {path.relative_to(run_folder).as_posix() for path in (run_folder / "figures").iterdir()}
    assert drawn == set(report["figures"])
    assert len(drawn) == 7


def test_a_run_is_verified_again_to_the_same_certificate(copied):
    written = json.loads((copied / "verification.json").read_text())
    (copied / "verification.json").unlink()
    again = verify_run(copied).as_dict()
    assert {row["passed"] for row in again.pop("curvature")} == {True}, (
        "second derivatives are verified on request only"
    )
    assert sealed(again) == written


def test_image_files_are_read_as_the_training_images_were(run_folder, tmp_path):
    pixels = pictures(1, 5)[0][0]
    grey, rgba = tmp_path / "grey.png", tmp_path / "rgba.png"
    Image.fromarray(pixels).save(grey)
    Image.fromarray(np.dstack([pixels] * 3 + [np.full_like(pixels, 255)])).save(rgba)
    images = load(run_folder).load_images([grey, rgba])
    assert images.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(images[0], images[1])


def test_no_images_raise(run_folder, small_world):
    run = load(run_folder)
    with pytest.raises(InputError, match="at least one image file"):
        run.load_images([])
    with pytest.raises(InputError, match="images must have shape"):
        run.features(np.empty((0, 32, 32, 3), np.uint8))


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (1, 32, 32), (32, 32, 3), (1, 32, 32, 1)])
def test_images_of_another_shape_raise(run_folder, small_world, shape):
    with pytest.raises(InputError, match=r"images must have shape \(B, 32, 32, 3\); got"):
        load(run_folder).explain(np.zeros(shape, np.uint8), "pca")


def test_other_weights_raise(run_folder, tmp_path):
    run = load(run_folder)
    with (
        in_place(random_params(1), tmp_path),
        pytest.raises(InputError, match=r"but the available weights have \w{12}\.\.\.; provide the original weights"),
    ):
        run.explain(np.zeros((1, 32, 32, 3), np.uint8), "pca")


def test_a_run_that_was_fitted_in_tensorfloat32_explains_in_float32_elsewhere(copied, run_folder, small_world):
    edit(copied / "config.json", lambda config: config["fit"].update(compute="tensorfloat32"))
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "devices", lambda: [types.SimpleNamespace(platform="cpu", device_kind="cpu")])
        features = load(copied).features(images)
    np.testing.assert_array_equal(features, load(run_folder).features(images))


def test_a_deleted_weights_file_is_not_passed_on(copied, small_params, monkeypatch, tmp_path):
    requested = []
    monkeypatch.setattr(weights, "load", lambda path=None: requested.append(path) or small_params)
    edit(copied / "config.json", lambda config: config["fit"].update(weights=str(tmp_path / "gone.h5")))
    assert load(copied).params is small_params
    existing = tmp_path / "existing.h5"
    existing.touch()
    edit(copied / "config.json", lambda config: config["fit"].update(weights=str(existing)))
    assert load(copied).params is small_params
    assert requested == [None, str(existing)]


@pytest.mark.parametrize(
    "name",
    ["config.json", "metrics.json", "model.safetensors", "verification.json", "verification_point.safetensors"],
)
def test_a_missing_file_is_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(InputError, match=f"lacks {name}"):
        load(copied)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist; make one with: pcacam fit"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize("schema", [0, 3, "1", None])
def test_another_schema_raises(copied, schema):
    edit(copied / "config.json", lambda config: config.update(schema=schema))
    with pytest.raises(InputError, match=f"schema version {schema}, but this version reads 1 and 2"):
        load(copied)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["fit"].update(unknown=1),
        lambda config: config["fit"].update(size="large"),
        lambda config: config["fit"].update(epochs=-1),
        lambda config: config["fit"].update(hidden=None),
        lambda config: config.pop("fit"),
        lambda config: config.pop("class_names"),
        lambda config: config.pop("weights_digest"),
    ],
)
def test_an_altered_configuration_raises(copied, change):
    edit(copied / "config.json", change)
    with pytest.raises(InputError, match="is not the configuration of a run"):
        load(copied)


@pytest.mark.parametrize(
    "change", [lambda config: config["fit"].update(size=64), lambda config: config.update(class_names=["a", "b", "c"])]
)
def test_files_of_two_runs_raise(copied, change):
    edit(copied / "config.json", change)
    with pytest.raises(InputError, match="do not belong to the same run"):
        load(copied)


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_file_that_is_no_configuration_raises(copied, text):
    (copied / "config.json").write_text(text)
    with pytest.raises(InputError):
        load(copied)


def test_an_altered_model_raises(copied):
    path = copied / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="was altered"):
        load(copied)
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load(copied)


def test_a_stage_that_is_no_head_raises(copied):
    store.save(copied / "model.safetensors", Flatten((1, 1, 4)))
    with pytest.raises(InputError, match="must hold a HybridHead; got Flatten"):
        load(copied)


def test_maps_of_another_head_raise(copied):
    array_file.write_arrays(copied / "verification_point.safetensors", {"maps": np.zeros((7, 7, 512), np.float32)})
    with pytest.raises(InputError, match="must hold maps of shape"):
        verify_run(copied)


def test_the_path_of_the_weights_is_saved_as_an_absolute_path(fitted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changed = dataclasses.replace(fitted, config=dataclasses.replace(fitted.config, weights="vgg.h5"))
    save(changed, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["fit"]["weights"] == str(tmp_path / "vgg.h5")


def test_a_division_is_saved_beside_the_run(fitted, run_folder, tmp_path):
    division = {"train": ["a/1.png", "b/\udce9.png"], "test": ["a/2.png"]}
    dataset = dataclasses.replace(fitted.dataset, division=division)
    save(dataclasses.replace(fitted, dataset=dataset), tmp_path)
    assert json.loads((tmp_path / "split.json").read_text()) == division
    assert "split.json" in RUN_FILES
    assert not (run_folder / "split.json").exists()


def test_the_public_name():
    assert pcacam_jax.load is load


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda images: images / 255, r"values in 0\.\.255; got 0.* to [01].*: undo any scaling"),
        (lambda images: images.astype(float) - 100, r"values in 0\.\.255; got -"),
        (lambda images: np.where(images == images.max(), np.nan, images), "images must be finite"),
        (lambda images: images[:, :-1], r"images must have shape \(B, "),
    ],
)
def test_images_out_of_range_raise(run_folder, change, sentence):
    run = load(run_folder)
    size = run.config.size
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=sentence):
        run.features(change(images))
