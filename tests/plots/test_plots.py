"""Figures: shared scales, marks where the formulas place them, InputErrors, and no files or figures left over."""

import gc
import sys
import weakref

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image
from support.marks import more

from pcacam_jax import plots
from pcacam_jax.core.checks import InputError

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
CLASSES = {"Grad-CAM": 1.0, "Lin-SVM": 1e-6, "RBF-SVM": 1e5}


def axes_of(projection=None):
    return Figure(layout="constrained").add_subplot(projection=projection)


def drawn(figure):
    figure.draw_without_rendering()
    return figure


def heat_of(axes) -> AxesImage:
    return next(image for image in axes.images if image.get_cmap().name == "inferno")


def bars_of(figure):
    return [child for axes in figure.axes for child in axes.child_axes]


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def grid(count=2, depth=3, titles=CLASSES, **changes):
    arguments = {
        "images": [PICTURE] * count,
        "classifiers": {
            title: RNG.random((count, 4, 5)) * scale for title, scale in CLASSES.items() if title in titles
        },
        "components": RNG.normal(size=(count, depth, 4, 5)),
        "truth": ["cat", "dog"][:count],
        "predictions": {"Grad-CAM": ["cat", "cat"][:count]} if "Grad-CAM" in titles else None,
    }
    return plots.paper_grid(**{**arguments, **changes})


def panel(count, scale=1.0):
    signed = RNG.normal(size=(count, 4, 5)) * scale
    names = [f"pca:{r}" for r in range(count)]
    return plots.explanation_panel(PICTURE, names, np.maximum(signed, 0), np.maximum(-signed, 0), np.arange(count))


def test_a_map_whose_gradient_underflowed_is_not_drawn():
    zero = np.zeros((2, 4, 5))
    figure = plots.explanation_panel(PICTURE, ["a", "b"], zero + 1, zero, [1, 2], vanished=[False, True])
    written = texts(figure)
    assert written.count("gradient\nunderflowed") == 2
    assert any("no map is drawn" in " ".join(text.split()) for text in written)
    assert "gradient\nunderflowed" not in texts(panel(2))
    assert not any("Scale-free" in text for text in texts(panel(2)))
    free = plots.explanation_panel(PICTURE, ["a"], zero[:1], zero[:1], [1], scale_free=True)
    assert any("Scale-free" in text for text in texts(free))
    figure = grid(vanished={"Grad-CAM": [True, False]})
    assert texts(figure).count("gradient\nunderflowed") == 1
    assert not any("no map is drawn" in text for text in texts(grid(vanished={"Grad-CAM": [False, False]})))


# pictures and heatmaps


def test_image_has_its_pixels_and_title():
    axes = plots.image(axes_of(), PICTURE, "cat")
    np.testing.assert_array_equal(axes.images[0].get_array(), PICTURE)
    assert (axes.get_title(), list(axes.get_xticks())) == ("cat", [])


@pytest.mark.parametrize(("options", "expected"), [({}, "nearest"), ({"interpolation": "bilinear"}, "bilinear")])
def test_overlay_covers_the_picture_on_the_given_scale(options, expected):
    axes = axes_of()
    mappable = plots.overlay(axes, PICTURE, np.eye(4), maximum=3, **options)
    assert mappable.get_clim() == (0, 3)
    assert mappable.get_interpolation() == expected
    assert mappable.get_extent() == axes.images[0].get_extent()
    assert not axes.texts


@pytest.mark.parametrize("maximum", [0, 2])
def test_a_map_of_zeros_is_the_dimmed_picture_with_a_label(maximum):
    axes = axes_of()
    mappable = plots.overlay(axes, PICTURE, np.zeros((4, 4)), maximum=maximum, vanished=False)
    assert texts_of(axes) == ["zero\neverywhere"]
    np.testing.assert_allclose(mappable.to_rgba(0.0)[:3], 0, atol=0.02)


def test_a_pair_shares_the_larger_maximum():
    left, right = Figure(layout="compressed").subplots(1, 2)
    plots.overlay_pair(left, right, PICTURE, 2 * np.eye(4), 5 * np.eye(4))
    assert heat_of(left).get_clim() == heat_of(right).get_clim() == (0, 5)
    assert (len(left.child_axes), len(right.child_axes)) == (0, 1)


