"""The command line: ``pcacam demo | fit | explain | verify | reproduce``.

Bad input prints one sentence and exits with code 2.
"""

import dataclasses
import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import Progress
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.verification.certificate import (
    DTYPES,
    REFERENCE_METHODS,
    Certificate,
    Comparison,
    certify,
    default_cases,
    first_of,
)

app = tyro.extras.SubcommandApp()


@dataclasses.dataclass(frozen=True, kw_only=True)
class UncheckedConfig(FitConfig):
    """Settings of the run."""

    def __post_init__(self):
        """Accept all values: the parser would print its usage around an error; ``fit`` validates them afterwards."""


DEFAULTS = UncheckedConfig()
Json = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@app.command
def demo(*, out: Path = Path("pcacam_demo"), json: Json = False) -> None:
    """Fit, verify and explain a run on the embedded sample of Fashion-MNIST; the first time takes a minute or two.

    Args:
        out: Folder to write: the run, its figures and report.json. An earlier run in this folder is replaced.
        json: Print the report as JSON instead of tables.
    """
    from pcacam_jax.runs.make_run import make_demo

    report = make_demo(out, Progress())
    _print_report(report, out, as_json=json)


@app.command
def fit(
    *,
    data: str,
    out: Path,
    config: tyro.conf.OmitArgPrefixes[UncheckedConfig] = DEFAULTS,
    class_names: str | None = None,
    data_root: Path | None = None,
    limit_per_class: int | None = None,
    json: Json = False,
) -> None:
    """Train the head, fit a PCA and two SVMs, verify the result, draw figures and write a run folder.

    Args:
        data: The dataset: fashion_mnist_sample (in the package), tfds:NAME, or the path of
            an .npz file with images and labels,
            a folder with image files in train/CLASS/ and test/CLASS/, or in CLASS/,
            a folder with train.npz and test.npz, or a folder with idx .gz files.
            Datasets of the paper: mnist, fashion_mnist, blood_mnist, cifar10, chest_xray, dog_cat.
        out: Run folder to write. An earlier run in this folder is replaced.
        config: Settings of the run.
        class_names: Names of the classes in the order of the labels, separated by commas.
        data_root: Folder that is searched first for a dataset given by name.
        limit_per_class: Use at most this many training images and test images of a class, drawn with the seed.
        json: Print the report as JSON instead of tables.
    """
    from pcacam_jax.data import read_dataset
    from pcacam_jax.runs.make_run import make_run

    checked = FitConfig(**dataclasses.asdict(config))
    names = None if class_names is None else [name.strip() for name in class_names.split(",")]
    options = {"class_names": names, "seed": checked.seed, "limit_per_class": limit_per_class, "data_dir": data_root}
    report = make_run(lambda: read_dataset(data, **options), checked, out, Progress())
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
    scale_free: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    json: Json = False,
) -> None:
    """Explain image files; write a picture, an .npz file of maps and a .json file of values for each image.

    Args:
        run: Run folder from fit or demo.
        images: Image files.
        targets: Outputs to explain, such as pca, pca:0, cnn:3 or svm_rbf:predicted.
            By default, the prediction of every classifier and all principal components.
        out: Folder to write to; by default RUN/explanations.
        method: CAM method; at present only gradcam.
        backend: How derivatives are computed: closed_form, reverse, forward or finite_difference.
        scale_free: Divide the gradients of RBF SVMs by their largest kernel value, so that they do not underflow.
            The maps are then correct up to a positive factor.
        json: Print the values as JSON.
    """
    from pcacam_jax.runs.explain_files import explain_files

    if not images:
        raise InputError("give at least one image file to explain.")
    out = run / "explanations" if out is None else out
    values = explain_files(run, images, targets, out, method=method, backend=backend, scale_free=scale_free)
    _print(json, values, *(_values_table(report) for report in values))
    Progress(quiet=json).say(f"wrote {len(values)} x (.png, .npz, .json) to {out}")


@app.command
def verify(run: tyro.conf.Positional[Path | None] = None, *, out: Path | None = None, json: Json = False) -> None:
    """Compare the closed forms with reverse mode, forward mode and central differences; exit code 1 if one fails.

    Without a run, this covers every stage, the six closed forms of the paper's Table 2, and a full-size head.

    Args:
        run: Run folder whose head is verified at the feature maps of its first test image.
        out: File to write the certificate to; by default RUN/verification.json, or verification.json without a run.
        json: Print the certificate as JSON instead of a table.
    """
    from pcacam_jax.core.files import write_json

    out = (run or Path()) / "verification.json" if out is None else out
    certificate = _certificate(run, out)
    write_json(out, certificate.as_dict())
    _print(json, certificate.as_dict(), _certificate_table(certificate))
    Progress(quiet=json).say(f"wrote {out}")
    if failures := certificate.failures():
        counted = f"{len(failures)} of {len(certificate.comparisons)} comparisons fail"
        _end(f"{counted} ({first_of(failures)}); see {out}.", 1)


