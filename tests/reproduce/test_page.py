"""The page shows the numbers of the outcomes, is valid Markdown, and names no local path."""

import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from support.small_papers import AVAILABLE

from pcacam_jax.core.text import listed
from pcacam_jax.reports.class_table import CLASSIFIERS
from pcacam_jax.reproduce.claim import Finding, Table, mean_and_spread, spread_text
from pcacam_jax.reproduce.claims import find_claims
from pcacam_jax.reproduce.claims.table3 import large_gaps
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.page import Section, escape, markdown
from pcacam_jax.reproduce.paper import TABLE3
from pcacam_jax.reproduce.terminal import unmeasured

SHARED = Path(__file__).parents[3] / "shared" / "data" / "README.md"


@pytest.fixture
def text(reproduction):
    return (reproduction[0].out / "reproduction.md").read_text()


def outcomes(reproduction):
    return {
        name: json.loads((reproduction[0].out / "outcomes" / name / "outcome.json").read_text()) for name in AVAILABLE
    }


def section(text, title):
    return re.search(rf"^## {title}.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL).group()


def rows(block):
    lines = [line for line in block.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if not set(line) <= set("|-: ")]


@pytest.mark.exhaustive
def test_table_3_holds_the_outcomes_numbers(reproduction, text):
    table = rows(section(text, "Table 3"))
    assert table[0] == ["dataset", "classifier", "train, paper", "train, ours", "Δ", "test, paper", "test, ours", "Δ"]
    expected = []
    for name, record in outcomes(reproduction).items():
        for classifier, title in CLASSIFIERS.items():
            cells = [TABLE3[name].title, title]
            for split, paper in TABLE3[name].scores(classifier).items():
                ours = record["scores"][classifier][split]
                mean = statistics.fmean(ours)
                cells += [f"{paper:.3f}", f"{mean:.3f} ± {statistics.stdev(ours):.3f}", f"{mean - paper:+.3f}"]
            expected.append(cells)
    assert table[1:] == expected


@pytest.mark.exhaustive
def test_figures_5_and_6_hold_the_outcomes_numbers(reproduction, text):
    record = outcomes(reproduction)["mnist"]
    ratios = np.array(record["explained_variance_ratio"])
    shares = next(row for row in rows(section(text, "Figure 6")) if row[0] == "MNIST")
    assert [float(cell.split(" ")[0]) for cell in shares[1:5]] == pytest.approx(
        [*ratios.mean(axis=0), ratios.sum(axis=1).mean()], abs=6e-4
    )
    epochs = next(row for row in rows(section(text, "Figure 5")) if row[0] == "MNIST")
    assert epochs[1:3] == ["60", ", ".join(map(str, record["best_epochs"]))]
    best = [max(curve) for curve in record["curves"]["validation_accuracy"]]
    assert float(epochs[3].split(" ")[0]) == pytest.approx(statistics.fmean(best), abs=6e-4)


@pytest.mark.exhaustive
def test_the_json_has_the_same_numbers(reproduction):
    content = reproduction[1]
    for name, record in outcomes(reproduction).items():
        for classifier in CLASSIFIERS:
            test = content["claims"]["table3"]["data"][name][classifier]["test"]
            values = record["scores"][classifier]["test"]
            assert test["mean"] == pytest.approx(statistics.fmean(values), rel=1e-12)
            assert test["standard_deviation"] == pytest.approx(statistics.stdev(values), abs=1e-12)
            assert test["delta"] == pytest.approx(test["mean"] - TABLE3[name].scores(classifier)["test"], abs=1e-12)


@pytest.mark.exhaustive
def test_header_settings_and_figures(reproduction, text):
    request, _, sections = reproduction
    assert "- seeds: 0 and 1; numbers are means over seeds ± standard deviation" in text
    assert "- data root: data\n" in text
    assert "size 32;" in text
    assert "hidden 8 6 5;" in text
    assert ["MNIST", "60 / 24", "60,000 / 10,000"] in rows(section(text, "Settings"))
    figures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)
    assert figures == [figure for section in sections for figure in section.figures]
    assert all((request.out / figure).is_file() for figure in figures)


@pytest.mark.exhaustive
def test_figures_of_the_first_seed_say_so(text):
    note = "The figures show the first seed, 0."
    assert {title: note in section(text, title) for title in ("Figure 2", "Figure 5", "Figure 9", "Section 6.2.2")} == {
        "Figure 2": True,
        "Figure 5": False,
        "Figure 9": True,
        "Section 6.2.2": True,
    }


