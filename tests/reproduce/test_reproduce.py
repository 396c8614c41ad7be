"""What a reproduction keeps, takes up again and refuses."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from filelock import FileLock
from support import small_papers
from support.small_papers import CLAIMS, HAD, REASON
from support.small_runs import entries, refused, small_config, small_dataset

from pcacam_jax.core import array_file
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import Progress
from pcacam_jax.data import ArraySplit
from pcacam_jax.reproduce import gather, reproduce
from pcacam_jax.reproduce.measure import _warnings
from pcacam_jax.reproduce.outcome import ARRAYS, RECORD, outcome_key, read_outcome, read_outcomes, write_outcome
from pcacam_jax.runs.run import load

QUIET = Progress(quiet=True)


@pytest.fixture
def kept(made, tmp_path):
    """Return the order of a copy of the reproduction."""
    order = made[0]
    shutil.copytree(order.out, tmp_path / "out")
    return dataclasses.replace(order, out=tmp_path / "out")


class FittedAgain(Exception):
    """Raised in place of a fit, which takes long."""


@pytest.fixture
def fits(monkeypatch):
    """Let every fit be told instead of made."""

    def told(dataset, config, seeds, *, progress):
        raise FittedAgain(seeds)

    monkeypatch.setattr(gather, "fit_seeds", told)


class Unreadable(ArraySplit):
    """Images of which one cannot be decoded."""

    REASON = "cat.jpg cannot be read; save it again."

    def check(self):
        raise InputError(self.REASON)


def test_everything_is_written(made):
    order, content, sections = made
    assert entries(order.out) == {"reproduction.md", "reproduction.json", "figures", "outcomes", "runs", ".lock"}
    assert entries(order.out / "outcomes") == entries(order.out / "runs") == set(HAD)
    figures = {figure.removeprefix("figures/") for section in sections for figure in section.figures}
    assert entries(order.out / "figures") == figures
    assert {"figure2.png", "figure5.png", "figure8_mnist.png", "figure9_dog_cat.png", "cards_cifar10.png"} <= figures
    assert json.loads((order.out / "reproduction.json").read_text()) == content
    assert list(order.out.rglob(".*")) == [order.out / ".lock"]
    assert load(order.out / "runs" / "mnist").class_names == small_dataset().class_names


def test_what_is_finished_is_not_made_again(kept, small_paper, fits):
    before = json.loads((kept.out / "reproduction.json").read_text())
    content, _ = reproduce.reproduce(CLAIMS, kept, QUIET)
    assert content["claims"] == before["claims"]
    assert content["sets"] == before["sets"]


def test_a_kept_outcome_keeps_its_machine_and_time(kept, small_paper, fits):
    path = kept.out / "outcomes" / "mnist" / RECORD
    record = json.loads(path.read_text())
    record["machine"]["device"], record["versions"]["jax"], record["made"] = "GPU of others", "0.0.1", "2001-02-03"
    record["timings"] = {"features": 8.0, "training": 5.6}
    for extracted, resumed, told in (
        (84, False, ["84 at 10.5 images/s", "6 s"]),
        (0, True, ["kept from before", "kept from before"]),
    ):
        path.write_text(json.dumps(record | {"extracted": extracted, "resumed": resumed}))
        reproduce.reproduce(["table3"], kept, QUIET)
        page = (kept.out / "reproduction_table3.md").read_text()
        row = next(line for line in page.splitlines() if "GPU of others" in line)
        assert [cell.strip() for cell in row.strip("|").split(" | ")] == [
            "MNIST",
            "2001-02-03",
            f"GPU of others, {record['machine']['cores']} cores",
            f"jax 0.0.1, scikit-learn {record['versions']['scikit-learn']}",
            *told,
        ]


def test_a_page_of_some_claims_leaves_the_whole_one(kept, small_paper, fits):
    before = {path.name: path.read_bytes() for path in kept.out.glob("reproduction*")}
    content, sections = reproduce.reproduce(["figure6", "table3"], kept, QUIET)
    assert {path.name: path.read_bytes() for path in kept.out.glob("reproduction.*")} == before
    assert json.loads((kept.out / "reproduction_table3_figure6.json").read_text()) == content
    assert "## Figure 6" in (kept.out / "reproduction_table3_figure6.md").read_text()
    assert sections[1].figures == ["figures_table3_figure6/figure6.png"]


def test_a_second_reproduction_is_kept_out(kept, small_paper, fits):
    with FileLock(kept.out / ".lock"), pytest.raises(InputError, match="another reproduction is at work in"):
        reproduce.reproduce(["table3"], kept, QUIET)
    shutil.rmtree(kept.out / "outcomes" / "mnist")
    for _ in range(2):  # after a failure the folder is free again
        with pytest.raises(FittedAgain):
            reproduce.reproduce(["table3"], kept, QUIET)


def test_a_warning_of_several_seeds_is_told_once():
    rbf, cnn = "svm_rbf memorises: {} of the images.", "the CNN's F1 is {}."
    seeds = [[rbf.format(1)], [rbf.format(2), cnn.format(3)], [], [rbf.format(4)]]
    assert _warnings(seeds) == [
        "svm_rbf memorises: 1 of the images. So in 3 of 4 seeds; the numbers are of the first.",
        "the CNN's F1 is 3. So in 1 of 4 seeds; the numbers are of the first.",
    ]
    assert _warnings(seeds[:1]) == seeds[0]


def test_a_run_that_was_cut_off_goes_on(kept, small_paper, monkeypatch):
    seen, real = [], gather.fit_seeds
    monkeypatch.setattr(gather, "fit_seeds", lambda *args, **kw: seen.append(args[2]) or real(*args, **kw))
    folder = kept.out / "outcomes" / "cifar10"
    before = json.loads((folder / RECORD).read_text())
    shutil.rmtree(folder)
    reproduce.reproduce(["figure5"], kept, QUIET)
    assert seen == [(0, 1)]
    after = json.loads((folder / RECORD).read_text())
    assert {name: after[name] for name in ("key", "scores", "curves", "statements")} == {
        name: before[name] for name in ("key", "scores", "curves", "statements")
    }


@pytest.mark.parametrize("damage", ["no arrays", "cut arrays", "cut record", "no record", "other schema"])
def test_a_damaged_outcome_is_made_again(kept, small_paper, fits, damage):
    folder = kept.out / "outcomes" / "mnist"
    whole = json.loads((folder / RECORD).read_text())
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
        (folder / RECORD).write_text(json.dumps({**whole, "key": "0" * 64}))
    with pytest.raises(FittedAgain):
        gather.gather(kept, ["mnist"], QUIET)


def test_what_is_not_to_be_replaced_is_refused_before_the_work(kept, small_paper, fits):
    with pytest.raises(InputError, match="holds a reproduction at the scale sample, which one at the scale full would"):
        reproduce.reproduce(["table3"], dataclasses.replace(kept, scale="full"), QUIET)
    pattern = "with the seeds 0 1, which one with the seeds 1 would replace; choose another --out"
    for seeds in ((1,), (1, 0)):
        with pytest.raises(InputError, match=pattern.replace("seeds 1", f"seeds {' '.join(map(str, seeds))}")):
            reproduce.reproduce(["table3"], dataclasses.replace(kept, seeds=seeds, sets=("blood_mnist",)), QUIET)
    (kept.out / "runs" / "mnist" / "config.json").rename(kept.out / "runs" / "mnist" / "thesis.tex")
    with pytest.raises(InputError, match=r"mnist holds other files \(no config\.json\); move them"):
        reproduce.reproduce(["table3"], kept, QUIET)


def test_an_image_that_cannot_be_read_is_told_before_any_fit(kept, small_paper, fits, monkeypatch):
    def read(name, *arguments, **options):
        dataset = small_papers.read(name, *arguments, **options)
        if name != "dog_cat":
            return dataset
        return dataclasses.replace(dataset, test=Unreadable(dataset.test.pixels, dataset.test.labels))

    monkeypatch.setattr(gather, "read_paper_set", read)
    gathered = gather.gather(kept, ["mnist", "dog_cat"], QUIET)
    assert set(gathered.outcomes) == {"mnist", "dog_cat"}, "what is kept need not be read"
    shutil.rmtree(kept.out / "outcomes" / "dog_cat")
    gathered = gather.gather(kept, ["mnist", "dog_cat"], QUIET)
    assert (set(gathered.outcomes), gathered.missing) == ({"mnist"}, {"dog_cat": Unreadable.REASON})
    shutil.rmtree(kept.out / "outcomes" / "mnist")
    with pytest.raises(InputError, match=r"cat\.jpg cannot be read"):
        gather.gather(dataclasses.replace(kept, sets=("mnist", "dog_cat")), ["mnist", "dog_cat"], QUIET)


def test_other_settings_are_fitted_anew(kept, small_paper, fits, monkeypatch):
    monkeypatch.setattr(gather, "settings_of", lambda scale, name: small_config(epochs=61))
    with pytest.raises(FittedAgain, match=r"\(0, 1\)"):
        gather.gather(kept, ["mnist"], QUIET)


def test_the_key_is_of_all_that_matters():
    data, config = small_dataset(), small_config()
    relabelled = dataclasses.replace(data, train=dataclasses.replace(data.train, labels=data.train.labels[::-1].copy()))
    fewer = dataclasses.replace(data, test=data.test.take(slice(0, 20)))
    renamed = dataclasses.replace(data, class_names=("a", "b", "c"))
    keys = [
        outcome_key(data, config, (0, 1), "digest"),
        outcome_key(data, config, (1, 0), "digest"),
        outcome_key(data, config, (0, 1), "other"),
        outcome_key(data, small_config(gamma=2.0), (0, 1), "digest"),
        *(outcome_key(own, config, (0, 1), "digest") for own in (relabelled, fewer, renamed)),
    ]
    assert len(set(keys)) == len(keys)
    # Where the weights lie and which seed the template has change nothing.
    assert outcome_key(data, small_config(seed=7, weights="/elsewhere"), [0, 1], "digest") == keys[0]


def test_an_outcome_comes_back_as_it_was(made, tmp_path):
    order = made[0]
    folder = order.out / "outcomes" / "dog_cat"
    key = json.loads((folder / RECORD).read_text())["key"]
    outcome = read_outcome(folder, key)
    write_outcome(tmp_path / "again", outcome)
    again = read_outcome(tmp_path / "again", key)
    assert again.record == outcome.record
    assert again.arrays.keys() == outcome.arrays.keys() == array_file.read_arrays(folder / ARRAYS)[0].keys()
    for name, array in outcome.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_a_reader_gets_every_outcome_in_the_papers_order(made, tmp_path):
    outcomes = read_outcomes(made[0].out)
    assert list(outcomes) == list(HAD)
    assert [outcome.title for outcome in outcomes.values()] == ["MNIST", "CIFAR-10", "Dog vs. Cat"]
    with pytest.raises(InputError, match="holds no outcome of a reproduction; make one with"):
        read_outcomes(tmp_path)


def test_arrays_are_those_of_the_first_seed(made, small_paper):
    from pcacam_jax.cam.explain import explain
    from pcacam_jax.fitting.fit import fit_seeds

    order = made[0]
    folder = order.out / "outcomes" / "mnist"
    outcome = read_outcome(folder, json.loads((folder / RECORD).read_text())["key"])
    fitted = fit_seeds(small_dataset(), small_config(), (0, 1))[0]
    np.testing.assert_array_equal(outcome.arrays["train.features"], fitted.components["train"])
    np.testing.assert_array_equal(outcome.arrays["support_rows"], fitted.svms["svm_rbf"].support_)
    first = np.flatnonzero(fitted.dataset.test.labels == 0)[:3]
    signed = explain(fitted.head, np.array(fitted.maps["test"][first]), "pca").signed
    np.testing.assert_allclose(outcome.arrays["first.components"], signed, rtol=1e-5, atol=1e-7)
    v, places = fitted.components["train"], outcome.arrays["cards.places"]
    for r in range(v.shape[1]):
        ends = outcome.arrays["cards.values"][places[r], r]
        np.testing.assert_array_equal(ends[0], np.sort(v[:, r])[::-1][:4])
        np.testing.assert_array_equal(ends[1], np.sort(v[:, r])[:4])
    scores = [own["test_f1"] for own in [fitted.metrics["metrics"]["svm_rbf"]]]
    assert outcome.scores("svm_rbf", "test")[:1] == scores


def test_what_cannot_be_had_is_told(made):
    order, content, sections = made
    assert content["missing"] == dict.fromkeys(("fashion_mnist", "blood_mnist", "chest_xray"), REASON)
    assert all(section.finding for section in sections)
    text = (order.out / "reproduction.md").read_text()
    assert "Without Fashion-MNIST, Blood-MNIST and Chest X-ray, which could not be had" in text
    assert f"- Chest X-ray: {REASON}" in text


def test_a_claim_without_data_leaves_the_others(small_paper, tmp_path, monkeypatch):
    monkeypatch.setattr(gather, "read_paper_set", lambda *_, **__: (_ for _ in ()).throw(InputError(REASON)))
    order = gather.Order(out=tmp_path / "out", scale="sample", seeds=(0,))
    content, sections = reproduce.reproduce(["figure2", "figure4"], order, QUIET)
    assert [section.finding is None for section in sections] == [True, False]
    assert content["claims"]["figure2"]["made"] is False
    assert "Not made: CIFAR-10 could not be had" in (tmp_path / "out" / "reproduction_figure2_figure4.md").read_text()


def test_the_command_line(pcacam, kept, small_paper):
    arguments = ["figure6", "table3", "--data-root", kept.data_root, "--out", kept.out, "--seeds", 0, 1]
    code, printed, told = pcacam("reproduce", *arguments, "--json")
    assert code == 0
    content = json.loads(printed)
    assert content == json.loads((kept.out / "reproduction_table3_figure6.json").read_text())
    assert list(content["claims"]) == ["table3", "figure6"]
    assert content["scale"] == "sample"
    assert "kept from an earlier run" in told
    code, printed, told = pcacam("reproduce", *arguments, "--sets", "mnist")
    assert code == 0
    assert "macro F1" in printed
    assert "MNIST" in printed
    assert "CIFAR-10" not in printed
    assert "reproduction_table3_figure6.md" in told


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["table4"], "there is no claim 'table4'; the claims are table2, table3, .*gamma_trap"),
        (["--scale", "tiny"], "scale must be one of embedded, sample, full; got 'tiny'"),
        (["--sets", "imagenet"], "sets must be one of mnist, .*; got 'imagenet'"),
        (["--seeds", "1", "1"], "seeds must be different numbers"),
        (["--data-root", "nowhere"], "the folder of datasets nowhere must be a folder, but there is none"),
        (["table2", "--data-root", "."], "the folder of datasets . must hold at least one of mnist, .*, but it holds"),
        (["figure9"], "none of the claims could be made \\(figure9\\): the scale embedded has no Chest X-ray"),
        (["table3", "--scale", "sample", "--sets", "blood_mnist"], REASON[:-1]),
    ],
)
def test_refusals(pcacam, small_paper, tmp_path, arguments, pattern):
    refused(without_progress(pcacam("reproduce", "--out", tmp_path / "out", *arguments)), pattern)
    assert not list((tmp_path / "out").glob("*.md"))


def without_progress(result):
    code, out, err = result
    return code, out, "".join(line for line in err.splitlines(keepends=True) if line.startswith("pcacam: "))


def test_an_interrupt_says_how_to_go_on(pcacam, small_paper, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(gather, "fit_seeds", interrupted)
    code, out, err = pcacam("reproduce", "table3", "--scale", "sample", "--out", tmp_path / "out")
    assert code == 130
    assert out == ""
    assert "the same command goes on from there" in err
    assert not list((tmp_path / "out").rglob("*.json"))
