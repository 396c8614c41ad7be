"""The figures of a fitted run: which images they choose and what they write."""

import dataclasses

import numpy as np
import pytest

from pcacam_jax import explain
from pcacam_jax.core.checks import InputError
from pcacam_jax.data import ArraySplit, Dataset
from pcacam_jax.plots.words import percentage
from pcacam_jax.reports import figures
from pcacam_jax.reports.figures import furthest, one_of_each, spread, words


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_every_class_comes_before_any_comes_twice():
    labels = np.array([0, 0, 0, 1, 1, 2])
    assert one_of_each(labels, 3).tolist() == [0, 3, 5]
    assert one_of_each(labels, 5).tolist() == [0, 1, 3, 4, 5]
    assert one_of_each(labels, 99).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("count", "most"), [(3, 5), (5, 5), (1000, 7)])
def test_rows_are_spread_evenly(count, most):
    rows = spread(count, most)
    assert len(rows) == min(count, most)
    assert rows[0] == 0
    assert rows[-1] == count - 1
    assert len(set(rows.tolist())) == len(rows)


@pytest.mark.parametrize(
    ("target", "label", "space", "expected"),
    [
        ("cnn:predicted", "Shirt", "logit", "CNN predicts Shirt, logit"),
        ("cnn:3", "Dress", "logit", "CNN, logit of Dress"),
        ("svm_rbf:predicted", "Bag", "margin", "RBF-SVM predicts Bag, margin"),
        ("svm_linear:Ankle boot", "Ankle boot", "margin", "Lin-SVM, margin of Ankle boot"),
        ("mine:predicted", "a", "log_proba", "mine predicts a, log-probability"),
        ("age:0", "0", "predict", "age, predicted value (output 0)"),
        ("pca:0", "component 1", "component", "component 1"),
    ],
)
def test_targets_in_words(target, label, space, expected):
    assert words(target, label, space) == expected


def test_the_grid_has_a_row_for_each_image_and_all_columns(fitted):
    figure = figures.grid(fitted)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 6 * (1 + 3 + 6)
    written = texts(figure)
    for title in ("image", "CNN", "Lin-SVM", "RBF-SVM"):
        assert title in written
    share = percentage(float(fitted.head.shares[2]))
    assert f"component 3 ({share})\nlowers ($L_{{3}}^-$)" in written
    for name in fitted.dataset.class_names:
        assert written.count(name) == 2  # six rows, three classes


def test_the_other_figures_name_what_they_show(fitted):
    assert any("best epoch: " in text for text in texts(figures.learning_curve(fitted)))
    assert "component" in texts(figures.contribution_ratios(fitted))
    assert any("24 test images" in text for text in texts(figures.influence(fitted)))
    assert any("60 training images" in text for text in texts(figures.feature_space(fitted)))


def test_many_points_are_thinned(fitted, monkeypatch):
    monkeypatch.setattr(figures, "MOST_POINTS", 20)
    figure = figures.feature_space(fitted)
    assert any("20 of 60 training images" in text for text in texts(figure))


@pytest.mark.parametrize("components", [1, 2])
def test_fewer_components_are_drawn_flat(fitted, components):
    narrow = {part: v[:, :components] for part, v in fitted.components.items()}
    figure = figures.feature_space(dataclasses.replace(fitted, components=narrow))
    assert figure.axes[0].name != "3d"


@pytest.mark.exhaustive
def test_the_grid_shows_every_class_up_to_ten(fitted):
    """Twelve classes in the test part: the rows stop at ten."""
    test = fitted.dataset.test
    labels = np.arange(24) % 12
    names = tuple(f"class {i}" for i in range(12))
    split = ArraySplit(test.pixels, labels.astype(np.int64))
    many = dataclasses.replace(fitted, dataset=Dataset("many", names, split, split))
    assert len([axes for axes in figures.grid(many).axes if axes.images]) == 10 * (1 + 3 + 6)


def test_the_panel_of_an_image_names_its_targets_in_words(fitted):
    explained = explain(fitted.head, fitted.tap_maps["test"][:2], ["svm_rbf:predicted", "cnn:left", "pca:1"])
    figure = figures.explanation(fitted.dataset.test.images([0, 1], 32)[1], explained, 1)
    written = " ".join(texts(figure))
    assert f"RBF-SVM predicts {explained.labels[1, 0]}, margin = " in written
    assert "CNN, logit of left = " in written
    assert "component 2 = " in written


