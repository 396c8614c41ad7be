"""The table and the figure of `cam_benchmark.py`, from the files of its parts."""

from pathlib import Path
from typing import Any

import numpy as np
from cam_benchmark_measures import bootstrap_means, interval
from jaxtyping import Float
from matplotlib.figure import Figure

from pcacam_jax.core.files import atomic_write, read_json, write_json

KINDS = {"components": "pca:", "linear SVM": "svm_linear:", "RBF SVM": "svm_rbf:", "logit": "cnn:"}
"""The kinds of targets, and what the names of their targets begin with."""
BASE = "gradcam"
"""The method with which the others are compared."""
REFERENCES = ("random", "centre", "one cell out")
LABELS = {
    "random": "random map",
    "centre": "Gaussian at the centre",
    "one cell out": "effect of each cell alone",
}
MARKS = (
    ("positive", "#0072b2", "o", "evidence for the target removed: it should fall (right of 0)"),
    ("negative", "#d55e00", "D", "evidence against the target removed: it should rise (left of 0)"),
)
"""Measure, colour, marker and legend; people with any colour vision can distinguish the colours."""

Samples = dict[str, dict[str, dict[str, Any]]]


def write_report(out: Path, sets: tuple[str, ...], *, seed: int) -> None:
    """Write table.md, results.json and which_method.png from the parts in OUT."""
    parts = {name: {each["set"]: each for each in read_parts(out, sets, name)} for name in part_names(out)}
    results = {name: aggregated(parts[name], seed) for name in ("head", "pool", "images") if parts.get(name)}
    results |= {name: others(parts[name]) for name in ("stability", "road", "cost") if parts.get(name)}
    write_json(out / "results.json", results)
    with atomic_write(out / "table.md") as temporary:
        temporary.write_text("\n".join(table(results)) + "\n", encoding="utf-8")
    if "head" in results:
        figure = draw(results["head"]["all"], len(parts["head"]))
        with atomic_write(out / "which_method.png") as temporary:
            figure.savefig(temporary, dpi=100)


def part_names(out: Path) -> set[str]:
    """Return the names of the parts that have a file."""
    return {path.stem.rsplit("_", 1)[1] for path in (out / "parts").glob("*.json")}


def read_parts(out: Path, sets: tuple[str, ...], name: str) -> list[dict[str, Any]]:
    """Return the results of a part, for the datasets that have them."""
    paths = [out / "parts" / f"{each}_{name}.json" for each in sets]
    return [read_json(path) for path in paths if path.is_file()]


def aggregated(parts: dict[str, dict[str, Any]], seed: int) -> dict[str, Any]:
    """Return means and intervals over all datasets together, and over each one."""
    groups = {"all": list(parts.values()), **{name: [part] for name, part in parts.items()}}
    measures = list(next(iter(parts.values()))["scores"])
    return {
        "images": {name: len(part["values"]) for name, part in parts.items()},
        **{name: {measure: summary(group, measure, seed) for measure in measures} for name, group in groups.items()},
        "agreement": agreement(list(parts.values())),
    }


def summary(parts: list[dict[str, Any]], measure: str, seed: int) -> dict[str, Any]:
    """Return the mean of a measure for each method and kind of target, with 95 % intervals.

    "difference" is the interval of the paired difference to Grad-CAM.
    """
    methods = [name for name in parts[0]["methods"] if all(name in part["methods"] for part in parts)]
    kinds = dict(KINDS) | {target: target for target in parts[0]["targets"] if target.startswith("pca:")}
    values = [columns_of(part, measure, methods, kinds) for part in parts]
    shape = len(methods), len(kinds)
    samples = bootstrap_means(values, seed=seed).reshape(-1, *shape)
    means = np.mean([each.mean(axis=0) for each in values], axis=0).reshape(shape)
    base = methods.index(BASE)
    (low, high), (less, more) = interval(samples), interval(samples - samples[:, base : base + 1])
    return {
        name: {
            kind: {
                "mean": round(float(means[m, k]), 4),
                "interval": [round(float(low[m, k]), 4), round(float(high[m, k]), 4)],
                "difference": [round(float(less[m, k]), 4), round(float(more[m, k]), 4)],
            }
            for k, kind in enumerate(kinds)
        }
        for m, name in enumerate(methods)
    }


def columns_of(
    part: dict[str, Any], measure: str, methods: list[str], kinds: dict[str, str]
) -> Float[np.ndarray, "n c"]:
    """Return the values of each image, one column for each method and kind; the targets of a kind are averaged."""
    chosen = [[name.startswith(start) for name in part["targets"]] for start in kinds.values()]
    scores = [np.array(part["scores"][measure][name], float) for name in methods]
    return np.stack([each[:, np.array(columns)].mean(axis=1) for each in scores for columns in chosen], axis=1)