@app.command
def reproduce(
    claims: tyro.conf.Positional[tuple[str, ...]] = (),
    *,
    data_root: Path | None = None,
    scale: str | None = None,
    out: Path = Path("reproduction"),
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    sets: tuple[str, ...] = (),
    json: Json = False,
) -> None:
    """Measure the paper's claims, tables and figures, and write one page, OUT/reproduction.md, with its .json.

    Finished results are saved in OUT, so that an interrupted run continues where it stopped. The page of a selection of
    claims is named after them, such as OUT/reproduction_table3_figure6.md, and leaves the complete page unchanged.

    Args:
        claims: Claims to measure, such as table3 figure6; all by default.
        data_root: Folder that contains the datasets, each in a folder of its name:
            mnist, fashion_mnist, blood_mnist, cifar10, chest_xray, dog_cat.
        scale: embedded (the sample of Fashion-MNIST), sample (at most 400 images of a class) or full.
            By default, sample if a data root is given, and embedded otherwise.
        out: Folder for the page, its figures, one run of each dataset and the measurements.
        seeds: Seeds of the fits; the scores are averaged over them.
        sets: Datasets to use; all by default.
        json: Print the page's JSON instead of tables.
    """
    from pcacam_jax.reproduce.gather import ReproductionRequest
    from pcacam_jax.reproduce.reproduce import page_name
    from pcacam_jax.reproduce.reproduce import reproduce as make
    from pcacam_jax.reproduce.terminal import section_tables

    scale = scale or ("sample" if data_root else "embedded")
    request = ReproductionRequest(out=out, scale=scale, data_root=data_root, seeds=seeds, sets=sets)
    try:
        report, sections = make(claims, request, Progress())
    except KeyboardInterrupt:
        _end(f"interrupted; finished results are saved in {out}, and the same command continues from there.", 130)
    _print(json, report, *(table for section in sections for table in section_tables(section)))
    for section in sections:
        if section.finding is None:
            Progress(quiet=json).say(f"{section.claim.name} was not measured, because its data are not available.")
    runs = f"; explain images with the runs in {out / 'runs'}" if report["sets"] else ""
    page = page_name([section.claim for section in sections])
    Progress(quiet=json).say(f"wrote {out / page}.md{runs}")


def _certificate(run: Path | None, out: Path) -> Certificate:
    from pcacam_jax.core.files import writable_folder

    if out.is_dir():
        raise InputError(f"{out} is a folder; choose a file to write the certificate to.")
    if run is None:
        writable_folder(out.parent)
        cases = list(default_cases())
        with Progress().bar("certificate", len(cases)) as advance:
            return certify(cases, progress=lambda name: advance(1, name))
    from pcacam_jax.runs.run import verify_run

    return verify_run(run, progress=Progress())


def _print_report(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    scores = Table("classifier", "train", "test", title="macro F1", title_justify="left")
    for name, score in report["metrics"].items():
        scores.add_row(name, f"{score['train_f1']:.3f}", f"{score['test_f1']:.3f}")
    checks = Table("dtype", "max relative error", title="closed form against autodiff", title_justify="left")
    for dtype in ("float32", "float64"):
        error = report["verification"][dtype]["max_relative_error"]
        checks.add_row(dtype, "not finite" if error is None else f"{error:.1e}")
    _print(as_json, report, scores, checks)
    Progress(quiet=as_json).say(f"wrote {out} in {report['timings']['total']:.0f} s; see {out / report['figures'][0]}")
    if not report["verification"]["passed"]:
        failure = first_of(report["verification"]["failures"])
        _end(f"the closed forms of this run fail their verification ({failure}); see {out / 'verification.json'}.", 1)


def _values_table(values: dict[str, Any]) -> Table:
    table = Table(
        "target", "entry", "value", "mixture of components", title=escape(values["image"]), title_justify="left"
    )
    for row in values["targets"]:
        parts = enumerate(values["mixture"].get(row["target"], []), start=1)
        mixture = " ".join(f"{weight:+.3g} L{r}" for r, weight in parts)
        value = f"{row['value']:.4g}" + (" (gradient underflowed)" if row["vanished"] else "")
        table.add_row(escape(row["target"]), escape(row["label"]), value, mixture)
    return table


def _certificate_table(certificate: Certificate) -> Table:
    """Return a table with a row for each map and a column for each dtype and reference method."""
    errors: dict[str, dict[tuple[str, str], Comparison]] = {}
    for row in certificate.comparisons:
        errors.setdefault(row.name, {})[row.dtype, row.witness] = row
    columns = [(dtype, method) for dtype in DTYPES for method in REFERENCE_METHODS]
    titles = [f"{dtype}\n{method.replace('_', ' ')}" for dtype, method in columns]
    largest = ", ".join(f"{certificate.max_relative_error(dtype):.1e} in {dtype}" for dtype in DTYPES)
    table = Table(
        "map", *titles, title="relative error of the closed form against", caption=f"against autodiff: {largest}"
    )
    for name, row in errors.items():
        table.add_row(escape(name), *(_error(row[column]) if column in row else "" for column in columns))
    return table


def _error(row: Comparison) -> str:
    return f"{row.error:.1e}" if row.passed else f"[red]{row.error:.1e} > {row.tolerance:.0e}[/]"


def _print(as_json: bool, value: Any, *tables: Table) -> None:
    if as_json:
        print(json.dumps(value, indent=2))
        return
    console = Console()
    # A file has no width that the tables must fit in.
    console = console if console.is_terminal else Console(width=120)
    for table in tables:
        console.print(table)


def main() -> None:
    """Run the command line."""
    # Clean up after a plain kill as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    warnings.showwarning = lambda message, *_, **__: print(f"pcacam: warning: {message}", file=sys.stderr)
    try:
        app.cli(prog="pcacam", description="Where a CNN looked for each principal component and each SVM decision.")
    except InputError as error:
        _end(str(error), 2)
    except KeyboardInterrupt:
        _end("interrupted; no incomplete files were left behind.", 130)
    except BrokenPipeError:
        # The reader closed the pipe: exit quietly, without the traceback that Python would print while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _end(f"{error}; no incomplete files were left behind.", 2)


def _end(sentence: str, code: int) -> None:
    print(f"pcacam: {sentence}", file=sys.stderr)
    sys.exit(code)
