"""The command line: ``pcacam demo | fit | explain | verify``. Bad input ends with one sentence and exit code 2."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from pcacam_jax.checks import InputError
from pcacam_jax.config import FitConfig
from pcacam_jax.progress import Progress
from pcacam_jax.verify import Certificate, certify, verify as verify_head

app = tyro.extras.SubcommandApp()
Json = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@app.command
def demo(*, out: Path = Path("pcacam_demo"), json: Json = False) -> None:
    """Train, fit, verify, explain and draw on an embedded sample of Fashion-MNIST; a few minutes the first time.

    Args:
        out: Folder for the run, its figures and report.json; replaced if it holds an earlier run.
        json: Print the report as JSON instead of tables.
    """
    from pcacam_jax.demo import make_demo

    report = make_demo(out, Progress())
    _print_report(report, out, as_json=json)


@app.command
def fit(
    *,
    data: str,
    out: Path,
    config: tyro.conf.OmitArgPrefixes[FitConfig] = FitConfig(),
    class_names: str | None = None,
    json: Json = False,
) -> None:
    """Train the head, fit PCA and both SVMs, verify and draw; writes a run folder.

    Args:
        data: "fashion_mnist_sample", an .npz with images and labels, a folder train/CLASS/*, test/CLASS/*, a folder
            with train.npz and test.npz, or a folder of idx .gz files.
        out: Run folder to write; replaced if it holds an earlier run.
        config: What the run is made with.
        class_names: Names of the classes in label order, with commas between them.
        json: Print the report as JSON instead of tables.
    """
    from pcacam_jax.data import read_dataset
    from pcacam_jax.demo import make_run

    names = None if class_names is None else [name.strip() for name in class_names.split(",")]
    report = make_run(lambda: read_dataset(data, class_names=names), config, out, Progress())
    _print_report(report, out, as_json=json)


@app.command
def explain(
    run: tyro.conf.Positional[Path],
    images: tyro.conf.Positional[tuple[Path, ...]],
    *,
    targets: tuple[str, ...] = (),
    out: Path | None = None,
    method: str = "gradcam",
    backend: str = "closed_form",
    json: Json = False,
) -> None:
    """Explain image files: for each a picture, an .npz of raw maps and a .json of values per target.

    Args:
        run: Run folder from fit or demo.
        images: Image files.
        targets: Such as pca, pca:0, cnn:3, svm_rbf:predicted; by default every classifier's prediction and the PCA.
        out: Folder to write to; RUN/explanations if left out.
        method: CAM method.
        backend: Where derivatives come from: closed_form, reverse, forward or finite_difference.
        json: Print the values as JSON.
    """
    from pcacam_jax.explanations import explain_files

    if not images:
        raise InputError("give at least one image file to explain.")
    options = {"method": method, "backend": backend}
    out = run / "explanations" if out is None else out
    values = explain_files(run, images, targets, out, **options)
    _print(json, values, *(_values_table(own) for own in values))
    Progress(quiet=json).say(f"wrote {len(values)} x (.png, .npz, .json) to {out}")


@app.command
def verify(run: tyro.conf.Positional[Path | None] = None, *, out: Path | None = None, json: Json = False) -> None:
    """Prove the closed forms against reverse mode, forward mode and central differences; exit code 1 if one fails.

    Without a run: every stage, the six closed forms of the paper's Table 2, and the full-size head.

    Args:
        run: Run folder whose head is verified, at one of its own test images' size.
        out: File for the certificate; RUN/verification.json for a run, verification.json here otherwise.
        json: Print the certificate as JSON instead of a table.
    """
    from pcacam_jax.files import write_json

    certificate = _certificate(run)
    out = out or (Path() if run is None else run) / "verification.json"
    write_json(out, certificate.as_dict())
    _print(json, certificate.as_dict(), _certificate_table(certificate))
    Progress(quiet=json).say(f"wrote {out}")
    if not certificate.passed:
        sys.exit(1)


def _certificate(run: Path | None) -> Certificate:
    if run is None:
        with Progress().bar("certificate", None) as advance:
            return certify(progress=lambda name: advance(1))
    from pcacam_jax.run import load
    from pcacam_jax.verify import Draw

    head = load(run).head
    return verify_head(head, Draw(np.random.default_rng(0)).maps(*head.in_shape), name="head")


def _print_report(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    scores = Table("classifier", "train", "test", title="macro F1", title_justify="left")
    for name, score in report["metrics"].items():
        scores.add_row(name, f"{score['train_f1']:.3f}", f"{score['test_f1']:.3f}")
    checks = Table("dtype", "max relative error", title="closed form against autodiff", title_justify="left")
    for dtype in ("float32", "float64"):
        checks.add_row(dtype, f"{report['verification'][dtype]['max_relative_error']:.1e}")
    _print(as_json, report, scores, checks)
    Progress(quiet=as_json).say(f"wrote {out} in {report['timings']['total']:.0f} s; look at {out / report['figures'][0]}")


def _values_table(values: dict[str, Any]) -> Table:
    table = Table("target", "entry", "value", title=values["image"], title_justify="left")
    for row in values["targets"]:
        table.add_row(row["target"], row["label"], f"{row['value']:.4g}")
    return table


def _certificate_table(certificate: Certificate) -> Table:
    table = Table("map", "dtype", "against", "relative error", "tolerance", "", title="certificate")
    for row in certificate.comparisons:
        verdict = "[green]ok[/]" if row.passed else "[red]FAILED[/]"
        table.add_row(row.name, row.dtype, row.witness, f"{row.error:.1e}", f"{row.tolerance:.0e}", verdict)
    return table


def _print(as_json: bool, value: Any, *tables: Table) -> None:
    if as_json:
        print(json.dumps(value, indent=2))
        return
    for table in tables:
        Console().print(table)


def main() -> None:
    """Run the command line."""
    try:
        app.cli(prog="pcacam", description="Where a CNN looked for each principal component and each SVM decision.")
    except InputError as error:
        print(f"pcacam: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("pcacam: interrupted; nothing was left half-written.", file=sys.stderr)
        sys.exit(130)