def test_a_pair_of_zeros_draws_both_and_no_bar():
    left, right = Figure(layout="compressed").subplots(1, 2)
    assert plots.overlay_pair(left, right, PICTURE, np.zeros((4, 4)), np.zeros((4, 4))) is None
    assert texts_of(left) == texts_of(right) == ["zero or\nunderflowed"]


@pytest.mark.parametrize(
    ("maximum", "labels"),
    [
        (1.0, ["0", "0.5", "1"]),
        (250.0, ["0", "125", "250"]),
        (3e-7, ["0", "1.5e-7", "3e-7"]),
        (0.00129, ["0", "0.000645", "0.00129"]),
        (0.00088, ["0", "4.4e-4", "8.8e-4"]),
        (0.1, ["0", "0.05", "0.1"]),
        (4e5, ["0", "2e5", "4e5"]),
        (2e-310, ["0", "1e-310", "2e-310"]),
    ],
)
def test_bar_numbers_are_short(maximum, labels):
    axes = axes_of()
    bar = plots.colour_bar(axes, plots.overlay(axes, PICTURE, maximum * np.eye(4), maximum=maximum))
    drawn(axes.figure)
    assert [label.get_text() for label in bar.ax.get_yticklabels()] == labels
    places = [label.get_window_extent().y0 for label in bar.ax.get_yticklabels()]
    assert np.ptp(np.diff(places)) < 1 < np.diff(places).min()


# panels


@pytest.mark.parametrize("components", [1, more(2), 3, more(5)])
@pytest.mark.parametrize("titles", [[], more(["Lin-SVM"]), list(CLASSES)])
def test_grid_has_its_columns_and_scales(components, titles):
    figure = drawn(grid(depth=components, titles=titles))
    rows = np.reshape(figure.axes, (2, -1))
    signs = [
        f"component {r}\n{effect} ($L_{{{r}}}^{sign}$)"
        for r in range(1, components + 1)
        for effect, sign in (("raises", "+"), ("lowers", "-"))
    ]
    assert [axes.get_title() for axes in rows[0]] == ["image", *titles, *signs]
    assert not any(axes.get_title() for axes in rows[1])
    for plus, minus in rows[:, 1 + len(titles) :].reshape(-1, 2):
        maximum = max(heat_of(axes).get_array().max() for axes in (plus, minus))
        assert heat_of(plus).get_clim() == heat_of(minus).get_clim() == (0, maximum)
    for axes in rows[:, 1 : 1 + len(titles)].flat:
        assert heat_of(axes).get_clim()[1] == heat_of(axes).get_array().max()
    assert len(bars_of(figure)) == 2 * (len(titles) + components)


def test_grid_names_truth_and_prediction_and_marks_the_wrong_one():
    figure = grid()
    rows = np.reshape(figure.axes, (2, -1))
    assert [axes.get_ylabel() for axes in rows[:, 0]] == ["cat", "dog"]
    below = [text for text in figure.texts if text.get_text() == "predicts cat"]
    assert len(below) == 2
    assert below[0].get_color() == "black" != below[1].get_color()


def test_grid_splits_signed_maps():
    signed = RNG.normal(size=(1, 1, 4, 5))
    plus, minus = grid(1, components=signed, titles=[], predictions=None).axes[1:]
    np.testing.assert_allclose(heat_of(plus).get_array() - heat_of(minus).get_array(), signed[0, 0])


def test_grid_takes_maps_of_zeros():
    figure = drawn(grid(components=np.zeros((2, 3, 4, 5)), classifiers={"Grad-CAM": np.zeros((2, 4, 5))}))
    assert bars_of(figure) == []
    assert sum(len(axes.texts) for axes in figure.axes) == 2 * 7


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_panel_shows_each_target_with_its_value(count):
    figure = drawn(panel(count, 1e-9))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title] == ["image", *[f"pca:{r} = {r}" for r in range(count)]]
    assert len(bars_of(figure)) == count
    assert sum(bool(axes.images) for axes in figure.axes) == 1 + 2 * count


def test_panel_takes_names_with_dollars_and_underscores():
    zero = np.zeros((1, 4, 5))
    drawn(plots.explanation_panel(PICTURE, ["svm_a:$x^{$ " + "long " * 20], zero, zero, [1e-9]))


# curves and bars


