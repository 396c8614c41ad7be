"""Figures of an Explanation: its flags, shares, ranks and sizes are drawn, and nothing is claimed without them."""

import dataclasses
import time

import numpy as np
import pytest
from support.marks import more

from pcacam_jax import plots
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.plots.canvas import upsampled
from pcacam_jax.plots.inputs import shrunk
from pcacam_jax.plots.pairs import FAINT, negligible

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
TARGETS = ("svm:predicted", "cnn:cat", "pca:0", "pca:1", "pca:2")
SPACES = ("margin", "logit", "component", "component", "component")


def explained(count=2, **changes):
    fields = {
        "targets": TARGETS,
        "positive": 1 + RNG.random((count, 5, 4, 5)),
        "negative": 1 + RNG.random((count, 5, 4, 5)),
        "values": RNG.normal(size=(count, 5)),
        "columns": np.tile([1, 0, 0, 1, 2], (count, 1)),
        "labels": np.array([["dog", "cat", "component 1", "component 2", "component 3"]] * count),
        "mixture": {},
        "spaces": SPACES,
        "vanished": np.zeros((count, 5), bool),
        "method": "gradcam",
        "backend": "closed_form",
        "scale_free": False,
    }
    return Explanation(**{**fields, **changes})


def scaled(factors, **changes):
    explanation = explained(**changes)
    factors = np.array(factors)[None, :, None, None]
    return dataclasses.replace(
        explanation, positive=explanation.positive * factors, negative=explanation.negative * factors
    )


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def written(figure):
    return " ".join(" ".join(texts(figure)).split())


def heats(figure):
    """The drawn maps, two for each target in their order."""
    drawn = [image for axes in figure.axes for image in axes.images]
    return [image for image in drawn if image.get_cmap().name == "inferno"]


def test_headings_say_what_each_value_is():
    figure = plots.explanation_panel(PICTURE, explained(values=np.full((2, 5), -1.5)), example=1)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title] == [
        "image",
        "svm predicts dog, margin = -1.5",
        "CNN, logit of cat = -1.5",
        *[f"component {r} = -1.5" for r in (1, 2, 3)],
    ]
    assert all(target in written(figure) for target in TARGETS)
    assert "4 x 5 cells" in written(figure)


def test_the_chosen_example_is_drawn():
    explanation = explained(3)
    figure = plots.explanation_panel(PICTURE, explanation, example=2)
    expected = np.stack([explanation.positive[2], explanation.negative[2]], axis=1).reshape(-1, 4, 5)
    np.testing.assert_array_equal([heat.get_array() for heat in heats(figure)], expected)
    grid = plots.paper_grid([PICTURE] * 3, explanation, truth=["cat", "dog", "dog"])
    classifiers, components = explanation.positive[1, :2], expected_pairs(explanation, 1)
    drawn = [heat.get_array() for heat in heats(grid)][8:16]
    np.testing.assert_array_equal(drawn, [*classifiers, *components])


def expected_pairs(explanation, b):
    return np.stack([explanation.positive[b, 2:], explanation.negative[b, 2:]], axis=1).reshape(-1, 4, 5)


@pytest.mark.parametrize("example", [None, 2, -1, True, 0.5])
def test_an_explanation_of_several_images_needs_an_example(example):
    with pytest.raises(InputError, match="example must say which of the 2 examples"):
        plots.explanation_panel(PICTURE, explained(), example=example)


def test_one_image_needs_no_example_and_the_parts_of_an_explanation_are_left_out():
    plots.explanation_panel(PICTURE, explained(1))
    with pytest.raises(InputError, match="vanished is a part of the explanation"):
        plots.explanation_panel(PICTURE, explained(1), vanished=[False] * 5)
    with pytest.raises(InputError, match="negative is missing"):
        plots.explanation_panel(PICTURE, ["a"], np.ones((1, 2, 2)))
    with pytest.raises(InputError, match="images must have one entry per example of the explanation"):
        plots.paper_grid([PICTURE], explained(2), truth=["cat"])


def test_maps_of_zeros_are_called_zero_only_with_flags():
    zero = np.zeros((1, 3, 3))
    loose = plots.explanation_panel(PICTURE, ["svm"], zero, zero, [1.0])
    grid = plots.paper_grid([PICTURE], {"svm": zero}, zero[None], truth=["cat"])
    for figure in (loose, grid):
        assert "ero everywhere" not in written(figure)
        assert "zero or underflowed" in written(figure)
    flagged = plots.explanation_panel(PICTURE, ["svm"], zero, zero, [1.0], vanished=[False])
    assert texts(flagged).count("zero\neverywhere") == 2
    whole = scaled([0.0] * 5, vanished=np.array([[False, True, False, False, False]] * 2))
    figure = plots.explanation_panel(PICTURE, whole, example=0)
    assert texts(figure).count("zero\neverywhere") == 8
    assert texts(figure).count("gradient\nunderflowed") == 2
    assert "zero or" not in written(figure)


