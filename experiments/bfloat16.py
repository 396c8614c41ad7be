"""Question: what does it change if VGG16 computes the features in bfloat16 instead of float32?

Command: python experiments/bfloat16.py --data-root DIR --sets mnist fashion_mnist
Paper:   does not state a dtype.
Answer:  little, on samples of the six datasets and one H200: the features correlate at 0.99993 to 0.99998; the test F1
         changes by at most 0.010, between two seeds by up to 0.026; the median correlation of the maps is 0.997 to
         1.000, their 5th percentile at least 0.972; at most 1 % of the images get another predicted class.

For each dataset, runs with float32 features and two seeds are compared with a run with bfloat16 features and the first
seed: a difference of the F1 between the dtypes means something only beside the difference between the seeds. The head
of the first run then explains the same test images at the tap from the maps of both dtypes: the correlation of the two
heatmaps over their cells is printed for each target, as the median and the 5th percentile of the images.
"""

import argparse
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from pcacam_jax import explain
from pcacam_jax.core.files import write_json
from pcacam_jax.core.progress import Progress
from pcacam_jax.data.paper_sets import read_paper_set
from pcacam_jax.fitting.fit import Fitted, fit_seeds
from pcacam_jax.reproduce.settings import SIZES, check_scale, settings_of

TARGETS = ["pca", "svm_linear:predicted", "svm_rbf:predicted", "cnn:predicted"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the paper's datasets")
    parser.add_argument("--sets", nargs="+", default=list(SIZES))
    parser.add_argument("--scale", default="sample")
    parser.add_argument("--images", type=int, default=200, help="test images that are explained")
    parser.add_argument("--epochs", type=int, help="training epochs, if not those of the scale")
    parser.add_argument("--out", type=Path, default=Path("bfloat16.json"))
    chosen = parser.parse_args()
    results = json.loads(chosen.out.read_text()) if chosen.out.exists() else {}
    for name in chosen.sets:
        if name not in results:
            results[name] = compared(name, chosen)
            write_json(chosen.out, results)
        print(line(name, results[name]), flush=True)
    print(f"wrote {chosen.out}")


def compared(name: str, chosen: argparse.Namespace) -> dict:
    """Return the F1 of the runs and the correlations of the maps of one dataset."""
    dataset = read_paper_set(name, chosen.data_root, limit_per_class=check_scale(chosen.scale).limit_per_class)
    config = settings_of(chosen.scale, name)
    config = replace(config, epochs=chosen.epochs or config.epochs)
    progress = Progress(quiet=not sys.stderr.isatty())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classifiers that learn nothing or memorise are no concern here
        full = fit_seeds(dataset, config, [0, 1], progress=progress)
        (half,) = fit_seeds(dataset, replace(config, compute="bfloat16"), [0], progress=progress)
    rows = np.linspace(0, len(dataset.test) - 1, min(chosen.images, len(dataset.test))).astype(int)
    maps = [np.asarray(run.tap_maps["test"][rows], np.float32) for run in (full[0], half)]
    explained = [explain(full[0].head, part, TARGETS) for part in maps]
    labels = explained[0].targets
    signed = [np.asarray(one.signed).reshape(len(rows), len(labels), -1) for one in explained]
    same = np.asarray(explained[0].columns) == np.asarray(explained[1].columns)
    correlations = {
        target: [float(np.corrcoef(signed[0][b, t], signed[1][b, t])[0, 1]) for b in range(len(rows)) if same[b, t]]
        for t, target in enumerate(labels)
    }
    return {
        "f1": {label: f1(run) for label, run in zip(("float32", "seed 1", "bfloat16"), (*full, half), strict=True)},
        "features": float(np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]),
        "same class": {target: float(same[:, t].mean()) for t, target in enumerate(labels)},
        "maps": {t: [float(np.nanmedian(c)), float(np.nanpercentile(c, 5))] for t, c in correlations.items()},
    }


def f1(run: Fitted) -> dict[str, float]:
    """Return the macro F1 of each classifier on the test images."""
    return {name: scores["test_f1"] for name, scores in run.metrics["metrics"].items()}


def line(name: str, result: dict) -> str:
    """Return the results of a dataset in words."""
    full, other, half = (result["f1"][label] for label in ("float32", "seed 1", "bfloat16"))
    scores = ", ".join(f"{c} {full[c]:.3f} (seed 1 {other[c]:.3f}, bfloat16 {half[c]:.3f})" for c in full)
    maps = ", ".join(f"{target} {median:.4f} ({low:.4f})" for target, (median, low) in result["maps"].items())
    same = ", ".join(f"{target} {share:.1%}" for target, share in result["same class"].items() if share < 1)
    return (
        f"{name}: features correlate at {result['features']:.6f}\n  test F1: {scores}\n  maps, median (5th "
        f"percentile): {maps}\n  images with the same predicted class: {same or 'all'}"
    )


if __name__ == "__main__":
    main()