def test_learning_curve_marks_the_first_best_epoch():
    axes = plots.learning_curve(axes_of(), [0.5, 0.9, 0.9], [0.4, 0.6, 0.8])
    assert tuple(axes.collections[0].get_offsets()[0]) == (2, 0.9)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["training", "validation", "best epoch: 2 (accuracy 0.900)"]
    assert tuple(plots.learning_curve(axes_of(), [0.5, 0.9], best_epoch=1).collections[0].get_offsets()[0]) == (1, 0.5)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 30])
def test_contribution_ratios_add_up(count):
    ratios = np.full(count, 0.9 / count)
    axes = plots.contribution_ratios(axes_of(), ratios)
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], ratios)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.cumsum(ratios))
    assert ("0.90" in texts_of(axes)) == (count <= 10)
    drawn(axes.figure)


@pytest.mark.parametrize("gamma", [1e-4, 0.5, 1.0, 30.0])
@pytest.mark.parametrize("distances", [None, RNG.random(50) * 9])
def test_influence_peaks_where_the_mark_is(gamma, distances):
    axes = plots.influence_curve(axes_of(), gamma, distances)
    curve, mark = axes.lines
    d = np.linspace(0, 5 / np.sqrt(gamma), 200_001)
    influence = np.abs(np.gradient(np.exp(-gamma * d**2), d))
    (place,), (height,) = mark.get_data()
    np.testing.assert_allclose(place, d[influence.argmax()], rtol=1e-3)
    np.testing.assert_allclose(height, influence.max(), rtol=1e-6)
    assert curve.get_ydata().max() == pytest.approx(height)
    if distances is not None:
        assert axes.get_xlim()[1] > distances.max()
    drawn(axes.figure)


@pytest.mark.parametrize("mixture", [[0.3], [0.5, -2.0], [0.0, 0.0, 0.0], np.arange(5.0), np.ones(20)])
def test_component_weights_are_bars(mixture):
    axes = plots.component_weights(axes_of(), mixture, "svm_rbf: cat")
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], mixture)
    drawn(axes.figure)


# feature space


@pytest.mark.parametrize("components", [1, 2, 3])
@pytest.mark.parametrize("classes", [2, 10])
def test_feature_space_gives_every_class_its_own_colour_and_marker(components, classes):
    labels = np.arange(3000) % classes
    names = [f"kind_{c}$" for c in range(classes)]
    axes = axes_of("3d" if components == 3 else None)
    plots.feature_space(axes, RNG.normal(size=(3000, components)), labels, names, support_vectors=[0, 7])
    *kinds, rings = axes.collections
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [*names, "support vector"]
    assert len({(tuple(kind.get_facecolor()[0]), len(kind.get_paths()[0])) for kind in kinds}) == classes
    assert len(rings.get_offsets()) == 2
    figure = drawn(axes.figure)
    points = figure.dpi_scale_trans.inverted().transform_bbox(axes.get_legend().get_window_extent())
    assert points.x0 > figure.dpi_scale_trans.inverted().transform_bbox(axes.patch.get_window_extent()).x1


def test_feature_space_takes_a_mask_and_an_empty_list():
    labels, features = [0, 1, 1], np.eye(3)[:, :2]
    axes = plots.feature_space(axes_of(), features, labels, "ab", np.array([True, False, True]))
    np.testing.assert_array_equal(axes.collections[-1].get_offsets(), features[[0, 2]])
    plots.feature_space(axes_of(), features, labels, "ab", [])


# invalid input


