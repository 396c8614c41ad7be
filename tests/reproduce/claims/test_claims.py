"""The modules of the claims, and the claims whose measurement needs no fitted run."""

import ast
import itertools
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from pcacam_jax.core.checks import InputError
from pcacam_jax.reproduce import claims
from pcacam_jax.reproduce.claims import NAMES, find_claims
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.paper import MANY_COMPONENTS, ONE_COMPONENT, SETS, TABLE3
from pcacam_jax.reproduce.settings import SCALES, settings_of
from pcacam_jax.verification.certificate import DTYPES, REFERENCE_METHODS, Certificate, Comparison

FOLDER = Path(claims.__file__).parent


@pytest.mark.parametrize("name", NAMES)
def test_a_file_opens_with_its_claim(name):
    (claim,) = find_claims([name])
    assert claim.name == name
    assert set(claim.sets) <= set(SETS)
    docstring = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text()))
    assert [line.split(":")[0] for line in docstring.splitlines() if re.match(r"[A-Z]\w*( \(.*\))?:", line)] == [
        docstring.split(":")[0],
        "Command",
        "Paper",
        "Ours",
    ]
    assert docstring.startswith("Claim")
    assert re.search(r"\nOurs: .*\d", docstring)
    assert f"pcacam reproduce {name}" in docstring


def test_claims_are_in_the_order_of_the_page_and_unknown_names_are_rejected():
    assert [claim.name for claim in find_claims(["figure5", "table2", "figure5"])] == ["table2", "figure5"]
    assert [claim.name for claim in find_claims()] == list(NAMES)
    with pytest.raises(InputError, match="there is no claim 'table9'; the claims are table2, table3"):
        find_claims(["table3", "table9"])


def test_every_module_of_claims_is_listed():
    assert {path.stem for path in FOLDER.glob("*.py")} - {"__init__"} == set(NAMES)


def test_datasets_have_settings():
    assert list(TABLE3) == [*MANY_COMPONENTS, *ONE_COMPONENT]
    for name, scale in SCALES.items():
        assert set(scale.sets) <= set(SETS)
        assert all(settings_of(name, dataset).components == 3 for dataset in scale.sets)


@pytest.fixture(scope="module")
def influence():
    (claim,) = find_claims(["figure4"])
    return claim, claim.measure({})


def test_figure_4_measures_the_numbers_of_the_theorems(influence):
    claim, finding = influence
    assert "Theorem 1 holds" in finding.verdicts[0]
    assert "Theorem 2 holds" in finding.verdicts[1]
    for result in finding.data["gammas"]:
        gamma = result["gamma"]
        assert result["place"] == pytest.approx(1 / np.sqrt(2 * gamma), rel=1e-6)
        assert result["height"] == pytest.approx(np.sqrt(2 * gamma / np.e), rel=1e-12)
        # h'' = (4 gamma^2 d)(2 gamma d^2 - 3) exp(-gamma d^2), which is -2 (2 gamma)^(3/2) exp(-1/2) at d*
        assert result["curvature"] == pytest.approx(-2 * (2 * gamma) ** 1.5 * np.exp(-0.5), rel=1e-4)
    assert set(claim.draw({})) == {"figure4"}


def test_figure_4_fails_for_another_kernel(monkeypatch):
    (claim,) = find_claims(["figure4"])
    module = claim.measure.__globals__
    monkeypatch.setitem(module, "GAMMAS", (1.0,))
    monkeypatch.setitem(module, "influence_by_autodiff", lambda d, gamma: d * jax.numpy.exp(-gamma * d))
    first, second, _ = claim.measure({}).verdicts
    assert "Theorem 1 holds" in first
    assert "Theorem 2 FAILS" in second
    monkeypatch.setitem(module, "influence_by_autodiff", lambda d, gamma: 0.1 + d * jax.numpy.exp(-gamma * d * d))
    assert "Theorem 1 FAILS" in claim.measure({}).verdicts[0]


