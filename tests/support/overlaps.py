"""Texts of a figure that cannot be read: they overlap each other or a picture, or lie outside the figure."""

import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import AxesImage
from matplotlib.text import Text

TOUCH = 1.0
"""Boxes may share this many pixels in each direction, because letters do not fill their boxes."""


def unreadable(figure):
    """Return a line for every text that overlaps another one, reaches into a picture, or leaves the figure."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in written(figure)]
    pictures = [image.get_window_extent(renderer) for image in figure.findobj(AxesImage)]
    faults = [f"{text!r} leaves the figure" for text, box in boxes if not _inside(box, figure.bbox)]
    for (text, box), (other, beside) in itertools.combinations(boxes, 2):
        faults += [f"{text!r} overlaps {other!r}"] * _overlap(box, beside)
    for (text, box), picture in itertools.product(boxes, pictures):
        faults += [f"{text!r} reaches into a picture"] * (_overlap(box, picture) and not _inside(box, picture))
    return faults


def written(figure):
    """Return the texts that are drawn: of all ticks only those within the limits of a visible axis."""
    on_axes = {text for axes in figure.axes for axis in axes._axis_map.values() for text in axis.findobj(Text)}
    texts = [text for text in figure.findobj(Text) if text not in on_axes]
    for axes in figure.axes:
        for axis in axes._axis_map.values() if axes.axison else ():
            texts += [axis.label, axis.get_offset_text(), *_tick_labels(axis)] if axis.get_visible() else []
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def _tick_labels(axis):
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [label for tick in ticks if low <= tick.get_loc() <= high for label in (tick.label1, tick.label2)]


def _overlap(box, other):
    return all(
        min(high, other_high) - max(low, other_low) > TOUCH
        for (low, high), (other_low, other_high) in zip(_sides(box), _sides(other), strict=True)
    )


def _inside(box, outer):
    return all(
        outer_low - TOUCH <= low and high <= outer_high + TOUCH
        for (low, high), (outer_low, outer_high) in zip(_sides(box), _sides(outer), strict=True)
    )


def _sides(box):
    return (box.x0, box.x1), (box.y0, box.y1)
