"""Claim (ours, not the paper's): an RBF-SVM with gamma = 1 needs features of unit order, or it memorises.

Command: pcacam reproduce gamma_trap --data-root DIR --scale full
         (or --scale sample)
Paper:   gamma = 1, cost = 1; the scale of its features is not stated, and decides its RBF column.
Ours:    on the samples, components of a standard deviation of 30 fall into it in 6 of 6 sets, our own in none.
"""

import functools

import numpy as np

from pcacam_jax.core.text import listed
from pcacam_jax.reproduce.claim import Claim, Finding, Outcomes, Table
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import SETS

SCALES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Standard deviations to which the components are brought, all by one factor; 15 to 25 is what a ReLU head gives."""
MOST = 1000
TRAPPED = 0.1
"""A fall of test F1 by more than this below the best is called the trap."""


@functools.lru_cache(maxsize=len(SETS))
def measure_set(outcome: Outcome) -> dict:
    """Return train and test macro F1 and the share of support vectors, at every scale and at our own."""
    train, test = outcome.group("train"), outcome.group("test")
    own = deviation(train["features"])
    scales = sorted({*SCALES, own})
    found = [one_scale(train, test, scale / own, outcome.settings) for scale in scales]
    return {"deviation": own, "scales": scales, **{key: [f[key] for f in found] for key in found[0]}}


def deviation(features: np.ndarray) -> float:
    """Return the root mean variance of the components."""
    return float(np.sqrt(np.var(np.asarray(features, np.float64), axis=0).mean()))


def one_scale(train: dict, test: dict, factor: float, settings: dict) -> dict[str, float]:
    from sklearn.metrics import f1_score
    from sklearn.svm import SVC

    from pcacam_jax.reports.figures import spread

    parts = []
    for part in (train, test):
        rows = spread(len(part["labels"]), MOST)
        parts.append((factor * np.asarray(part["features"][rows], np.float64), part["labels"][rows]))
    (v, labels), (v_test, truth) = parts
    svm = SVC(kernel="rbf", C=settings["cost"], gamma=settings["gamma"]).fit(v, labels)
    return {
        "train": float(f1_score(labels, svm.predict(v), average="macro")),
        "test": float(f1_score(truth, svm.predict(v_test), average="macro")),
        "support": float(svm.n_support_.sum() / len(labels)),
    }


def measure(outcomes: Outcomes) -> Finding:
    found = {name: measure_set(outcome) for name, outcome in outcomes.items()}
    rows = []
    for name, own in found.items():
        ours, wide = own["scales"].index(own["deviation"]), own["scales"].index(30.0)
        at = [f"{own['train'][i]:.3f} / {own['test'][i]:.3f}" for i in (ours, wide)]
        rows.append((outcomes[name].title, f"{own['deviation']:.2f}", at[0], at[1], f"{own['support'][wide]:.0%}"))
    columns = ("set", "our SD", "F1 train / test, ours", "F1 train / test at SD 30", "support vectors at SD 30")
    return Finding(
        tables=(
            Table(
                columns, tuple(rows), "RBF-SVM by the scale of its features; first seed, at most 1,000 images of a part"
            ),
        ),
        verdicts=tuple(verdicts(outcomes, found)),
        data=found,
    )


def verdicts(outcomes: Outcomes, found: dict[str, dict]) -> list[str]:
    at_30, at_ours, rising = [], [], []
    for name, own in found.items():
        best, wide = int(np.argmax(own["test"])), own["scales"].index(30.0)
        for place, trapped in ((wide, at_30), (own["scales"].index(own["deviation"]), at_ours)):
            if own["test"][best] - own["test"][place] > TRAPPED:
                trapped.append(outcomes[name].title)
        if own["train"][wide] > own["train"][best]:
            rising.append(outcomes[name].title)
    return [
        f"With features brought to a standard deviation of 30, test F1 lies more than {TRAPPED} below its best in "
        f"{len(at_30)} of {len(found)} sets; training F1 is higher there than where test F1 is best in {len(rising)} "
        f"of {len(found)}.",
        f"At the scale of our own features test F1 lies so far below its best for {listed(at_ours)}.",
    ]


def draw(outcomes: Outcomes) -> dict:
    from pcacam_jax.plots.curves import BLUE, GREY, ORANGE
    from pcacam_jax.reproduce.figures import shared_legend, sheet

    figure, panels = sheet(outcomes, (4.0, 3.1))
    drawn = []
    for axes, outcome in panels:
        own = measure_set(outcome)
        for key, colour, label in (
            ("train", GREY, "macro F1, training"),
            ("test", BLUE, "macro F1, test"),
            ("support", ORANGE, "share of support vectors"),
        ):
            axes.plot(own["scales"], own[key], color=colour, marker="o", markersize=3, label=label)
        axes.axvline(own["deviation"], color="black", linestyle=":", linewidth=1, label="our features")
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
