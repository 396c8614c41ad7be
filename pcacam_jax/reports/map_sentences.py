"""What :func:`pcacam_jax.reports.map_statistics.map_statements` measured, in plain sentences for a report."""

from typing import Any

from pcacam_jax.core.text import listed, number, percent
from pcacam_jax.reports.figures import TITLES


def sentences(statements: dict[str, Any]) -> list[str]:
    """Return the statements as sentences, the most telling first; shares of nothing are left out.

    Args:
        statements: from :func:`pcacam_jax.reports.map_statistics.map_statements`, or read back from JSON.
    """
    height, width = statements["map_shape"]
    lines = [
        f"Measured on {statements['images']} test images of {statements['data']}, on maps of {height} x {width} values "
        f"after ReLU; two maps count as similar from a correlation of {statements['alike']:g}."
    ]
    for name, own in statements["classifiers"].items():
        lines += _classifier(str(TITLES.get(name, name)), own)
    lines += [_pair(own) for own in statements["pairs"]]
    lines.append(_signs(statements["components"]))
    lines += [_sides(statements["classes"], r) for r in range(len(statements["components"]))]
    return [line for line in lines if line]


def _classifier(title: str, own: dict[str, Any]) -> list[str]:
    cnn, components = own["cnn"], own["components"]
    most = max(components, key=lambda part: part["share"] or 0)
    return [
        f"The {title}'s map correlates {number(cnn['correlation']['mean'])} on average with the CNN's Grad-CAM "
        f"({number(cnn['chance']['mean'])} with that of another image) and is similar to it on "
        f"{percent(cnn['correlation']['alike'])} of the images; both predict the same class on "
        f"{percent(cnn['same_class'])}. Before ReLU the two maps point against each other on "
        f"{percent(cnn['opposed'])}: what raises one score lowers the other.",
        f"The {title}'s decisions are read from {_each(components, 'share')}; one component gives more than all others "
        f"together on {percent(own['dominated'])} of the images ({_each(components, 'dominates')}).",
        f"The {title}'s map is similar to that of at least one component, on the side that the decision reads, on "
        f"{percent(own['alike_a_component'])} of the images, and of several at once on "
        f"{percent(own['alike_several'])}: with component {most['component']}, which has the largest share, it "
        f"correlates {number(most['read']['mean'])} on average ({number(most['chance']['mean'])} with that of "
        "another image).",
        _inference(title, own),
        _zeros(title, own),
    ]


def _inference(title: str, own: dict[str, Any]) -> str:
    """Return how far similarity tells which component a decision is read from, as the paper supposes."""
    told = [part for part in own["components"] if part["dominates_where_alike"] is not None]
    if not told or own["dominant_is_most_alike"] is None:
        return ""
    shares = listed(
        f"{percent(part['dominates_where_alike'])} for component {part['component']} "
        f"(on all images {percent(part['dominates'])})"
        for part in told
    )
    return (
        f"Where the {title}'s map is similar to a component's, that component dominates the decision on {shares}; the "
        f"component of largest share has the most similar map on {percent(own['dominant_is_most_alike'])}."
    )


def _zeros(title: str, own: dict[str, Any]) -> str:
    if not own["zero_maps"]:
        return ""
    vanished = f", on {own['zero_weights']} of them because its gradient vanished" if own["zero_weights"] else ""
    images = "image" if own["zero_maps"] == 1 else "images"
    return f"The {title}'s map is zero everywhere on {own['zero_maps']} {images}{vanished}."


def _pair(own: dict[str, Any]) -> str:
    first, second = own["components"]
    return (
        f"Components {first} and {second} look at different regions on {percent(own['differ'])} of the images, where "
        "no side of one is similar to a side of the other; with the map of another image it is "
        f"{percent(own['chance'])}."
    )


def _signs(components: list[dict[str, Any]]) -> str:
    shares = listed(f"{percent(own['disagree'])} for component {own['component']}" for own in components)
    return f"A map that pushes up on the whole comes with a negative value, or the reverse, on {shares}."


def _sides(classes: list[dict[str, Any]], r: int) -> str:
    """Return which classes lie on either side of component r + 1, the furthest first."""
    means = sorted(((own["mean"][r], own["name"]) for own in classes if own["mean"][r] is not None), reverse=True)
    above = [f"{name} ({mean:+.2g})" for mean, name in means if mean > 0]
    below = [f"{name} ({mean:+.2g})" for mean, name in reversed(means) if mean <= 0]
    sides = {"positive": above, "negative": below}
    told = [f"{sign} on average for {listed(names)}" for sign, names in sides.items() if names]
    return f"Component {r + 1} is {'; '.join(told)}." if told else ""


def _each(components: list[dict[str, Any]], key: str) -> str:
    return listed(f"component {own['component']} to {percent(own[key])}" for own in components)
