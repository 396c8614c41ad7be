"""Claim: a VGG16 with a small dense head, a PCA of three components and two SVMs classifies six datasets well.

Command: pcacam reproduce table3 --data-root DIR --scale full
         (or --scale sample)
Paper:   Table 3, macro F1 train/test.
           MNIST          CNN .993/.991   Lin-SVM .986/.980   RBF-SVM .997/.989
           Fashion-MNIST  CNN .925/.903   Lin-SVM .922/.897   RBF-SVM .988/.943
           Blood-MNIST    CNN .944/.877   Lin-SVM .925/.873   RBF-SVM .984/.909
           CIFAR-10       CNN .899/.767   Lin-SVM .789/.735   RBF-SVM .892/.794
           Chest X-ray    CNN .966/.956   Lin-SVM .998/.975   RBF-SVM .998/.975
           Dog vs. Cat    CNN .967/.931   Lin-SVM .995/.930   RBF-SVM .995/.931
Ours:    test F1 on samples of 250 to 400 training images per class (five seeds); 13 of 18 are within .05 of the paper.
           MNIST          CNN .957   Lin-SVM .950   RBF-SVM .949
           Fashion-MNIST  CNN .865   Lin-SVM .869   RBF-SVM .867
           Blood-MNIST    CNN .782   Lin-SVM .784   RBF-SVM .782
           CIFAR-10       CNN .733   Lin-SVM .723   RBF-SVM .726
           Chest X-ray    CNN .961   Lin-SVM .965   RBF-SVM .966
           Dog vs. Cat    CNN .972   Lin-SVM .980   RBF-SVM .980
         On all images (three seeds), Blood-MNIST only: CNN .841, Lin-SVM .837, RBF-SVM .839.
"""

from pcacam_jax.core.text import listed
from pcacam_jax.reports.class_table import CLASSIFIERS
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table, mean_and_spread, spread_text
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import SETS, TABLE3

COLUMNS = ("dataset", "classifier", "train, paper", "train, ours", "Δ", "test, paper", "test, ours", "Δ")
SPLITS = ("train", "test")
LARGE = 0.05
"""Differences in test F1 of more than this, in either direction, are listed."""


def measure(outcomes: Outcomes) -> Finding:
    rows = [row(name, outcome, classifier) for name, outcome in outcomes.items() for classifier in CLASSIFIERS]
    return Finding(
        tables=(Table(COLUMNS, tuple(rows)),),
        verdicts=tuple(verdicts(outcomes)),
        gaps=tuple(text for name, outcome in outcomes.items() for text in large_gaps(name, outcome)),
        data={name: {c: numbers(name, outcome, c) for c in CLASSIFIERS} for name, outcome in outcomes.items()},
    )


def row(name: str, outcome: Outcome, classifier: str) -> tuple[str, ...]:
    cells = [outcome.title, CLASSIFIERS[classifier]]
    for split in SPLITS:
        ours, paper = outcome.scores(classifier, split), TABLE3[name].scores(classifier)[split]
        cells += [f"{paper:.3f}", spread_text(ours), f"{mean_and_spread(ours)[0] - paper:+.3f}"]
    return tuple(cells)


def numbers(name: str, outcome: Outcome, classifier: str) -> dict:
    values = {}
    for split in SPLITS:
        mean, spread = mean_and_spread(outcome.scores(classifier, split))
        paper = TABLE3[name].scores(classifier)[split]
        values[split] = {"paper": paper, "mean": mean, "standard_deviation": spread, "delta": mean - paper}
    return values


def verdicts(outcomes: Outcomes) -> list[str]:
    gaps = {
        (outcome.title, title): gap(outcome, name, c)
        for name, outcome in outcomes.items()
        for c, title in CLASSIFIERS.items()
    }
    (where, which), largest = max(gaps.items(), key=lambda pair: abs(pair[1]))
    near = sum(abs(value) <= LARGE for value in gaps.values())
    sentences = [
        f"Test F1 is within {LARGE} of the paper's in {near} of {len(gaps)} cells. The largest difference is "
        f"{largest:+.3f} ({where}, {which})."
    ]
    for other, comparison in (
        ("svm_linear", "the Lin-SVM on all six datasets"),
        ("cnn", "the CNN on all datasets but MNIST"),
    ):
        below = [o.title for o in outcomes.values() if test_f1(o, "svm_rbf") < test_f1(o, other)]
        sentences.append(
            f"In the paper, the RBF-SVM is at least as good on test images as {comparison}; here this is true "
            f"on {len(outcomes) - len(below)} of {len(outcomes)} datasets"
            + (f", but not on {listed(below)}." if below else ".")
        )
    return sentences


def test_f1(outcome: Outcome, classifier: str) -> float:
    """Return our mean test F1."""
    return mean_and_spread(outcome.scores(classifier, "test"))[0]


def gap(outcome: Outcome, name: str, classifier: str) -> float:
    """Return our mean test F1 minus the paper's."""
    return test_f1(outcome, classifier) - TABLE3[name].scores(classifier)["test"]


def large_gaps(name: str, outcome: Outcome) -> list[str]:
    """Return a few sentences for every classifier whose test F1 differs from the paper's by more than LARGE."""
    return [
        f"{outcome.title}, {title}: test F1 {test_f1(outcome, classifier):.3f} against the paper's "
        f"{TABLE3[name].scores(classifier)['test']:.3f} ({gap(outcome, name, classifier):+.3f}). "
        + " ".join(_facts(outcome, name, classifier))
        for classifier, title in CLASSIFIERS.items()
        if abs(gap(outcome, name, classifier)) > LARGE
    ]


def _facts(outcome: Outcome, name: str, classifier: str) -> list[str]:
    images, paper = outcome.record["images"]["train"], TABLE3[name]
    facts = []
    if images < paper.train:
        facts.append(
            f"Trained on {images:,} images; the paper has {paper.train:,}, {paper.train / images:.1f} times as many."
        )
    train, test = (mean_and_spread(outcome.scores(classifier, split))[0] for split in SPLITS)
    scores = paper.scores(classifier)
    facts.append(f"Train minus test is {train - test:+.3f} here, {scores['train'] - scores['test']:+.3f} in the paper.")
    if classifier in outcome.record["support_vectors"]:
        share = mean_and_spread(outcome.record["support_vectors"][classifier])[0] / images
        facts.append(f"{share:.0%} of the training images are support vectors.")
    if {"kind": "memorisation", "subject": classifier} in outcome.record["warning_kinds"]:
        facts.append("It has memorised the training images: gamma is too large for features of this scale.")
    return facts


CLAIM = Claim(
    name="table3",
    title="macro F1 of the CNN and both SVMs",
    paper="Table 3",
    statement="the CNN and both SVMs on three principal components generalise well on six datasets.",
    sets=SETS,
    measure=measure,
)
