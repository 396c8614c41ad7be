"""Component cards: every image stands above its map, colours show the sign, invalid input raises an InputError."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.core.checks import InputError
from pcacam_jax.plots import Side

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def side(count=2, sign=1, **changes):
    fields = {
        "images": [PICTURE] * count,
        "names": ["cat", "do$g$"][:count],
        "values": sign * np.arange(count, 0, -1) * 1.5,
        "maps": RNG.normal(size=(count, 4, 5)),
    }
    return Side(**{**fields, **changes})


def cards(components=2, count=2, ratios=(0.62, 0.2), **changes):
    sides = [(side(count, **changes), side(count, -1, **changes)) for _ in range(components)]
    return plots.component_cards(sides, ratios[:components])


def texts(figure):
    figure.draw_without_rendering()
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


@pytest.mark.parametrize(("components", "count"), [(1, 1), (2, 2)])
def test_every_image_has_its_name_value_and_map(components, count):
    written = texts(cards(components, count))
    lines = [" ".join(text.split()) for text in written]
    assert written.count("cat") == 2 * components
    assert written.count("do$g$") == 2 * components * (count - 1)
    for r, ratio in list(enumerate((62, 20), start=1))[:components]:
        assert f"component {r} ({ratio} % of the variance)" in lines
        for end in ("largest", "smallest"):
            assert f"{end} values of component {r}" in lines
    assert written.count("value 1.5") == written.count("value -1.5") == components
    assert any("effects are local" in " ".join(text.split()) for text in written)


def test_images_stand_above_their_maps_with_the_high_side_left():
    maps = {sign: sign * np.arange(1, 41.0).reshape(2, 4, 5) for sign in (1, -1)}
    figure = plots.component_cards([(side(maps=maps[1]), side(sign=-1, maps=maps[-1]))], [0.5])
    figure.draw_without_rendering()
    drawn = [axes for axes in figure.axes if len(axes.images) == 2]
    drawn.sort(key=lambda axes: axes.get_window_extent().x0)
    expected = [maps[1][0], maps[1][1], maps[-1][0], maps[-1][1]]
    for axes, heatmap in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(axes.images[1].get_array(), heatmap)
        assert axes.images[1].get_clim() == (-np.abs(heatmap).max(), np.abs(heatmap).max())
        assert axes.get_xlabel() == f"range: ±{np.abs(heatmap).max():.2g}"
    pictures = [axes for axes in figure.axes if len(axes.images) == 1 and axes.get_title()]
    assert len(pictures) == 4
    for above in pictures:
        [below] = [axes for axes in drawn if abs(axes.get_window_extent().x0 - above.get_window_extent().x0) < 1]
        assert below.get_window_extent().y1 < above.get_window_extent().y0
        np.testing.assert_array_equal(above.images[0].get_array(), PICTURE)


def test_colours_show_the_sign_and_zero_is_black():
    drawn = plots.signed_overlay(Figure().add_subplot(), PICTURE, np.eye(4), maximum=2)
    colours = {value: drawn.to_rgba(value)[:3] for value in (-1.0, 0.0, 1.0)}
    np.testing.assert_allclose(colours[0.0], 0, atol=0.02)
    assert colours[1.0][0] > colours[1.0][2] + 0.5  # orange: red above blue
    assert colours[-1.0][2] > colours[-1.0][0] + 0.5
    assert drawn.get_clim() == (-2, 2)
    below = drawn.axes.images[0]
    assert np.ptp(below.to_rgba(below.get_array())[..., :3], axis=2).max() == 0  # grey
    assert drawn.get_extent() == below.get_extent()


def test_a_map_of_zeros_is_labelled():
    written = texts(cards(1, maps=np.zeros((2, 4, 5))))
    assert written.count("zero or underflowed") == 4
    assert not any("range:" in text for text in written)
    flagged = texts(cards(1, maps=np.zeros((2, 4, 5)), vanished=[False, True]))
    assert flagged.count("zero everywhere") == flagged.count("gradient\nunderflowed") == 2


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: cards(2, ratios=(0.5,)), r"cards must have one entry per component: expected 1, got 2"),
        (lambda: plots.component_cards([], []), r"ratios must have shape \(D,\)"),
        (lambda: cards(1, 0), r"at least one image; got none"),
        (lambda: cards(1, names=["cat"]), r"cards\[0\]\.names must have one entry per image: expected 2, got 1"),
        (lambda: cards(1, values=[1.0]), r"cards\[0\]\.values must have shape \(2,\)"),
        (lambda: cards(1, maps=np.ones((1, 4, 5))), r"cards\[0\]\.maps must have shape \(2, h, w\)"),
        (lambda: cards(1, maps=np.full((2, 4, 5), np.nan)), r"cards\[0\]\.maps must be finite"),
        (lambda: plots.component_cards([(side(2), side(1, -1))], [0.5]), "expected 2, got 1"),
        (
            lambda: plots.signed_overlay(Figure().add_subplot(), PICTURE, -np.eye(4), maximum=0.5),
            r"at least the largest magnitude of the heatmap, 1; got 0\.5",
        ),
    ],
)
def test_invalid_cards_raise(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
