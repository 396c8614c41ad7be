"""What a reproduction writes, reuses and rejects."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from filelock import FileLock
from support import small_papers
from support.small_papers import AVAILABLE, CLAIMS, REASON
from support.small_runs import assert_input_error, entries, small_config, small_dataset

from pcacam_jax.core import array_file
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import Progress
from pcacam_jax.data import ArraySplit
from pcacam_jax.reproduce import gather, reproduce
from pcacam_jax.reproduce.measure import _warnings
from pcacam_jax.reproduce.outcome import (
    ARRAYS,
    RECORD,
    Outcome,
    outcome_key,
    read_outcome,
    read_outcomes,
    write_outcome,
)
from pcacam_jax.runs.run import load

QUIET = Progress(quiet=True)


@pytest.fixture
def copied(reproduction, tmp_path):
    """Return the request of a copy of the reproduction."""
    request = reproduction[0]
    shutil.copytree(request.out, tmp_path / "out")
    return dataclasses.replace(request, out=tmp_path / "out")


class FittedAgain(Exception):
    """Raised instead of a fit, which takes long."""


@pytest.fixture
def no_fits(monkeypatch):
    """Raise FittedAgain instead of fitting."""

    def fit_seeds(dataset, config, seeds, *, progress):
        raise FittedAgain(seeds)

    monkeypatch.setattr(gather, "fit_seeds", fit_seeds)


class Unreadable(ArraySplit):
    """A split with an image that cannot be decoded."""

    REASON = "cat.jpg cannot be read; save it again."

    def check(self):
        raise InputError(self.REASON)


@pytest.mark.exhaustive
def test_everything_is_written(reproduction):
    request, content, sections = reproduction
    assert entries(request.out) == {
        "reproduction.md",
        "reproduction.json",
        "figures",
        "outcomes",
        "runs",
        reproduce.LOCK,
    }
    assert entries(request.out / "outcomes") == entries(request.out / "runs") == set(AVAILABLE)
    figures = {figure.removeprefix("figures/") for section in sections for figure in section.figures}
    assert entries(request.out / "figures") == figures
    assert {"figure2.png", "figure5.png", "figure8_mnist.png", "figure9_dog_cat.png", "cards_cifar10.png"} <= figures
    assert json.loads((request.out / "reproduction.json").read_text()) == content
    assert list(request.out.rglob(".*")) == [request.out / reproduce.LOCK]
    assert load(request.out / "runs" / "mnist").class_names == small_dataset().class_names


@pytest.mark.exhaustive
def test_finished_outcomes_are_reused(copied, small_paper, no_fits):
    before = json.loads((copied.out / "reproduction.json").read_text())
    content, _ = reproduce.reproduce(CLAIMS, copied, QUIET)
    assert content["claims"] == before["claims"]
    assert content["sets"] == before["sets"]


@pytest.mark.exhaustive
def test_a_cached_outcome_keeps_its_machine_and_time(copied, small_paper, no_fits):
    path = copied.out / "outcomes" / "mnist" / RECORD
    record = json.loads(path.read_text())
    record["machine"]["device"], record["versions"]["jax"], record["made"] = "another GPU", "0.0.1", "2001-02-03"
    record["timings"] = {"features": 8.0, "training": 5.6}
    for extracted, resumed, cells in (
        (84, False, ["84 at 10.5 images/s", "6 s"]),
        (0, True, ["from an earlier run", "from an earlier run"]),
    ):
        path.write_text(json.dumps(record | {"extracted": extracted, "resumed": resumed}))
        reproduce.reproduce(["table3"], copied, QUIET)
        page = (copied.out / "reproduction_table3.md").read_text()
        row = next(line for line in page.splitlines() if "another GPU" in line)
        assert [cell.strip() for cell in row.strip("|").split(" | ")] == [
            "MNIST",
            "2001-02-03",
            f"another GPU, {record['machine']['cores']} cores",
            f"jax 0.0.1, scikit-learn {record['versions']['scikit-learn']}",
            *cells,
        ]


@pytest.mark.exhaustive
def test_a_page_of_some_claims_does_not_replace_the_page_of_all(copied, small_paper, no_fits):
    before = {path.name: path.read_bytes() for path in copied.out.glob("reproduction*")}
    content, sections = reproduce.reproduce(["figure6", "table3"], copied, QUIET)
    assert {path.name: path.read_bytes() for path in copied.out.glob("reproduction.*")} == before
    assert json.loads((copied.out / "reproduction_table3_figure6.json").read_text()) == content
    assert "## Figure 6" in (copied.out / "reproduction_table3_figure6.md").read_text()
    assert sections[1].figures == ["figures_table3_figure6/figure6.png"]


@pytest.mark.exhaustive
def test_a_second_reproduction_in_the_same_folder_is_rejected(copied, small_paper, no_fits):
    with FileLock(copied.out / reproduce.LOCK), pytest.raises(InputError, match="another reproduction is running in"):
        reproduce.reproduce(["table3"], copied, QUIET)
    shutil.rmtree(copied.out / "outcomes" / "mnist")
    for _ in range(2):  # a failed reproduction releases the lock
        with pytest.raises(FittedAgain):
            reproduce.reproduce(["table3"], copied, QUIET)


def test_a_warning_of_several_seeds_is_reported_once():
    rbf, cnn = ({"kind": "memorisation", "subject": "svm_rbf"}, {"kind": "chance", "subject": "cnn"})
    seeds = [
        {"warnings": ["1 of the images."], "warning_kinds": [rbf]},
        {"warnings": ["Of the images 2.", "F1 is 3."], "warning_kinds": [rbf, cnn]},
        {"warnings": [], "warning_kinds": []},
        {"warnings": ["4 of the images."], "warning_kinds": [rbf]},
    ]
    assert _warnings(seeds) == {
        "warnings": [
            "1 of the images. This applies to 3 of 4 seeds; the numbers are those of the first of them.",
            "F1 is 3. This applies to 1 of 4 seeds; the numbers are those of the first of them.",
        ],
        "warning_kinds": [rbf, cnn],
    }
    assert _warnings(seeds[:1]) == seeds[0]


@pytest.mark.exhaustive
def test_an_interrupted_reproduction_continues(copied, small_paper, monkeypatch):
    fitted_seeds, real = [], gather.fit_seeds
    monkeypatch.setattr(gather, "fit_seeds", lambda *args, **kw: fitted_seeds.append(args[2]) or real(*args, **kw))
    folder = copied.out / "outcomes" / "cifar10"
    before = json.loads((folder / RECORD).read_text())
    shutil.rmtree(folder)
    reproduce.reproduce(["figure5"], copied, QUIET)
    assert fitted_seeds == [(0, 1)]
    after = json.loads((folder / RECORD).read_text())
    assert {name: after[name] for name in ("key", "scores", "curves", "statements")} == {
        name: before[name] for name in ("key", "scores", "curves", "statements")
    }


@pytest.mark.exhaustive
@pytest.mark.parametrize("damage", ["no arrays", "cut arrays", "cut record", "no record", "other schema"])
def test_a_damaged_outcome_is_measured_again(copied, small_paper, no_fits, damage):
    folder = copied.out / "outcomes" / "mnist"
    record = json.loads((folder / RECORD).read_text())
    if damage == "no arrays":
        (folder / ARRAYS).unlink()
    elif damage == "cut arrays":
        (folder / ARRAYS).write_bytes((folder / ARRAYS).read_bytes()[:-9])
    elif damage == "cut record":
        (folder / RECORD).write_text((folder / RECORD).read_text()[:-9])
    elif damage == "no record":
        shutil.rmtree(folder)
        folder.mkdir()
    else:
        (folder / RECORD).write_text(json.dumps({**record, "key": "0" * 64}))
    with pytest.raises(FittedAgain):
        gather.gather(copied, ["mnist"], QUIET)


@pytest.mark.exhaustive
def test_folders_that_must_not_be_replaced_are_rejected_before_the_fits(copied, small_paper, no_fits):
    with pytest.raises(InputError, match="at scale sample, which would be replaced by one at scale full; choose"):
        reproduce.reproduce(["table3"], dataclasses.replace(copied, scale="full"), QUIET)
    pattern = (
        "contains a reproduction with seeds 0 1, which would be replaced by one with seeds {}; choose another --out"
    )
    for seeds in ((1,), (1, 0)):
        with pytest.raises(InputError, match=pattern.format(" ".join(map(str, seeds)))):
            reproduce.reproduce(["table3"], dataclasses.replace(copied, seeds=seeds, sets=("blood_mnist",)), QUIET)
    (copied.out / "runs" / "mnist" / "config.json").rename(copied.out / "runs" / "mnist" / "thesis.tex")
    with pytest.raises(InputError, match=r"mnist contains other files \(no config\.json\); move them"):
        reproduce.reproduce(["table3"], copied, QUIET)


@pytest.mark.exhaustive
def test_a_run_with_other_files_is_not_called_a_missing_dataset(copied, small_paper, no_fits):
    shutil.rmtree(copied.out / "outcomes" / "mnist")
    figures = copied.out / "runs" / "mnist" / "figures"
    figures.mkdir(exist_ok=True)
    (figures / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"no run has written \(figures/thesis\.tex\)"):
        gather.gather(copied, ["mnist", "dog_cat"], QUIET)


@pytest.mark.exhaustive
def test_a_reproduction_of_an_earlier_version_is_replaced(copied, small_paper, no_fits):
    shutil.rmtree(copied.out / "outcomes" / "mnist")
    run = copied.out / "runs" / "mnist"
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"schema": 1}))
    (run / "reference.safetensors").unlink()
    (run / "figures").mkdir(exist_ok=True)
    (run / "figures" / "grid.png").write_bytes(b"a figure of an earlier version, which has no digest")
    with pytest.raises(FittedAgain):
        gather.gather(copied, ["mnist"], QUIET)


@pytest.mark.exhaustive
def test_an_image_that_cannot_be_read_is_reported_before_any_fit(copied, small_paper, no_fits, monkeypatch):
    def read(name, *arguments, **options):
        dataset = small_papers.read(name, *arguments, **options)
        if name != "dog_cat":
            return dataset
        return dataclasses.replace(dataset, test=Unreadable(dataset.test.pixels, dataset.test.labels))

    monkeypatch.setattr(gather, "read_paper_set", read)
    gathered = gather.gather(copied, ["mnist", "dog_cat"], QUIET)
    assert set(gathered.outcomes) == {"mnist", "dog_cat"}, "the images of a cached outcome are not read"
    shutil.rmtree(copied.out / "outcomes" / "dog_cat")
    gathered = gather.gather(copied, ["mnist", "dog_cat"], QUIET)
    assert (set(gathered.outcomes), gathered.missing) == ({"mnist"}, {"dog_cat": Unreadable.REASON})
    shutil.rmtree(copied.out / "outcomes" / "mnist")
    with pytest.raises(InputError, match=r"cat\.jpg cannot be read"):
        gather.gather(dataclasses.replace(copied, sets=("mnist", "dog_cat")), ["mnist", "dog_cat"], QUIET)


@pytest.mark.exhaustive
def test_other_settings_are_fitted_again(copied, small_paper, no_fits, monkeypatch):
    monkeypatch.setattr(gather, "settings_of", lambda scale, name: small_config(epochs=61))
    with pytest.raises(FittedAgain, match=r"\(0, 1\)"):
        gather.gather(copied, ["mnist"], QUIET)


def test_the_key_depends_on_everything_that_affects_the_results():
    data, config = small_dataset(), small_config()
    relabelled = dataclasses.replace(data, train=dataclasses.replace(data.train, labels=data.train.labels[::-1].copy()))
    fewer = dataclasses.replace(data, test=data.test.take(slice(0, 20)))
    renamed = dataclasses.replace(data, class_names=("a", "b", "c"))
    keys = [
        outcome_key(data, config, (0, 1), "digest"),
        outcome_key(data, config, (1, 0), "digest"),
        outcome_key(data, config, (0, 1), "other"),
        outcome_key(data, small_config(gamma=2.0), (0, 1), "digest"),
        *(outcome_key(changed, config, (0, 1), "digest") for changed in (relabelled, fewer, renamed)),
    ]
    assert len(set(keys)) == len(keys)
    # The path of the weights and the seed of the configuration do not matter.
    assert outcome_key(data, small_config(seed=7, weights="/elsewhere"), [0, 1], "digest") == keys[0]


@pytest.mark.exhaustive
def test_an_outcome_survives_writing_and_reading(reproduction, tmp_path):
    folder = reproduction[0].out / "outcomes" / "dog_cat"
    key = json.loads((folder / RECORD).read_text())["key"]
    outcome = read_outcome(folder, key)
    write_outcome(tmp_path / "again", outcome)
    again = read_outcome(tmp_path / "again", key)
    assert again.record == outcome.record
    assert again.arrays.keys() == outcome.arrays.keys() == array_file.read_arrays(folder / ARRAYS)[0].keys()
    for name, array in outcome.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


@pytest.mark.exhaustive
def test_outcomes_are_read_in_the_papers_order(reproduction, tmp_path):
    outcomes = read_outcomes(reproduction[0].out)
    assert list(outcomes) == list(AVAILABLE)
    assert [outcome.title for outcome in outcomes.values()] == ["MNIST", "CIFAR-10", "Dog vs. Cat"]
    with pytest.raises(InputError, match="contains no outcomes of a reproduction; create them with"):
        read_outcomes(tmp_path)


@pytest.mark.exhaustive
def test_arrays_are_those_of_the_first_seed(reproduction, small_paper):
    from pcacam_jax.cam.explain import explain
    from pcacam_jax.fitting.fit import fit_seeds

    folder = reproduction[0].out / "outcomes" / "mnist"
    outcome = read_outcome(folder, json.loads((folder / RECORD).read_text())["key"])
    fitted = fit_seeds(small_dataset(), small_config(), (0, 1))[0]
    np.testing.assert_array_equal(outcome.arrays["train.features"], fitted.components["train"])
    np.testing.assert_array_equal(outcome.arrays["support_rows"], fitted.svms["svm_rbf"].support_)
    first = np.flatnonzero(fitted.dataset.test.labels == 0)[:3]
    signed = explain(fitted.head, fitted.tap_maps["test"][first], "pca", method="gradcam").signed
    np.testing.assert_allclose(outcome.arrays["first.components"], signed, rtol=1e-5, atol=1e-7)
    v, places = fitted.components["train"], outcome.arrays["cards.places"]
    for r in range(v.shape[1]):
        ends = outcome.arrays["cards.values"][places[r], r]
        np.testing.assert_array_equal(ends[0], np.sort(v[:, r])[::-1][:4])
        np.testing.assert_array_equal(ends[1], np.sort(v[:, r])[:4])
    assert outcome.scores("svm_rbf", "test")[0] == fitted.metrics["metrics"]["svm_rbf"]["test_f1"]


@pytest.mark.exhaustive
def test_missing_datasets_are_reported(reproduction):
    request, content, sections = reproduction
    assert content["missing"] == dict.fromkeys(("fashion_mnist", "blood_mnist", "chest_xray"), REASON)
    assert all(section.finding for section in sections)
    text = (request.out / "reproduction.md").read_text()
    assert "Measured without Fashion-MNIST, Blood-MNIST and Chest X-ray. The reasons are listed" in text
    assert "## Datasets that are not available" in text
    assert f"- Chest X-ray: {REASON}" in text


def test_a_claim_without_data_does_not_stop_the_others(small_paper, tmp_path, monkeypatch):
    monkeypatch.setattr(gather, "read_paper_set", lambda *_, **__: (_ for _ in ()).throw(InputError(REASON)))
    request = gather.ReproductionRequest(out=tmp_path / "out", scale="sample", seeds=(0,))
    content, sections = reproduce.reproduce(["figure2", "figure4"], request, QUIET)
    assert [section.finding is None for section in sections] == [True, False]
    assert content["claims"]["figure2"]["made"] is False
    text = (tmp_path / "out" / "reproduction_figure2_figure4.md").read_text()
    assert "Not measured, because it needs CIFAR-10. The reasons are listed" in text


@pytest.mark.exhaustive
def test_the_command_line(pcacam, copied, small_paper):
    arguments = ["figure6", "table3", "--data-root", copied.data_root, "--out", copied.out, "--seeds", 0, 1]
    code, printed, progress = pcacam("reproduce", *arguments, "--json")
    assert code == 0
    content = json.loads(printed)
    assert content == json.loads((copied.out / "reproduction_table3_figure6.json").read_text())
    assert list(content["claims"]) == ["table3", "figure6"]
    assert content["scale"] == "sample"
    assert "using the outcome of an earlier run" in progress
    code, printed, progress = pcacam("reproduce", *arguments, "--sets", "mnist")
    assert code == 0
    assert "macro F1" in printed
    assert "MNIST" in printed
    assert "CIFAR-10" not in printed
    assert "reproduction_table3_figure6.md" in progress
    text = (copied.out / "reproduction_table3_figure6.md").read_text()
    left_out = "Fashion-MNIST, Blood-MNIST, CIFAR-10, Chest X-ray and Dog vs. Cat"
    assert text.count(f"- left out by --sets or --scale: {left_out}") == 1
    assert "not available" not in text + progress
    assert "Measured without" not in text


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["table4"], "there is no claim 'table4'; the claims are table2, table3, .*gamma_trap"),
        (["--scale", "tiny"], "scale must be one of embedded, sample, full; got 'tiny'"),
        (["--sets", "imagenet"], "sets must be one of mnist, .*; got 'imagenet'"),
        (["--seeds", "1", "1"], "seeds must be different numbers"),
        (["--data-root", "nowhere"], "the folder of datasets nowhere must be a folder, but there is none"),
        (["table2", "--data-root", "."], "the folder of datasets . must hold at least one of mnist, .*, but it holds"),
        (
            ["figure9"],
            "none of the claims could be measured \\(figure9\\): the scale embedded does not include Chest X-ray",
        ),
        (["table3", "--scale", "sample", "--sets", "blood_mnist"], REASON[:-1]),
    ],
)
def test_invalid_input_is_rejected(pcacam, small_paper, tmp_path, arguments, pattern):
    assert_input_error(without_progress(pcacam("reproduce", "--out", tmp_path / "out", *arguments)), pattern)
    assert not list((tmp_path / "out").glob("*.md"))


def without_progress(result):
    code, out, err = result
    return code, out, "".join(line for line in err.splitlines(keepends=True) if line.startswith("pcacam: "))


def test_an_interrupt_says_how_to_continue(pcacam, small_paper, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(gather, "fit_seeds", interrupted)
    code, out, err = pcacam("reproduce", "table3", "--scale", "sample", "--out", tmp_path / "out")
    assert code == 130
    assert out == ""
    assert "the same command continues from there" in err
    assert not list((tmp_path / "out").rglob("*.json"))


@pytest.mark.parametrize("damage", ["no arrays", "cut arrays", "cut record", "other key", "none"])
def test_only_an_undamaged_outcome_with_its_key_is_read(tmp_path, damage):
    folder = tmp_path / "outcome"
    write_outcome(folder, Outcome({"key": "k", "title": "MNIST"}, {"train.labels": np.arange(9)}))
    if damage == "no arrays":
        (folder / ARRAYS).unlink()
    elif damage != "none":
        path = folder / (ARRAYS if damage == "cut arrays" else RECORD)
        path.write_bytes(path.read_bytes()[:-9])
    outcome = read_outcome(folder, "other" if damage == "other key" else "k")
    assert (outcome is None) == (damage != "none")


def test_a_locked_folder_is_rejected_and_released(tmp_path):
    request = gather.ReproductionRequest(out=tmp_path, scale="embedded")
    with FileLock(tmp_path / reproduce.LOCK), pytest.raises(InputError, match="another reproduction is running in"):
        reproduce.reproduce(["figure4"], request, QUIET)
    content, _ = reproduce.reproduce(["figure4"], request, QUIET)
    assert content["claims"]["figure4"]["made"] is True
