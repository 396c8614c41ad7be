"""Claim (ours, not the paper's): an RBF-SVM with gamma = 1 memorises its training images if features exceed unit order.

Command: pcacam reproduce gamma_trap --data-root DIR --scale full
         (or --scale sample)
Paper:   gamma = 1, cost = 1; the scale of the features, which decides the RBF-SVM's scores, is not stated.
Ours:    on the samples, components with a standard deviation of 30 fall into the trap on 6 of 6 datasets, our
         unscaled components on none.
"""

import functools

import numpy as np

from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import SETS

SCALES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Standard deviations to which the components are scaled by one common factor; a ReLU head gives 15 to 25."""
MOST_IMAGES = 1000
"""Maximum number of images of a split that are used; they are evenly spread over its rows."""
TRAPPED = 0.1
"""A scale is in the trap if its test F1 is more than this below the best test F1 of all scales."""


@functools.lru_cache(maxsize=len(SETS))
def measure_set(outcome: Outcome) -> dict:
    """Return train and test macro F1 and the share of support vectors, at every scale and at the unscaled features."""
    train, test = outcome.group("train"), outcome.group("test")
    unscaled = deviation(train["features"])
    scales = sorted({*SCALES, unscaled})
    results = [one_scale(train, test, scale / unscaled, outcome.settings) for scale in scales]
    return {
        "deviation": unscaled,
        "scales": scales,
        **{key: [result[key] for result in results] for key in results[0]},
    }


def deviation(features: np.ndarray) -> float:
    """Return the root of the mean variance of the components."""
    return float(np.sqrt(np.var(np.asarray(features, np.float64), axis=0).mean()))


def one_scale(train: dict, test: dict, factor: float, settings: dict) -> dict[str, float]:
    """Return the scores of an RBF-SVM that is fitted to features multiplied by ``factor``."""
    from sklearn.metrics import f1_score
    from sklearn.svm import SVC

    from pcacam_jax.reports.figures import spread

    scaled = []
    for split in (train, test):
        rows = spread(len(split["labels"]), MOST_IMAGES)
        scaled.append((factor * np.asarray(split["features"][rows], np.float64), split["labels"][rows]))
    (v, labels), (v_test, truth) = scaled
    svm = SVC(kernel="rbf", C=settings["cost"], gamma=settings["gamma"]).fit(v, labels)
    return {
        "train": float(f1_score(labels, svm.predict(v), average="macro")),
        "test": float(f1_score(truth, svm.predict(v_test), average="macro")),
        "support": float(svm.n_support_.sum() / len(labels)),
    }


def measure(outcomes: Outcomes) -> Finding:
    results = {name: measure_set(outcome) for name, outcome in outcomes.items()}
    rows = []
    for name, result in results.items():
        ours, wide = result["scales"].index(result["deviation"]), result["scales"].index(30.0)
        f1 = [f"{result['train'][i]:.3f} / {result['test'][i]:.3f}" for i in (ours, wide)]
        rows.append((outcomes[name].title, f"{result['deviation']:.2f}", *f1, f"{result['support'][wide]:.0%}"))
    columns = ("dataset", "our SD", "F1 train / test at our SD", "F1 train / test at SD 30", "support vectors at SD 30")
    title = (
        f"RBF-SVM at two standard deviations (SD) of its features; first seed, at most {MOST_IMAGES:,} images per split"
    )
    return Finding(
        tables=(Table(columns, tuple(rows), title),), verdicts=tuple(verdicts(outcomes, results)), data=results
    )


def verdicts(outcomes: Outcomes, results: dict[str, dict]) -> list[str]:
    at_30, at_ours, rising = [], [], []
    for name, result in results.items():
        best, wide = int(np.argmax(result["test"])), result["scales"].index(30.0)
        for place, trapped in ((wide, at_30), (result["scales"].index(result["deviation"]), at_ours)):
            if result["test"][best] - result["test"][place] > TRAPPED:
                trapped.append(outcomes[name].title)
        if result["train"][wide] > result["train"][best]:
            rising.append(outcomes[name].title)
    return [
        f"With features scaled to a standard deviation of 30, test F1 is more than {TRAPPED} below its best value on "
        f"{len(at_30)} of {len(results)} datasets; there, training F1 is higher than at the scale of the best test F1 "
        f"on {len(rising)} of {len(results)}.",
        f"With our unscaled features, test F1 is more than {TRAPPED} below its best value on {len(at_ours)} of "
        f"{len(results)} datasets" + (f": {listed(at_ours)}." if at_ours else "."),
    ]


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.plots.curves import BLUE, GREY, ORANGE
    from pcacam_jax.reproduce.figures import shared_legend, sheet

    figure, panels = sheet(outcomes, (4.0, 3.1))
    drawn = []
    for axes, outcome in panels:
        result = measure_set(outcome)
        for key, colour, label in (
            ("train", GREY, "macro F1, training"),
            ("test", BLUE, "macro F1, test"),
            ("support", ORANGE, "share of support vectors"),
        ):
            axes.plot(result["scales"], result[key], color=colour, marker="o", markersize=3, label=label)
        axes.axvline(result["deviation"], color="black", linestyle=":", linewidth=1, label="our unscaled features")
        axes.set(
            xscale="log",
            xlabel="standard deviation of the features",
            ylabel="macro F1, share",
            ylim=(0, 1.03),
            title=outcome.title,
        )
        axes.grid(alpha=0.3)
        drawn.append(axes)
    shared_legend(figure, drawn[0])
    first = next(iter(outcomes.values()))
    figure.suptitle(f"RBF-SVM with $\\gamma$ = {first.settings['gamma']:g}, seed {first.seeds[0]}", fontsize=12)
    return {"gamma_trap": figure}


CLAIM = Claim(
    name="gamma_trap",
    title="the scale of the features decides what gamma = 1 does",
    paper="Section 6.1",
    statement="both SVMs are used with cost 1 and hyper-parameter 1, untuned; the scale of the features is not stated.",
    sets=SETS,
    measure=measure,
    draw=draw,
    first_seed=True,
)