@pytest.mark.parametrize("error", [1e-9, 1.0])
def test_table_2_certifies_six_forms(monkeypatch, error):
    """The comparisons themselves are tested with ``pcacam verify``."""
    (claim,) = find_claims(["table2"])

    def certify(cases, *, curvature):
        assert not curvature
        names = [name for name, _, _ in cases]
        errors = [1e-9] * 35 + [error]
        pairs = itertools.product(names, DTYPES, REFERENCE_METHODS)
        return Certificate(tuple(Comparison(*pair, value, 1e-5) for pair, value in zip(pairs, errors, strict=True)))

    monkeypatch.setitem(claim.measure.__globals__, "certify", certify)
    finding = claim.measure({})
    (table,) = finding.tables
    assert {row[0] for row in table.rows} == {
        f"{form}, {activation}" for form in ("PCA", "SVM linear", "SVM rbf") for activation in ("sigmoid", "relu")
    }
    assert set(table.rows[0][1:]) == {"1.0e-09"}
    assert table.rows[-1][-1] == f"{error:.1e}"
    assert finding.data["passed"] is (error < 1)
    assert f"36 comparisons of 6 closed forms, {'all hold' if error < 1 else '1 fail'}" in finding.verdicts[0]


def ratios(*rows):
    record = {"title": "set", "explained_variance_ratio": [list(row) for row in rows]}
    return Outcome(record, {})


def test_figure_6_judges_shares():
    (claim,) = find_claims(["figure6"])
    many, one, low = (0.4, 0.3, 0.2), (0.9, 0.05, 0.01), (0.3, 0.2, 0.1)
    finding = claim.measure({"mnist": ratios(many), "dog_cat": ratios(one)})
    assert finding.verdicts[0] == "Three components explain more than 75% of the variance on 2 of 2 datasets."
    assert "Only component 1 is high on 1 of the 1" in finding.verdicts[1]
    assert "All three are high on 1 of the 1" in finding.verdicts[2]
    finding = claim.measure({"mnist": ratios(one), "dog_cat": ratios(many, many), "cifar10": ratios(low)})
    assert "2 of 3 datasets, but not on set" in finding.verdicts[0]
    assert "Only component 1 is high on 0 of the 1" in finding.verdicts[1]
    assert "All three are high on 1 of the 2" in finding.verdicts[2]


def test_figure_5_judges_convergence():
    (claim,) = find_claims(["figure5"])

    def curves(*values):
        record = {"title": "set", "best_epochs": [len(values)], "seeds": [0]}
        return Outcome(record | {"curves": {"validation_accuracy": [list(values)]}}, {})

    flat, rising = curves(*[0.5] * 10), curves(*np.linspace(0.1, 0.9, 10))
    verdict = claim.measure({"mnist": flat, "cifar10": rising}).verdicts[0]
    assert verdict.startswith("Training has converged on 1 of 2 datasets, but not on set. ")
    assert claim.measure({"mnist": flat}).data["mnist"]["movement"] == 0


def test_features_of_large_scale_are_in_the_gamma_trap():
    (claim,) = find_claims(["gamma_trap"])
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 120), ("test", 60)):
        labels = np.arange(count) % 2
        arrays[f"{split}.labels"] = labels
        arrays[f"{split}.features"] = random.normal(size=(count, 3)) + labels[:, None]
    record = {"title": "set", "settings": {"cost": 1.0, "gamma": 1.0}}
    result = claim.measure({"mnist": Outcome(record, arrays)}).data["mnist"]
    wide = result["scales"].index(30.0)
    assert result["train"][wide] > 0.99
    assert result["support"][wide] > 0.95
    assert result["test"][wide] < max(result["test"]) - 0.1
    assert result["deviation"] == pytest.approx(np.sqrt(arrays["train.features"].var(axis=0).mean()))