def test_maps_are_tiny_beside_the_spread_of_the_values_in_the_run(fitted):
    targets = ["svm_rbf:predicted", "cnn:left", "pca:1"]
    explained = explain(fitted.head, fitted.tap_maps["test"][:2], targets)
    spreads = {name: np.std(values, axis=0) for name, values in fitted.outputs.values.items()}
    scales = figures.typical_scales(explained, 1, spreads)
    cells = explained.positive.shape[2] * explained.positive.shape[3]
    assert scales["pca:1"] == pytest.approx(np.std(fitted.components["train"][:, 1]) / cells, rel=1e-3)
    class_index = fitted.dataset.class_names.index(explained.labels[1, 0])
    assert scales["svm_rbf:predicted"] == pytest.approx(spreads["svm_rbf"][class_index] / cells)
    factors = np.array([scales["svm_rbf:predicted"] * 1e-5, 1, 1])[:, None, None]
    tiny = dataclasses.replace(
        explained,
        positive=0 * explained.positive + factors,
        negative=0 * explained.negative,
        vanished=np.zeros((2, 3), bool),
    )
    image = fitted.dataset.test.images([1], 32)[0]
    written = " ".join(" ".join(texts(figures.explanation(image, tiny, 1, spreads=spreads))).split())
    assert written.count("tiny: 1e-05 of the typical scale") == 1
    assert "typical" not in " ".join(texts(figures.explanation(image, explained, 1, spreads=spreads)))
    assert figures.typical_scales(explained, 0, {"pca": np.zeros(3)}) == {}


def card_values(figure, r, sign):
    """Return the values written below the images of one side of component ``r``, in their order."""
    block = figure.subfigs[r - 1].subfigs[0 if sign > 0 else 1]
    return [float(text.removeprefix("value ")) for text in texts(block) if text.startswith("value ")]


def test_cards_show_the_furthest_training_images(fitted):
    figure = figures.component_cards(fitted, count=3)
    for r, v in enumerate(fitted.components["train"].T, start=1):
        assert card_values(figure, r, 1) == pytest.approx(sorted(v)[:-4:-1], rel=5e-3)
        assert card_values(figure, r, -1) == pytest.approx(sorted(v)[:3], rel=5e-3)
    ratio = fitted.pca.explained_variance_ratio_[0]
    assert f"component 1 ({percentage(ratio)} of the variance)" in texts(figure)


def test_cards_show_each_image_with_its_class_and_map(fitted, monkeypatch):
    calls = []
    monkeypatch.setattr(figures.plots, "component_cards", lambda cards, ratios: calls.append((cards, ratios)))
    figures.component_cards(fitted, count=2)
    [(cards, ratios)] = calls
    assert len(cards) == len(ratios) == 3
    for r, (high, low) in enumerate(cards):
        v = fitted.components["train"][:, r]
        for side, order in ((high, np.argsort(-v)), (low, np.argsort(v))):
            for n, row in enumerate(order[:2]):
                assert side.names[n] == fitted.dataset.class_names[fitted.dataset.train.labels[row]]
                assert side.values[n] == v[row]
                np.testing.assert_array_equal(side.images[n], fitted.dataset.train.images([row], 32)[0])
                signed = explain(fitted.head, fitted.tap_maps["train"][[row]], f"pca:{r}").signed[0, 0]
                np.testing.assert_allclose(side.maps[n], signed, rtol=1e-4, atol=1e-7)


def test_cards_take_no_image_twice_and_at_most_five_components(fitted, monkeypatch):
    calls = []
    monkeypatch.setattr(figures.plots, "component_cards", lambda cards, ratios: calls.append(cards))
    figures.component_cards(fitted, count=999)
    assert [len(side.names) for card in calls[0] for side in card] == [30] * 6
    monkeypatch.setattr(figures, "MOST_CARDS", 2)
    figures.component_cards(fitted)
    assert len(calls[1]) == 2
    with pytest.raises(InputError, match="count must be at least 1 image"):
        figures.component_cards(fitted, count=0)


def test_the_furthest_rows_of_two_components():
    v = np.array([[0.0, 5], [9, 1], [-3, 2], [4, 3], [7, -8]])
    rows, places = furthest(v, 2)
    assert rows[places].tolist() == [[[1, 4], [2, 0]], [[0, 3], [4, 1]]]
    assert furthest(v[:1], 3)[1].shape == (2, 2, 0)
