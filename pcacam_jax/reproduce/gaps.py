"""Large differences from Table 3, each with the measured facts that may explain it."""

from pcacam_jax.reproduce.claim import mean_and_spread
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import CLASSIFIERS, TABLE3

LARGE = 0.05
"""Differences in test F1 beyond this, up or down, are listed."""


def gap(outcome: Outcome, name: str, classifier: str) -> float:
    """Return our mean test F1 minus the paper's."""
    return mean_and_spread(outcome.scores(classifier, "test"))[0] - TABLE3[name].scores(classifier)["test"]


def large_gaps(name: str, outcome: Outcome) -> list[str]:
    """Return a sentence or two for every classifier of a set whose test F1 differs much from the paper's."""
    return [
        f"{outcome.title}, {title}: test F1 {_number(outcome, classifier)} against the paper's "
        f"{TABLE3[name].scores(classifier)['test']:.3f} ({gap(outcome, name, classifier):+.3f}). "
        + " ".join(_facts(outcome, name, classifier))
        for classifier, title in CLASSIFIERS.items()
        if abs(gap(outcome, name, classifier)) > LARGE
    ]


def _number(outcome: Outcome, classifier: str) -> str:
    return f"{mean_and_spread(outcome.scores(classifier, 'test'))[0]:.3f}"


def _facts(outcome: Outcome, name: str, classifier: str) -> list[str]:
    images, paper = outcome.record["images"]["train"], TABLE3[name]
    facts = []
    if images < paper.train:
        facts.append(
            f"Trained on {images:,} images, the paper on {paper.train:,}, {paper.train / images:.1f} times as many."
        )
    train, test = (mean_and_spread(outcome.scores(classifier, part))[0] for part in ("train", "test"))
    scores = paper.scores(classifier)
    facts.append(f"Train minus test is {train - test:+.3f} here, {scores['train'] - scores['test']:+.3f} in the paper.")
    if classifier in outcome.record["support_vectors"]:
        share = mean_and_spread(outcome.record["support_vectors"][classifier])[0] / images
        facts.append(f"{share:.0%} of the training images are support vectors.")
    if any(warning.startswith(f"{classifier} memorises") for warning in outcome.record["warnings"]):
        facts.append("It has memorised them: gamma is too large for features of this scale.")
    return facts