def test_shares_of_the_variance_are_written_and_negligible_components_faint():
    explanation = explained(1, shares=(0.92, 0.0797, 0.0003))
    panel, grid = plots.explanation_panel(PICTURE, explanation), plots.paper_grid([PICTURE], explanation)
    for share in ("92 %", "8 %", "0.03 %"):
        assert f"{share} of the variance" in written(panel)
        assert written(grid).count(f" ({share})") == 2
    assert "In brackets: its share of the variance." in written(grid)
    for figure in (panel, grid):
        assert "Faint maps" in written(figure)
        faint = [heat.get_alpha() == FAINT for heat in heats(figure)]
        assert faint == [False] * (len(faint) - 2) + [True, True]
    assert "variance" not in written(plots.explanation_panel(PICTURE, explained(1)))


@pytest.mark.parametrize(
    ("share", "shares", "expected"),
    [(0.0003, [0.9, 0.1], True), (0.02, [0.9], False), (0.005, [0.01, 0.005], False), (0.005, [0.5, 0.005], True)],
)
def test_negligible_shares(share, shares, expected):
    assert negligible(share, shares) == expected


def test_tiny_scales_are_marked():
    figure = plots.explanation_panel(PICTURE, scaled([1e-22, 1, 1, 1, 1e-5]), example=0)
    assert written(figure).count("tiny:") == 2
    assert "of the largest component map" in written(figure)
    assert [heat.get_alpha() == FAINT for heat in heats(figure)] == [True] * 2 + [False] * 6 + [True] * 2
    assert "tiny" not in written(plots.explanation_panel(PICTURE, scaled([1e-3, 1, 10, 10, 10]), example=0))
    assert "tiny" not in written(
        plots.explanation_panel(PICTURE, scaled([1e-22, 1, 1, 1, 1], scale_free=True), example=0)
    )
    maps = np.stack([np.eye(3), 1e-22 * np.eye(3)])
    assert "tiny: 1e-22 of the largest map" in written(plots.explanation_panel(PICTURE, ["a", "b"], maps, maps, [1, 1]))


@pytest.mark.parametrize("typical", [[1e6, 1, 1, 1, 1], {"svm:predicted": 1e6}])
def test_typical_scales_are_the_measure_if_given(typical):
    figure = plots.explanation_panel(PICTURE, explained(1), typical=typical)
    assert written(figure).count("of the typical scale") == 1
    with pytest.raises(InputError, match=r"typical must have shape \(5,\)"):
        plots.explanation_panel(PICTURE, explained(1), typical=[1.0])


def test_components_share_a_scale_on_request():
    explanation = scaled([1, 2, 3, 4, 5], count=1)
    top = max(explanation.positive[0, 2:].max(), explanation.negative[0, 2:].max())
    panel = heats(plots.explanation_panel(PICTURE, explanation, shared_scale=True))[4:]
    grid = heats(plots.paper_grid([PICTURE], explanation, shared_scale=True))[2:]
    assert {heat.get_clim() for heat in panel + grid} == {(0, top)}
    assert len({heat.get_clim() for heat in heats(plots.explanation_panel(PICTURE, explanation))}) == 5


def test_ranks_and_comparisons():
    outputs = {"svm": np.array([[1.0, 4.0, 2.5]]), "cnn": np.array([[0.0, 3.0]]), "pca": np.ones((1, 3))}
    figure = plots.explanation_panel(PICTURE, explained(1, outputs=outputs))
    assert "rank 1 of 3, runner-up 2.5" in written(figure)
    assert "rank 2 of 2, highest 3" in written(figure)
    assert written(figure).count("rank") == 2
    compared = plots.explanation_panel(
        PICTURE, explained(1, outputs=outputs), comparison=["97th percentile"] + [""] * 4
    )
    assert "97th percentile" in written(compared)
    with pytest.raises(InputError, match="comparison must have one entry per target: expected 5, got 1"):
        plots.explanation_panel(PICTURE, explained(1), comparison=["a"])


