"""Names of every kind can be drawn in every place, without warnings, mathematics or empty boxes."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from pcacam_jax import plots
from pcacam_jax.plots.names import inline, readable, wrapped

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
NAMES = [
    "_background_",
    "$5 to $10",
    r"$\frac{_^$",
    "two\nlines\tand a tab",
    "",
    "\N{ZERO WIDTH SPACE}",
    "long " * 60,
    "x" * 300,
    "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED} 12",
    "\N{ARABIC LETTER MEEM}\N{ARABIC LETTER REH}",
    "\u72d7\u732b",
    "\N{GRINNING FACE}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}",
    "not UTF-8 \udce9",
    "nul \x00",
    "\N{DEVANAGARI LETTER HA}\N{DEVANAGARI SIGN VIRAMA}",
]


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("_cat_", "_cat_"),
        ("a\n\tb", "a b"),
        ("", "''"),
        (" \t", r"' \t'"),
        ("\N{ZERO WIDTH SPACE}", "U+200B"),
        ("\u72d7a", "U+72D7 a"),
        ("a\udce9", "a U+DCE9"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}gpj", "U+202E gpj"),
        (7, "7"),
    ],
)
def test_readable_names(name, text):
    assert readable(name) == text


def test_long_names_keep_their_ends():
    assert readable("a" * 100 + "b", most=9) == "aaaaa\N{HORIZONTAL ELLIPSIS}aab"
    assert max(map(len, wrapped("\u72d7" * 30, 10).split("\n"))) == 5


def test_right_to_left_names_do_not_move_the_sign_of_a_number():
    name = NAMES[8]
    assert inline(name) == f"\N{LEFT-TO-RIGHT MARK}{name}\N{LEFT-TO-RIGHT MARK}"
    assert inline("cat") == "cat"


def test_another_font_supplies_missing_characters():
    with mpl.rc_context({"font.family": ["cmr10"], "axes.formatter.use_mathtext": True}):
        assert readable("\N{GREEK CAPITAL LETTER OMEGA}") == "\N{GREEK CAPITAL LETTER OMEGA}"
        figure = Figure()
        plots.image(figure.add_subplot(), PICTURE, "\N{GREEK CAPITAL LETTER OMEGA}")
        figure.draw_without_rendering()


def scatter(names):
    figure = Figure(figsize=(12, 6), layout="constrained")
    plots.feature_space(figure.add_subplot(), RNG.normal(size=(30, 2)), np.arange(30) % len(names), names, [0])
    return figure


def strip(names):
    figure = Figure(figsize=(12, 6), layout="constrained")
    plots.feature_space(figure.add_subplot(), RNG.normal(size=(30, 1)), np.arange(30) % len(names), names)
    return figure


def matrix(names):
    figure = Figure(figsize=(9, 9), layout="constrained")
    plots.confusion_matrix(figure.add_subplot(), np.eye(len(names)), names)
    return figure


def panel(names):
    maps = RNG.random((len(names), 3, 3))
    return plots.explanation_panel(PICTURE, names, maps, maps, -np.ones(len(names)), comparison=names)


def many(names):
    return panel(names * 2)


def grid(names):
    maps = RNG.random((2, 3, 3))
    columns = dict.fromkeys(names[:4], maps)
    truth, predictions = names[:2], dict.fromkeys(columns, names[:2])
    return plots.paper_grid([PICTURE] * 2, columns, maps[:, None], truth=truth, predictions=predictions)


def cards(names):
    side = plots.Side([PICTURE] * 3, names[:3], np.ones(3), RNG.normal(size=(3, 3, 3)))
    return plots.component_cards([(side, side)], [0.5])


def terms(names):
    one = np.ones(3)
    images = plots.SupportImages(None, names[:3], RNG.normal(size=(3, 3, 3)), one / 3, one, one, one)
    maps = np.zeros((3, 3))
    return plots.decision_evidence(PICTURE, maps, images, maps, title=names[0], others=0, comparison=names[1])


def weights(names):
    figure = Figure(layout="constrained")
    plots.component_weights(figure.add_subplot(), [1.0, 2.0], names[0])
    return figure


@pytest.mark.parametrize("draw", [scatter, strip, matrix, panel, many, grid, cards, terms, weights])
def test_every_name_is_drawn_in_every_place(draw):
    for start in range(0, len(NAMES), 5):
        draw(NAMES[start : start + 5]).draw_without_rendering()


@pytest.mark.parametrize("draw", [scatter, strip, matrix, panel, grid])
def test_names_are_written_as_they_are(draw):
    written = " ".join(texts(draw(["_background_", "$5 to $10"])))
    assert "_background_" in written
    assert "$5 to $10" in written


def test_a_legend_names_many_classes_in_columns():
    names = [f"_class {i}" for i in range(200)]
    axes = plots.feature_space(
        Figure(figsize=(12, 6), layout="constrained").add_subplot(), RNG.normal(size=(200, 2)), range(200), names
    )
    written = [text.get_text() for text in axes.get_legend().get_texts()]
    assert written[:2] == names[:2]
    assert written[-1] == "... 154 more"
    axes.figure.draw_without_rendering()


def test_settings_of_matplotlib_do_not_turn_the_picture():
    settings = {"image.origin": "lower", "image.aspect": "auto", "image.interpolation": "bicubic"}
    with mpl.rc_context({**settings, "figure.autolayout": True, "axes.grid": True}):
        maps = np.arange(9.0).reshape(1, 3, 3)
        for axes in plots.explanation_panel(PICTURE, ["a"], maps, 0 * maps, [1]).axes:
            assert axes.yaxis_inverted()
            assert {image.origin for image in axes.images} == {"upper"}
        axes = Figure().add_subplot()
        assert plots.overlay(axes, PICTURE, maps[0], maximum=9).get_interpolation() == "nearest"
        assert axes.get_aspect() == 1
