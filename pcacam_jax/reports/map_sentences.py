"""The results of :func:`pcacam_jax.reports.map_statistics.map_statements` as English sentences for a report."""

from typing import Any

from pcacam_jax.core.text import listed, number, percent
from pcacam_jax.reports.figures import TITLES


def sentences(statements: dict[str, Any]) -> list[str]:
    """Return the statements as sentences.

    Args:
        statements: the result of :func:`pcacam_jax.reports.map_statistics.map_statements`, or the same read from JSON.

    Returns:
        The sentences: about the images, every SVM, the pairs of components and the single components. Sentences that
        have nothing to report are left out.
    """
    height, width = statements["map_shape"]
    lines = [
        f"Measured on {statements['images']} test images of {statements['data']}, with maps of {height} x {width} "
        f"values after ReLU. Two maps count as similar if their correlation is at least {statements['alike']:g}."
    ]
    for name, classifier in statements["classifiers"].items():
        lines += _classifier(str(TITLES.get(name, name)), classifier)
    lines += [_pair(pair) for pair in statements["pairs"]]
    lines.append(_signs(statements["components"]))
    lines += [_sides(statements["classes"], r) for r in range(len(statements["components"]))]
    return [line for line in lines if line]


def _classifier(title: str, classifier: dict[str, Any]) -> list[str]:
    cnn, components = classifier["cnn"], classifier["components"]
    largest = max(components, key=lambda component: component["share"] or 0)
    return [
        f"The mean correlation of the {title}'s map with the CNN's Grad-CAM map "
        f"is {number(cnn['correlation']['mean'])} ({number(cnn['chance']['mean'])} with the Grad-CAM map of another "
        f"image). The two maps are similar on {percent(cnn['correlation']['alike'])} of the images, and both "
        f"classifiers predict the same class on {percent(cnn['same_class'])}. Before ReLU, the cosine of the two maps "
        f"is negative on {percent(cnn['opposed'])}: regions that raise one score lower the other.",
        f"The mean share in the {title}'s map is {_each(components, 'share')}. One component contributes more than all "
        f"others together on {percent(classifier['dominated'])} of the images ({_each(components, 'dominates')}).",
        f"The {title}'s map is similar to the map of at least one component on "
        f"{percent(classifier['alike_a_component'])} of the images, and to the maps of several components on "
        f"{percent(classifier['alike_several'])}, where L+ or L- of a component is compared according to the sign of "
        f"its weight. Component {largest['component']} has the largest share; the mean correlation with its map is "
        f"{number(largest['read']['mean'])} ({number(largest['chance']['mean'])} with its map of another image).",
        _inference(title, classifier),
        _zeros(title, classifier),
    ]


def _inference(title: str, classifier: dict[str, Any]) -> str:
    """Return how reliably similarity reveals the component that a decision uses, which the paper assumes."""
    components = [part for part in classifier["components"] if part["dominates_where_alike"] is not None]
    if not components or classifier["dominant_is_most_alike"] is None:
        return ""
    shares = listed(
        f"{percent(part['dominates_where_alike'])} of these images for component {part['component']} "
        f"({percent(part['dominates'])} of all images)"
        for part in components
    )
    return (
        f"Where the {title}'s map is similar to the map of a component, this component dominates the decision on "
        f"{shares}. The component with the largest share also has the most similar map on "
        f"{percent(classifier['dominant_is_most_alike'])} of the images."
    )


def _zeros(title: str, classifier: dict[str, Any]) -> str:
    zero_maps, zero_weights = classifier["zero_maps"], classifier["zero_weights"]
    if not zero_maps:
        return ""
    vanished = f", on {zero_weights} of them because its gradient vanished" if zero_weights else ""
    return f"The {title}'s map is zero everywhere on {zero_maps} {'image' if zero_maps == 1 else 'images'}{vanished}."


def _pair(pair: dict[str, Any]) -> str:
    first, second = pair["components"]
    return (
        f"Components {first} and {second} look at different regions on {percent(pair['differ'])} of the images: "
        f"neither L+ nor L- of component {first} is similar to L+ or L- of component {second}. For maps of two "
        f"different images, this is the case on {percent(pair['chance'])}."
    )


def _signs(components: list[dict[str, Any]]) -> str:
    shares = listed(f"{percent(part['disagree'])} for component {part['component']}" for part in components)
    return f"The share of images on which a component's value and the sum of its map differ in sign is {shares}."


def _sides(classes: list[dict[str, Any]], r: int) -> str:
    """Return which classes have a positive and a negative mean of component r + 1, the largest magnitudes first."""
    means = sorted(((one["mean"][r], one["name"]) for one in classes if one["mean"][r] is not None), reverse=True)
    above = [f"{name} ({mean:+.2g})" for mean, name in means if mean > 0]
    below = [f"{name} ({mean:+.2g})" for mean, name in reversed(means) if mean <= 0]
    sides = [f"{sign} for {listed(names)}" for sign, names in (("positive", above), ("negative", below)) if names]
    return f"The mean of component {r + 1} is {' and '.join(sides)}." if sides else ""


def _each(components: list[dict[str, Any]], key: str) -> str:
    return listed(f"{percent(part[key])} for component {part['component']}" for part in components)