@pytest.mark.exhaustive
def test_no_local_path_is_written(reproduction, text):
    request = reproduction[0]
    records = [*request.out.glob("*.json"), *request.out.glob("outcomes/*/*.json")]
    for content in [text, *(path.read_text() for path in records)]:
        assert str(request.out.parent) not in content
        assert not re.search(r"(?<![\w:/.*)])/(?:home|tmp|root|work|usr)/", content)


def test_markdown_is_aligned_and_escaped():
    table = Table(("a|b", "number"), (("x_y and _z_ <b> *s*", "1.5"), ("`q` [l](u)", "-22.75 ± 0.1")))
    lines = markdown(table).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].startswith(r"| a\|b ")
    assert lines[1].endswith("-: |")
    assert r"x_y and \_z\_ \<b\> \*s\*" in lines[2]
    assert lines[2].endswith(" 1.5 |")
    assert r"\`q\` \[l\](u)" in lines[3]
    assert escape("two\nlines  # not a title") == r"two lines \# not a title"


def outcome(test, *, images=60, support=20, warnings=()):
    scores = {classifier: {"train": [1.0, 0.98], "test": [test, test]} for classifier in CLASSIFIERS}
    kinds = [{"kind": kind, "subject": subject} for kind, subject in warnings]
    record = {"title": "MNIST", "scores": scores, "images": {"train": images}, "warning_kinds": kinds}
    return Outcome(record | {"support_vectors": {name: [support, support] for name in ("svm_linear", "svm_rbf")}}, {})


def test_large_gaps_come_with_facts():
    assert large_gaps("mnist", outcome(0.96)) == []
    cnn, linear, rbf = large_gaps("mnist", outcome(0.9))
    assert cnn.startswith("MNIST, CNN: test F1 0.900 against the paper's 0.991 (-0.091). ")
    assert "Trained on 60 images; the paper has 60,000, 1000.0 times as many." in cnn
    assert cnn.endswith("Train minus test is +0.090 here, +0.002 in the paper.")
    assert linear.endswith("33% of the training images are support vectors.")
    assert "33%" in rbf
    assert not any("memorised" in gap for gap in large_gaps("mnist", outcome(0.3, support=59)))
    gaps = large_gaps("mnist", outcome(0.3, warnings=[("chance", "cnn"), ("memorisation", "svm_rbf")]))
    assert ["memorised" in gap for gap in gaps] == [False, False, True]
    assert "Trained on" not in large_gaps("mnist", outcome(0.3, images=60_000))[0]
    assert len(large_gaps("mnist", outcome(1.0))) == 0


def test_one_sentence_names_what_was_not_measured():
    sections = [Section(claim, None, []) for claim in find_claims(["figure2", "figure9"])]
    measured = Section(find_claims(["figure4"])[0], Finding(), [])
    sentence = "not measured, because they need datasets that were left out or are not available: figure2 and figure9."
    assert unmeasured([*sections, measured]) == sentence
    assert unmeasured([measured]) == ""


def test_means_spreads_and_lists():
    assert mean_and_spread([0.2, 0.4]) == (pytest.approx(0.3), pytest.approx(statistics.stdev([0.2, 0.4])))
    assert mean_and_spread([0.5]) == (0.5, None)
    assert spread_text([0.5]) == "0.500"
    assert spread_text([0.2, 0.4], 2) == "0.30 ± 0.14"
    assert [listed([]), listed(["a"]), listed(["a", "b", "c"])] == ["none", "a", "a, b and c"]


def test_the_papers_numbers():
    if not SHARED.is_file():
        pytest.skip("the shared data with the paper's Table 3 are not available")
    lines = re.findall(r"^\| [A-Z].*?/.*\|$", SHARED.read_text(), re.MULTILINE)
    parsed = {}
    for line in lines:
        title, counts, *scores = (cell.strip() for cell in line.strip("|").split("|"))
        if re.fullmatch(r"\d+ / [\d,]+ / [\d,]+", counts):
            parsed[title] = (counts, *(tuple(float(f"0{value}") for value in pair.split("/")) for pair in scores))
    assert parsed == {
        row.title: (f"{row.classes} / {row.train:,} / {row.test:,}", row.cnn, row.svm_linear, row.svm_rbf)
        for row in TABLE3.values()
    }