ZERO = np.zeros((4, 4))
BAD = {
    "grey image": (lambda: plots.image(axes_of(), PICTURE[..., 0]), "image must be uint8 of shape"),
    "float image": (lambda: plots.image(axes_of(), PICTURE / 255), "scale it to 0..255"),
    "negative map": (lambda: plots.overlay(axes_of(), PICTURE, ZERO - 1, maximum=1), "must not contain values below 0"),
    "NaN map": (lambda: plots.overlay(axes_of(), PICTURE, ZERO * np.nan, maximum=1), "heatmap must be finite"),
    "deep map": (lambda: plots.overlay(axes_of(), PICTURE, ZERO[None], maximum=1), r"shape \(h, w\)"),
    "empty map": (lambda: plots.overlay(axes_of(), PICTURE, ZERO[:0], maximum=1), "each size at least 1"),
    "clipped": (lambda: plots.overlay(axes_of(), PICTURE, ZERO + 2, maximum=1), "colours would clip"),
    "alpha": (lambda: plots.overlay(axes_of(), PICTURE, ZERO, maximum=1, alpha=2), "alpha must lie between"),
    "pair": (lambda: plots.overlay_pair(axes_of(), axes_of(), PICTURE, ZERO, ZERO[:2]), "negative must have shape"),
    "grid components": (lambda: grid(components=np.zeros((3, 1, 4, 4))), r"shape \(2, D, h, w\)"),
    "grid truth": (lambda: grid(truth=["cat"]), "truth must have one entry per image: expected 2, got 1"),
    "grid predictions": (lambda: grid(predictions={"KNN": ["a", "b"]}), "must be one of Grad-CAM, Lin-SVM, RBF-SVM"),
    "grid map": (lambda: grid(classifiers={"A": ZERO}), r"A must have shape \(2, h, w\)"),
    "no images": (lambda: grid(0), "images must contain at least one"),
    "vanished title": (lambda: grid(vanished={"PCA": [True, True]}), "vanished must be one of"),
    "vanished count": (lambda: grid(vanished={"Grad-CAM": [True]}), r"vanished\['Grad-CAM'\] must have one entry"),
    "panel names": (lambda: plots.explanation_panel(PICTURE, [], ZERO[None], ZERO[None], [1]), "one entry per target"),
    "panel values": (lambda: plots.explanation_panel(PICTURE, ["a"], ZERO[None], ZERO[None], 1), r"shape \(1,\)"),
    "percent": (lambda: plots.learning_curve(axes_of(), [50, 90]), "divide percentages by 100"),
    "lengths": (lambda: plots.learning_curve(axes_of(), [0.5, 0.9], [0.5]), r"train_accuracy must have shape \(2,\)"),
    "epoch": (lambda: plots.learning_curve(axes_of(), [0.5, 0.9], best_epoch=0), "between 1 and 2"),
    "ratios": (lambda: plots.contribution_ratios(axes_of(), [0.9, 0.2]), "sum to at most 1"),
    "words": (lambda: plots.component_weights(axes_of(), ["a"]), "must be an array of numbers"),
    "gamma": (lambda: plots.influence_curve(axes_of(), 0), "gamma must be above 0"),
    "distances": (lambda: plots.influence_curve(axes_of(), 1, [-1]), "distances must not contain values below 0"),
    "four components": (lambda: plots.feature_space(axes_of(), np.eye(4), range(4), "abcd"), "at most 3 components"),
    "flat axes": (lambda: plots.feature_space(axes_of(), np.eye(3), range(3), "abc"), "drawn on 3d axes; got plain"),
    "deep axes": (lambda: plots.feature_space(axes_of("3d"), np.eye(2), [0, 1], "ab"), "drawn on plain axes; got 3d"),
    "labels": (lambda: plots.feature_space(axes_of(), np.eye(2), [0, 2], "ab"), "integers from 0 to 1"),
    "rows": (lambda: plots.feature_space(axes_of(), np.eye(2), [0, 1], "ab", [5]), "rows of the 2 features"),
    "coordinates": (lambda: plots.feature_space(axes_of(), np.eye(2), [0, 1], "ab", [[0.5, 1]]), "rows of the 2"),
    "suffix": (lambda: plots.save(Figure(), "figure.pdf"), "must end in .png"),
    "dpi": (lambda: plots.save(Figure(), "figure.png", dpi=0), "dpi must be above 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_input_raises(name):
    call, sentence = BAD[name]
    with pytest.raises(InputError, match=sentence):
        call()


# files


def test_saved_bytes_are_equal_whole_and_unsigned(tmp_path):
    ratios = [0.5, 0.2]
    for name in ("a.png", "b.png"):
        plots.save(plots.contribution_ratios(axes_of(), ratios).figure, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        picture.load()
        assert set(picture.info) <= {"dpi", "pcacam_jax"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_figure_that_fails_to_draw_leaves_no_file(tmp_path):
    figure = Figure()
    figure.text(0.5, 0.5, "$x^{$")
    with pytest.raises(ValueError, match="Expected"):
        plots.save(figure, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_figures_vanish_with_their_last_reference():
    figure = drawn(grid())
    left = weakref.ref(figure)
    del figure
    gc.collect()
    assert left() is None
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []
