"""What a run records of its training images, how values compare with it, and figures of a loaded run."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from support.small_runs import small_dataset, x_m

import pcacam_jax
from pcacam_jax.core.checks import InputError
from pcacam_jax.fitting.reference import distance_to_nearest
from pcacam_jax.reports import evidence_figure as module
from pcacam_jax.reports.evidence_figure import evidence_figure, evidence_of, training_rows
from pcacam_jax.runs.reference_file import LINEAR_SUPPORT, REFERENCE, write_reference
from pcacam_jax.runs.source import recorded

TARGETS = ["cnn:predicted", "svm_rbf:right", "svm_linear:predicted", "pca:1"]


@pytest.fixture
def copied(run_folder, tmp_path):
    return shutil.copytree(run_folder, tmp_path / "copied")


@pytest.fixture
def with_data(copied, tmp_path):
    """Return a run folder whose configuration names files with the images that it was fitted to."""
    dataset = small_dataset()
    (tmp_path / "data").mkdir()
    for part in ("train", "test"):
        split = getattr(dataset, part)
        np.savez(tmp_path / "data" / f"{part}.npz", images=split.pixels, labels=split.labels)
    config = json.loads((copied / "config.json").read_text())
    config["source"] = recorded(tmp_path / "data", class_names=dataset.class_names, seed=0)
    (copied / "config.json").write_text(json.dumps(config))
    return copied


def test_the_reference_holds_what_scikit_learn_says(fitted, run_folder):
    reference = pcacam_jax.load(run_folder).reference
    v = fitted.pca.transform(x_m(fitted, "train"))
    np.testing.assert_allclose(reference.components, v, atol=1e-5)
    np.testing.assert_array_equal(reference.labels, fitted.dataset.train.labels)
    assert reference.values.keys() == {"cnn", "pca", "svm_linear", "svm_rbf"}
    for name, svm in fitted.svms.items():
        np.testing.assert_array_equal(reference.support[name], svm.support_)
        np.testing.assert_array_equal(reference.predicted[name], svm.predict(v))
        np.testing.assert_allclose(reference.spreads[name], reference.values[name].std(axis=0))
        for row in (0, 17, 40):
            others = [s for s in svm.support_ if s != row]
            nearest = np.linalg.norm(v[others] - v[row], axis=1).min()
            assert reference.nearest_support[name][row] == pytest.approx(nearest, abs=1e-4)
    np.testing.assert_array_equal(reference.values["cnn"].argmax(axis=1), reference.predicted["cnn"])
    assert reference.thumbnails is None
    features = x_m(fitted, "train")
    residual = features - fitted.pca.inverse_transform(v)
    np.testing.assert_allclose(reference.reconstruction, np.linalg.norm(residual, axis=1), rtol=1e-3, atol=1e-5)
    means = np.asarray(fitted.maps["train"], np.float64).mean(axis=(1, 2))
    np.testing.assert_allclose(reference.features["mean"], means.mean(axis=0), rtol=1e-4, atol=1e-6)
    scale = np.sqrt(means.var(axis=0) + 0.1 * means.var(axis=0).mean())
    distances = np.sqrt((((means - means.mean(axis=0)) / scale) ** 2).mean(axis=1))
    np.testing.assert_allclose(reference.features["distance"], distances, rtol=1e-3)


def test_the_nearest_support_vector_of_a_support_vector_is_another_one():
    v = np.array([[0.0], [0.0], [1.0], [3.0]])
    assert distance_to_nearest(v, np.array([0, 1, 3])).tolist() == [0, 0, 1, 3]
    assert distance_to_nearest(v, np.array([0, 3])).tolist() == [3, 0, 1, 3]


def test_thumbnails_are_small_copies_of_the_training_images(fitted, copied):
    write_reference(copied, fitted, thumbnails=True)
    thumbnails = pcacam_jax.load(copied).reference.thumbnails
    assert (thumbnails.shape, thumbnails.dtype) == ((60, 48, 48, 3), np.uint8)
    np.testing.assert_array_equal(thumbnails[33], fitted.dataset.train.images([33], 48)[0])


def test_values_compare_as_counted_by_hand(fitted, run_folder, small_world):
    run = pcacam_jax.load(run_folder)
    images = fitted.dataset.test.images([3, 20], 32)
    explained = run.explain(images, TARGETS)
    values = {name: np.asarray(run.reference.values[name]) for name in run.reference.values}
    for b, row in enumerate(run.compare(explained)):
        scores = {name: np.asarray(array)[b] for name, array in explained.outputs.items()}
        for t, comparison in enumerate(row):
            output, column = TARGETS[t].partition(":")[0], int(explained.columns[b, t])
            value = float(explained.values[b, t])
            assert comparison.value == value == pytest.approx(float(scores[output][column]), rel=1e-5)
            assert comparison.label == explained.labels[b, t]
            below = np.mean(values[output][:, column] < value)
            assert comparison.percentile == pytest.approx(100 * below, abs=1)
            label = int(scores["cnn"].argmax()) if output == "pca" else column
            assert comparison.class_name == run.class_names[label]
            of_class = values[output][run.reference.labels == label, column]
            assert comparison.class_percentile == pytest.approx(100 * np.mean(of_class < value), abs=3)
            if output == "pca":
                assert (comparison.rank, comparison.runner_up) == (None, None)
                continue
            order = sorted(range(3), key=lambda c: -scores[output][c])
            assert (comparison.rank, comparison.classes) == (1 + order.index(column), 3)
            best_other = next(c for c in order if c != column)
            assert comparison.runner_up == run.class_names[best_other]
            assert comparison.runner_up_value == pytest.approx(float(scores[output][best_other]))
            beside = f"{'runner-up' if comparison.rank == 1 else 'highest'} {comparison.runner_up} "
            assert f", rank {comparison.rank} of 3, {beside}" in comparison.sentence
            assert comparison.sentence.endswith(f"of those of {comparison.class_name}.")
            assert comparison.sentence.endswith(f"{comparison.value:.4g}, {comparison.summary}.")


def test_an_explanation_from_elsewhere_cannot_be_compared(fitted, run_folder):
    explained = pcacam_jax.explain(fitted.head, fitted.tap_maps["test"][:1], "pca")
    with pytest.raises(InputError, match="must hold the values of all outputs; make it with the method explain"):
        pcacam_jax.load(run_folder).compare(explained)


def test_a_folder_of_schema_1_still_loads(fitted, copied, small_world):
    config = json.loads((copied / "config.json").read_text())
    for name in ("source", "fingerprints"):
        del config[name]
    for name in ("balance",):
        del config["fit"][name]
    (copied / "config.json").write_text(json.dumps(config | {"schema": 1}))
    (copied / REFERENCE).unlink()
    (copied / LINEAR_SUPPORT).unlink()
    run = pcacam_jax.load(copied)
    images = fitted.dataset.test.images([3], 32)
    assert run.explain(images, "pca").values.shape == (1, 3)
    with pytest.raises(InputError, match=r"has no reference\.safetensors, because an earlier version fitted it"):
        _ = run.reference
    with pytest.raises(InputError, match="does not say where its images came from"):
        evidence_figure(run, 3)


def test_a_damaged_reference_is_rejected(copied):
    path = copied / REFERENCE
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="was altered"):
        _ = pcacam_jax.load(copied).reference


@pytest.mark.parametrize("name", ["svm_rbf", "svm_linear"])
def test_a_loaded_run_has_the_evidence_of_the_fitted_one(fitted, with_data, small_world, name):
    run, target, rows = pcacam_jax.load(with_data), f"{name}:predicted", np.array([3, 20])
    loaded, expected = evidence_of(run, rows, target, count=3), evidence_of(fitted, rows, target, count=3)
    np.testing.assert_array_equal(loaded.indices, expected.indices)
    np.testing.assert_allclose(loaded.maps, expected.maps, rtol=1e-3, atol=1e-5 * np.abs(expected.maps).max())
    indices = np.asarray(loaded.indices)
    np.testing.assert_array_equal(training_rows(run, target, indices), training_rows(fitted, target, indices))


def drawn(monkeypatch, run, row):
    calls = []
    monkeypatch.setattr(module.plots, "decision_evidence", lambda *args, **options: calls.append((args, options)))
    evidence_figure(run, row, count=3)
    [((image, signed, shown, _), options)] = calls
    return image, np.asarray(signed), shown, options


def test_a_loaded_run_draws_the_evidence_of_a_test_image(fitted, with_data, small_world, monkeypatch):
    run = pcacam_jax.load(with_data)
    image, signed, shown, options = drawn(monkeypatch, run, 20)
    expected, expected_signed, expected_shown, expected_options = drawn(monkeypatch, fitted, 20)
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(shown.images, expected_shown.images)
    np.testing.assert_allclose(signed, expected_signed, rtol=1e-3, atol=1e-5 * np.abs(expected_signed).max())
    assert (options["title"], shown.names) == (expected_options["title"], expected_shown.names)
    [[comparison]] = run.compare(run.explain(image[None], "svm_rbf:predicted"))
    assert options["comparison"] == comparison.summary
    assert "% of all training images and" in comparison.summary
    assert expected_options["comparison"] == ""


def test_without_its_images_a_loaded_run_shows_thumbnails_or_says_what_is_missing(
    fitted, with_data, small_world, monkeypatch
):
    image = fitted.dataset.test.images([20], 32)[0]
    shutil.rmtree(with_data.parent / "data")
    run = pcacam_jax.load(with_data)
    with pytest.raises(InputError, match=r"cannot be read again from .*data.*; or fit with --thumbnails\."):
        evidence_figure(run, image)
    with pytest.raises(InputError, match=r"cannot be read again from .*; put them back, or give the image itself\."):
        evidence_figure(run, 20)
    write_reference(with_data, fitted, thumbnails=True)
    _, _, shown, _ = drawn(monkeypatch, pcacam_jax.load(with_data), image)
    expected = evidence_of(fitted, np.array([20]), "svm_rbf:predicted", count=3)
    rows = training_rows(fitted, "svm_rbf:predicted", np.asarray(expected.indices[0]))
    np.testing.assert_array_equal(shown.images, fitted.dataset.train.images(rows, 48))


def test_images_that_were_changed_are_not_shown(with_data):
    path = with_data.parent / "data" / "test.npz"
    with np.load(path) as file:
        images, labels = 255 - file["images"], file["labels"]
    np.savez(path, images=images, labels=labels)
    with pytest.raises(InputError, match="data holds other images than when this run was fitted; restore them"):
        _ = pcacam_jax.load(with_data).dataset


def test_a_run_of_one_screen(run_folder):
    assert len(repr(pcacam_jax.load(run_folder)).splitlines()) <= 24


def test_the_reference_is_plain_data(fitted):
    from pcacam_jax.fitting.reference import reference_of

    reference = reference_of(fitted)
    assert dataclasses.is_dataclass(reference)
    assert reference.percentile("pca", 0, np.inf) == 100
    assert reference.percentile("pca", 0, float(np.median(reference.components[:, 0]))) == pytest.approx(50, abs=1)
    assert reference.percentile("cnn", 1, -np.inf, label=1) == 0