@pytest.mark.parametrize("shape", [(40, 160), more((160, 40)), more((33, 32))])
def test_pictures_keep_the_shape_of_the_original(shape):
    square = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    original = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    sizes = explained(1, image_sizes=(shape,), image_names=("a_$b$.jpg",))
    for figure in (
        plots.explanation_panel(square, sizes),
        plots.explanation_panel(original, explained(1)),
        plots.paper_grid([square], sizes),
        plots.paper_grid([original], explained(1)),
    ):
        figure.draw_without_rendering()
        for axes in [axes for axes in figure.axes if axes.images]:
            box = axes.get_window_extent()
            assert box.height / box.width == pytest.approx(shape[0] / shape[1], rel=0.01)
            assert len({tuple(image.get_extent()) for image in axes.images}) == 1
    figure = plots.explanation_panel(square, sizes)
    assert "a_$b$.jpg" in written(figure)
    assert f"{shape[1]} pixels wide, {shape[0]} high" in written(figure)


def test_large_pictures_are_shrunk_exactly():
    pixels = RNG.integers(0, 256, (1202, 610, 3), dtype=np.uint8)
    small = shrunk(pixels, 600)
    assert small.shape == (401, 204, 3)
    np.testing.assert_allclose(small[5, 7], pixels[15:18, 21:24].mean(axis=(0, 1)), atol=0.5)
    assert shrunk(PICTURE) is PICTURE


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("many", [False, True])
def test_cells_and_interpolation(interpolation, many):
    count = 30 if many else 2
    maps = RNG.random((count, 4, 5))
    style = {"interpolation": interpolation, "cells": True}
    figure = plots.explanation_panel(PICTURE, ["a"] * count, maps, maps, np.ones(count), **style)
    borders = [collection for axes in figure.axes for collection in axes.collections if axes.images]
    assert len(borders) == 2 * count
    assert len(borders[0].get_segments()) == 3 + 4
    with pytest.raises(InputError, match="interpolation must be one of nearest, bilinear"):
        plots.explanation_panel(PICTURE, ["a"] * count, maps, maps, np.ones(count), interpolation="cubic")


def test_small_maps_are_blended_like_large_ones():
    heat = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert upsampled(heat, (4, 4), "nearest").tolist() == np.kron(heat, np.ones((2, 2))).tolist()
    smooth = upsampled(heat, (4, 4), "bilinear")
    np.testing.assert_allclose(smooth[0], [0, 0.25, 0.75, 1])
    np.testing.assert_allclose(smooth[:, 0], [0, 0.5, 1.5, 2])


def test_many_targets_are_cut_into_figures_and_each_is_named():
    count = 230
    maps, names = np.ones((count, 1, 1)), [f"target {i}." for i in range(count)]
    first = plots.explanation_panel(PICTURE, names, maps, maps, np.ones(count))
    assert "Targets 1 to 200 of 230" in written(first)
    assert written(first).count("target ") == 200
    rest = plots.explanation_panel(PICTURE, names, maps, maps, np.ones(count), first=200)
    assert "target 229. = 1" in written(rest)
    assert written(rest).count("target ") == 30
    with pytest.raises(InputError, match="first must lie between 0 and 229"):
        plots.explanation_panel(PICTURE, names, maps, maps, np.ones(count), first=230)


def test_many_components_of_a_grid_are_cut():
    maps = np.ones((1, 20, 3, 3))
    figure = plots.paper_grid([PICTURE], {}, maps, truth=["cat"])
    assert len([axes for axes in figure.axes if axes.images]) == 1 + 2 * 12
    assert "12 of 20 components are drawn" in written(figure)


@pytest.mark.exhaustive
def test_time_grows_linearly_with_the_targets(tmp_path):
    def seconds(count):
        maps, start = np.ones((count, 1, 1)), time.process_time()
        names = [f"target {i}" for i in range(count)]
        plots.save(plots.explanation_panel(PICTURE, names, maps, maps, np.ones(count)), tmp_path / "panel.png")
        return time.process_time() - start

    seconds(30)
    assert seconds(160) < 8 * seconds(40)


def test_a_grid_rejects_what_the_explanation_contains():
    explanation = explained(count=1)
    with pytest.raises(InputError, match="components is a part of the explanation"):
        plots.paper_grid([PICTURE], explanation, components=np.ones((1, 1, 2, 2)), truth=["cat"])
    with pytest.raises(InputError, match="an explanation or classifiers, but both"):
        plots.paper_grid([PICTURE], explanation, classifiers={"CNN": np.ones((1, 2, 2))}, truth=["cat"])
