"""The gallery of CAM methods: what is drawn and written, and one sentence for invalid input."""

import dataclasses

import numpy as np
import pytest
from support.overlaps import unreadable

from pcacam_jax import plots
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
MAPS = RNG.normal(size=(2, 2, 4, 5))


def explained(method="gradcam", signed=MAPS, **changes):
    count = len(signed)
    fields = {
        "targets": ("pca:1", "svm_rbf:predicted"),
        "positive": np.maximum(signed, 0),
        "negative": np.maximum(-signed, 0),
        "values": np.array([[0.5, -1.5]] * count),
        "columns": np.array([[1, 0]] * count),
        "labels": np.array([["component 2", "do$g$"]] * count),
        "mixture": {},
        "spaces": ("component", "margin"),
        "vanished": np.zeros((count, 2), bool),
        "method": method,
        "backend": "closed_form",
        "scale_free": False,
    }
    return Explanation(**{**fields, **changes})


def drawn(*explanations, **options):
    return plots.method_gallery(PICTURE, explanations, **{"example": 1, **options})


def texts(figure):
    figure.draw_without_rendering()
    return " | ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def heats(figure):
    return [axes.images[1] for axes in figure.axes if len(axes.images) == 2]


def test_every_method_is_drawn_on_a_scale_of_its_own():
    figure = drawn(explained(), explained("hirescam", -7 * MAPS))
    expected = [*MAPS[1], *(-7 * MAPS[1])]
    for heat, signed in zip(heats(figure), expected, strict=True):
        np.testing.assert_array_equal(heat.get_array(), signed)
        assert heat.get_clim() == (-np.abs(signed).max(), np.abs(signed).max())


def test_names_answers_values_and_ranges_are_written():
    signed = MAPS / np.abs(MAPS).max(axis=(2, 3), keepdims=True) * 1234.5
    answers = {"layercam": "which cells raise y", "other": "not drawn"}
    written = texts(drawn(explained(), explained("layercam", signed), answers=answers, two_passes=["layercam"]))
    for text in (
        "component 2 = 0.5",
        "RBF-SVM predicts do$g$, margin = -1.5",
        "layercam*",
        "which cells raise y",
        "component 2\n±1200",
        "RBF-SVM: do$g$\n±1200",
        "evidence for minus evidence against",
        "4 x 5 cells",
    ):
        assert text in written
    assert "not drawn" not in written
    assert "eigencam" not in written


def test_notes_are_written_where_they_apply():
    assert "no evidence for or against" in texts(drawn(explained("eigencam")))
    assert "apart" not in texts(drawn(explained("eigencam")))


def test_maps_without_meaning_are_labelled():
    lost = explained(signed=0 * MAPS, vanished=np.array([[False, False], [True, False]]))
    figure = drawn(lost)
    written = texts(figure)
    assert written.count("gradient\nunderflowed") == written.count("zero\neverywhere") == 1
    assert "±" not in written
    assert len(heats(figure)) == 1


@pytest.mark.parametrize("shape", [(96, 96), (30, 200), (200, 30)])
def test_texts_can_be_read(shape):
    label = "MALIGNANT MELANOMA, superficial spreading"
    names = ["gradcam", "smooth(gradcam++authors)", "eigencam", "layercam"]
    labels = np.array([["component 2", label]])
    each = [explained(name, 1e-7 * MAPS[:1], labels=labels) for name in names]
    answers = dict.fromkeys(names, "which feature maps matter: mean gradient, one weight for all cells")
    picture = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert unreadable(plots.method_gallery(picture, each, answers=answers, two_passes=names, title="A title")) == []


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: drawn(), "explanations must contain at least one explanation; got none"),
        (lambda: drawn(explained(), MAPS), "explanations must hold Explanations; got ndarray"),
        (lambda: drawn(explained(), example=None), "example must say which of the 2 examples"),
        (lambda: drawn(explained(), explained("hirescam", MAPS[:1])), "that of hirescam differs from that of gradcam"),
        (lambda: drawn(explained(), explained(targets=("pca:1", "svm_rbf:1"))), "of the same examples and targets"),
        (lambda: drawn(explained(), explained("hirescam", MAPS[..., :3])), "maps of one size"),
        (lambda: drawn(explained(signed=MAPS[..., 0])), r"the maps of gradcam must have shape \(2, h, w\)"),
        (lambda: drawn(*[explained()] * 101), "at most 200 maps per example; got 202"),
        (lambda: drawn(explained(), answers=["a"]), "answers must be a dictionary by method; got list"),
        (lambda: drawn(explained(), two_passes="layercam"), "two_passes must be a list of names of methods; got str"),
        (lambda: drawn(dataclasses.replace(explained(), positive=np.inf * MAPS)), "the maps of gradcam must be finite"),
    ],
)
def test_invalid_input_raises_one_sentence(call, sentence):
    with pytest.raises((InputError, TypeError), match=sentence) as error:
        call()
    assert "\n" not in str(error.value)
