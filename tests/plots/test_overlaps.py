"""No text of a figure overlaps another one, reaches into a picture beside it, or leaves the figure."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.overlaps import unreadable

from pcacam_jax import plots
from pcacam_jax.core.explanation import Explanation

RNG = np.random.default_rng(0)
NAMES = (
    "Ankle boot with a very long name",
    "MALIGNANT MELANOMA, superficial spreading",
    "x" * 60,
    "T-shirt/top",
    "cat",
)
SHORT = ("cat", "dog", "horse", "cow", "pig")
SCALES = (0.00129, 8.88e-4, 8.77e-5, 4.88e-12, 888e-25, 123456.0)
"""Largest values of maps: plain, with one and with two digits of the exponent."""
COMPARED = (
    "rank 1 of 5, runner-up horse 12.3; higher than on 97 % of all training images and on 88 % of those of T-shirt/top"
)
SHAPES = {"square": (96, 96), "wide": (30, 200), "tall": (200, 30)}


def picture(shape):
    return RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)


def explained(count, components, names=SHORT):
    """Return an explanation by three classifiers, and by components with maps of all scales."""
    targets = (
        *(f"{name}:predicted" for name in ("cnn", "svm_linear", "svm_rbf")),
        *(f"pca:{r}" for r in range(components)),
    )
    size = len(targets)
    columns = np.array([[(b + t) % 5 for t in range(3)] + list(range(components)) for b in range(count)])
    labels = [[*(names[c] for c in row[:3]), *(f"component {r + 1}" for r in row[3:])] for row in columns]
    scales = np.resize(SCALES, size)[:, None, None]
    return Explanation(
        targets=targets,
        positive=RNG.random((count, size, 4, 5)) * scales,
        negative=RNG.random((count, size, 4, 5)) * scales,
        values=-12.345 * RNG.random((count, size)),
        columns=columns,
        labels=np.array(labels),
        mixture={},
        spaces=("logit", "margin", "margin", *["component"] * components),
        vanished=np.zeros((count, size), bool),
        method="gradcam",
        backend="closed_form",
        scale_free=False,
        shares=tuple(np.linspace(0.5, 0.0003, components)),
        image_names=("a_very_long_name_of_a_photograph_2024_11_27.jpg",) * count,
    )


def panel(shape, names, components=1, **options):
    explanation = explained(1, components, names)
    comparison = [COMPARED] * len(explanation.targets)
    return plots.explanation_panel(picture(shape), explanation, comparison=comparison, **options)


def grid(shape, names, components=1, **options):
    pictures = [picture(shape), picture((60, 60))]
    return plots.paper_grid(pictures, explained(2, components, names), truth=names[1:3], **options)


def cards(shape, names, count=2):
    maps = 1e-7 * RNG.normal(size=(count, 3, 3))
    side = plots.Side([picture(shape)] * count, names[:count], -1e-5 * RNG.random(count), maps)
    return plots.component_cards([(side, side)] * 2, [0.6, 0.0003])


def decision(shape, names, count=2):
    one = RNG.random(count)
    maps = 1e-5 * RNG.normal(size=(count + 2, 4, 5))
    images = plots.SupportImages([picture(shape)] * count, names[:count], maps[2:], one / 9, one, one, one / 1e3)
    title = f"RBF-SVM predicts {names[0]}, margin = -12.3"
    options = {"others": 123456, "critical_distance": 2.0, "comparison": COMPARED}
    return plots.decision_evidence(picture(shape), maps[0], images, maps[1], title=title, **options)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("draw", [panel, grid, cards, decision])
def test_texts_can_be_read(draw, shape):
    assert unreadable(draw(SHAPES[shape], NAMES)) == []


@pytest.mark.parametrize(
    ("draw", "options"),
    [
        (panel, {"components": 23}),
        (panel, {"components": 3, "shared_scale": True}),
        (grid, {"components": 3, "shared_scale": True, "title": "A title"}),
        (cards, {"count": 1}),
        (decision, {"count": 1}),
    ],
)
def test_texts_of_many_and_of_few_pictures_can_be_read(draw, options):
    assert unreadable(draw(SHAPES["square"], NAMES, **options)) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("names", [SHORT, NAMES], ids=["short", "long"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("draw", "size"),
    [(panel, {"components": 24}), (grid, {"components": 6}), (cards, {"count": 5}), (decision, {"count": 5})],
)
def test_texts_of_larger_figures_can_be_read(draw, size, shape, names):
    assert unreadable(draw(SHAPES[shape], names, **size)) == []


def test_overlaps_are_found():
    figure = Figure(figsize=(4, 2))
    left, right = figure.add_axes((0.1, 0.1, 0.3, 0.8)), figure.add_axes((0.5, 0.1, 0.3, 0.8))
    for axes in (left, right):
        plots.image(axes, picture((20, 30)))
    left.text(1.2, 0.2, "beside the picture", transform=left.transAxes)
    left.text(0.1, 0.5, "inside", transform=left.transAxes)
    figure.text(0.7, 0.5, "too far right")
    figure.text(0.9, 0.5, "beyond the figure")
    assert unreadable(figure) == [
        "'beyond the figure' leaves the figure",
        "'too far right' overlaps 'beyond the figure'",
        "'beside the picture' reaches into a picture",
        "'too far right' reaches into a picture",
    ]