def agreement(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the correlations of the maps of two methods, means over images, datasets and the targets of a kind."""
    methods = [name for name in parts[0]["methods"] if all(name in part["methods"] for part in parts)]
    result = {}
    for kind, start in KINDS.items():
        means = []
        for part in parts:
            rows = np.array([part["methods"].index(name) for name in methods])
            chosen = [name.startswith(start) for name in part["targets"]]
            matrix = np.array(part["agreement"], float)[np.array(chosen)]
            means.append(np.nanmean(matrix[:, rows][:, :, rows], axis=0))
        mean = np.mean(means, axis=0)
        result[kind] = {
            a: {b: round(float(mean[i, j]), 3) for j, b in enumerate(methods) if np.isfinite(mean[i, j])}
            for i, a in enumerate(methods)
        }
    return result


def others(parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the mean over images and datasets of what a part measures, for each method and target."""
    key = next(name for name in ("sensitivity", "road", "seconds") if name in next(iter(parts.values())))
    if key == "seconds":
        (part,) = parts.values()
        return {"seconds": part["seconds"], "batch": part["batch"]}
    summary_of = np.median if key == "sensitivity" else np.mean
    methods = [name for name in next(iter(parts.values()))[key] if all(name in part[key] for part in parts.values())]
    targets = next(iter(parts.values()))["targets"]
    by_set = {
        name: {method: summary_of(np.array(part[key][method], float), axis=0) for method in methods}
        for name, part in parts.items()
    }
    groups = {"all": {m: np.mean([each[m] for each in by_set.values()], axis=0) for m in methods}, **by_set}
    return {
        "images": {name: len(next(iter(part[key].values()))) for name, part in parts.items()},
        **{
            name: {
                method: {target: round(float(value), 4) for target, value in zip(targets, row, strict=True)}
                for method, row in group.items()
            }
            for name, group in groups.items()
        },
    }


def table(results: dict[str, Any]) -> list[str]:
    """Return the table of the drops, with the intervals of the differences to Grad-CAM on the same images."""
    lines = [f"| map | {' | '.join(KINDS)} |", "|---" * (1 + len(KINDS)) + "|"]
    for part in ("head", "images"):
        for measure in ("positive", "negative") if part in results else ():
            rows, count = results[part]["all"][measure], sum(results[part]["images"].values())
            lines.append(f"| **{measure} evidence, {count} images** |" + " |" * len(KINDS))
            for name in reversed(ordered(results[part]["all"])):
                values = [cell(rows[name][kind], name) for kind in KINDS]
                lines.append(f"| {LABELS.get(name, name)} | {' | '.join(values)} |")
    return lines


def ordered(results: dict[str, Any]) -> list[str]:
    """Return the names of the maps: references without knowledge, methods from the lowest score on, and the effects."""
    score = {name: np.mean([row[kind]["mean"] for kind in KINDS]) for name, row in results["positive"].items()}
    methods = sorted((name for name in score if name not in REFERENCES), key=lambda name: score[name])
    return ["random", "centre", *methods, "one cell out"]


def cell(value: dict[str, Any], name: str) -> str:
    """Return a mean, and the interval of its difference to Grad-CAM."""
    mean, low, high = (round(each, 2) + 0.0 for each in (value["mean"], *value["difference"]))  # + 0.0: never -0.00
    return f"{mean:.2f}" if name == BASE else f"{mean:.2f} ({low:+.2f} to {high:+.2f})"


def draw(results: dict[str, Any], sets: int) -> Figure:
    """Return the figure: the drops of every method for each kind of target, with 95 % intervals."""
    names = ordered(results)
    figure = Figure(figsize=(11, 0.27 * len(names) + 2.3), layout="constrained")
    axes = figure.subplots(1, len(KINDS), sharey=True, sharex=True)
    for axis, kind in zip(axes, KINDS, strict=True):
        for measure, colour, marker, label in MARKS:
            rows = [results[measure][name][kind] for name in names]
            means, ends = np.array([row["mean"] for row in rows]), np.array([row["interval"] for row in rows])
            style: dict[str, Any] = {"fmt": marker, "color": colour, "markersize": 4.5, "elinewidth": 1.2}
            axis.errorbar(means, range(len(names)), xerr=np.abs(ends.T - means), label=label, **style)
        axis.set_title(f"target: {kind}", fontsize=10)
        axis.set_xlabel("fall (standard deviations)", fontsize=9)
        axis.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        axis.grid(axis="y", color="0.92")
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8)
        axis.axhspan(-0.5, 1.5, color="0.94", zorder=-1)
        axis.axhspan(len(names) - 1.5, len(names) - 0.5, color="0.94", zorder=-1)
    axes[0].set_yticks(range(len(names)), [LABELS.get(name, name) for name in names])
    axes[0].set_ylim(-0.5, len(names) - 0.5)
    figure.suptitle(
        "Fall of the target if the 5, 10 and 20 % of the cells with the most evidence are removed, in standard "
        "deviations\nof the target among the training images "
        f"({sets} datasets, 95 % intervals over images; grey rows are references)",
        fontsize=11,
    )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure
