"""The figure of a decision's support vectors: numbers, colour scales, and an InputError for invalid input."""

import numpy as np
import pytest

from pcacam_jax import explain, plots
from pcacam_jax.core.checks import InputError
from pcacam_jax.reports import evidence_figure as module
from pcacam_jax.reports.evidence_figure import evidence_figure, evidence_of, training_rows

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def support_images(**changes):
    fields = {
        "images": [PICTURE, PICTURE],
        "names": ["cat", "do$g$"],
        "maps": RNG.normal(size=(2, 4, 5)),
        "shares": np.array([0.5, 0.014]),
        "coefficients": np.array([1.0, -0.5]),
        "distances": np.array([2.0, 3.0]),
        "influences": np.array([0.3, 0.2]),
    }
    return plots.SupportImages(**{**fields, **changes})


def drawn(images=None, **changes):
    options = {"title": "RBF-SVM predicts cat", "others": 1234, "critical_distance": 2.0, **changes}
    maps = {"signed": np.eye(4, 5), "rest": -3 * np.eye(4, 5)}
    maps = {name: options.pop(name, default) for name, default in maps.items()}
    return plots.decision_evidence(PICTURE, maps["signed"], images or support_images(), maps["rest"], **options)


def texts(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_every_number_is_written():
    written = " | ".join(texts(drawn()))
    for text in (
        "RBF-SVM predicts",
        "cat",
        "do$g$",
        "for\ndistance 1.00 d*\ninfluence 99 %",
        "against\ndistance 1.50 d*\ninfluence 66 %",
        "share 50 %",
        "share 1.4 %",
        "sum of all other\nsupport vectors\n(1,234)",
        "share 49 %",
        "raises the score",
    ):
        assert text in written


def test_without_a_critical_distance_numbers_are_plain():
    written = " | ".join(texts(drawn(critical_distance=None, others=0)))
    assert "for\ndistance 2\ninfluence 0.3" in written
    assert "no other\nsupport vectors" in written
    assert "d*" not in written


def test_part_of_a_support_vector_is_rejected():
    with pytest.raises(InputError, match="others must be a whole number; got 2"):
        drawn(others=2.5)


def test_maps_of_a_side_share_a_scale():
    figure = drawn(support_images(maps=np.stack([np.eye(4, 5), 7 * np.eye(4, 5)])))
    figure.draw_without_rendering()
    maps = [axes.images[1] for axes in figure.axes if len(axes.images) == 2]
    assert sorted(image.get_clim() for image in maps) == [(-7, 7), (-7, 7), (-3, 3), (-3, 3)]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: drawn(support_images(images=[])), "at least one training image; got none"),
        (
            lambda: drawn(support_images(names=["cat"])),
            "images.names must have one entry per image: expected 2, got 1",
        ),
        (lambda: drawn(support_images(maps=np.ones((2, 3, 5)))), r"support_images.maps must have shape \(2, 4, 5\)"),
        (lambda: drawn(support_images(shares=[np.nan, 0])), "support_images.shares must be finite"),
        (lambda: drawn(rest=np.ones((4, 4))), r"rest must have shape \(4, 5\)"),
        (lambda: drawn(critical_distance=0), "critical_distance must be above 0"),
    ],
)
def test_invalid_numbers_raise(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


# --- of a run ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["svm_rbf", "svm_linear"])
def test_the_contributions_of_a_run_come_from_its_training_images(fitted, name):
    rows = np.array([3, 20])
    got = evidence_of(fitted, rows, f"{name}:predicted", count=4)
    whole = explain(fitted.head, fitted.tap_maps["test"][rows], f"{name}:predicted").signed[:, 0]
    np.testing.assert_allclose(got.signed, whole, atol=1e-4 * np.abs(whole).max())
    train = training_rows(fitted, f"{name}:predicted", np.asarray(got.indices))
    distances = np.linalg.norm(fitted.components["train"][train] - fitted.components["test"][rows][:, None], axis=2)
    np.testing.assert_allclose(got.distances, distances, rtol=1e-3, atol=1e-4)


def test_the_figure_shows_the_images_of_the_evidence(fitted, monkeypatch):
    calls = []
    monkeypatch.setattr(module.plots, "decision_evidence", lambda *args, **options: calls.append((args, options)))
    evidence_figure(fitted, 20, count=3)
    [((image, signed, shown, rest), options)] = calls
    got = evidence_of(fitted, np.array([20]), "svm_rbf:predicted", count=3)
    rows = training_rows(fitted, "svm_rbf:predicted", np.asarray(got.indices[0]))
    np.testing.assert_array_equal(image, fitted.dataset.test.images([20], 32)[0])
    for n, row in enumerate(rows):
        np.testing.assert_array_equal(shown.images[n], fitted.dataset.train.images([row], 32)[0])
        assert shown.names[n] == fitted.dataset.class_names[fitted.dataset.train.labels[row]]
    np.testing.assert_allclose(shown.maps.sum(axis=0) + rest, signed, atol=1e-5 * np.abs(signed).max())
    assert options["others"] == got.support_vectors - 3
    assert options["critical_distance"] == pytest.approx((2 * fitted.config.gamma) ** -0.5, rel=1e-5)
    assert options["title"].startswith(f"RBF-SVM predicts {got.labels[0]}, margin = ")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"row": 24}, "row must be the index of a test image, 0 to 23; got 24"),
        ({"row": -1}, "row must be the index of a test image"),
        ({"row": 0, "target": "cnn:0"}, "the SVM of target must be one of svm_linear, svm_rbf; got 'cnn'"),
        ({"row": 0, "count": 0}, "count must be an integer of at least 1"),
    ],
)
def test_an_unknown_row_or_target_raises(fitted, options, sentence):
    with pytest.raises(InputError, match=sentence):
        evidence_figure(fitted, **options)
