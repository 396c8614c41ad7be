"""The sentences of the claims agree with the numbers, on handmade outcomes with known results."""

import numpy as np
import pytest

from pcacam_jax.reproduce.claims import find_claims
from pcacam_jax.reproduce.outcome import Outcome
from pcacam_jax.reproduce.seed_statistics import Likeness

SVMS = ("svm_linear", "svm_rbf")
SIGNED = np.array([[1.0, 2.0], [3.0, 4.0]])


def likeness(alike, correlation, chance):
    return {"mean": correlation, "alike": alike}, {"mean": chance, "alike": None}


def statements(linear, rbf, *, share=0.7, differ=0.5, classes=()):
    """Return the map statistics of one seed; each SVM is as similar to the CNN as to the first component."""
    classifiers = {}
    for svm, numbers in zip(SVMS, (linear, rbf), strict=True):
        similarity, chance = likeness(*numbers)
        component = {"read": similarity, "chance": chance, "share": share, "dominates": share}
        classifiers[svm] = {
            "cnn": {"correlation": similarity, "chance": chance},
            "components": [component],
            **dict.fromkeys(("dominated", "dominant_is_most_alike", "alike_a_component"), share),
            "mixture_error": None if share is None else 1e-6,
        }
    return {
        "classifiers": classifiers,
        "components": [{}],
        "pairs": [{"differ": differ, "chance": None if differ is None else differ + 0.25}],
        "map_shape": [3, 3],
        "classes": [{"name": name, "mean": [mean]} for name, mean in classes],
    }


def outcome(*seeds, title="Set", class_names=("a", "b"), **arrays):
    record = {"title": title, "class_names": list(class_names), "seeds": [*range(7, 7 + len(seeds))]}
    return Outcome(record | {"statements": list(seeds)}, arrays)


@pytest.mark.parametrize(
    ("numbers", "holds"),
    [
        ((0.5, 0.6, 0.3), True),
        ((0.49, 0.9, 0.0), False),
        ((0.9, 0.9, 0.75), False),
        ((None, 0.9, 0.0), False),
        ((0.9, 0.9, None), False),
    ],
)
def test_similar_means_often_alike_and_more_than_by_chance(numbers, holds):
    assert Likeness(*numbers).holds is holds


def test_figure_8_judges_both_svms_against_chance():
    (claim,) = find_claims(["figure8"])
    yes, by_chance, nothing = (0.8, 0.9, 0.1), (0.8, 0.9, 0.85), (None, None, None)
    other = outcome(statements(yes, nothing, differ=None), title="Other")
    outcomes = {"mnist": outcome(statements(yes, by_chance)), "cifar10": other}
    linear, rbf, different = claim.measure(outcomes).verdicts
    assert linear.startswith("Lin-SVM maps")
    assert "on 2 of 2 datasets. Set: yes, alike on 80 % of the images, correlation 0.90, by chance 0.10;" in linear
    assert "on 0 of 2 datasets. Set: no, alike on 80 % of the images, correlation 0.90, by chance 0.85;" in rbf
    assert rbf.endswith(
        "Other: no, alike on an undefined share of the images, correlation undefined, by chance undefined."
    )
    shares = "on 50 % of the images of Set, by chance on 75 % of the images; an undefined share of the images of Other"
    assert shares in different
    assert different.endswith("share regions more often on one image than on two images.")


def test_figure_9_judges_both_svms_against_chance():
    (claim,) = find_claims(["figure9"])
    yes, by_chance = (0.8, 0.9, 0.1), (0.8, 0.9, 0.85)
    linear, rbf = claim.measure({"dog_cat": outcome(statements(yes, by_chance))}).verdicts
    assert "Lin-SVM maps are highly similar to one side of component 1's map: alike on 80 % of the images" in linear
    assert "RBF-SVM maps are not highly similar to one side of component 1's map: " in rbf
    assert "by chance 0.85; component 1 contributes more than half of the decision's map on 70 % of the images." in rbf
    vanished = outcome(statements((None,) * 3, (None,) * 3, share=None))
    assert claim.measure({"dog_cat": vanished}).verdicts[0].endswith("map on an undefined share of the images.")


@pytest.mark.parametrize(
    ("distance", "verdict"), [(3.0, "are separated"), (-3.0, "are separated"), (0.5, "are not separated")]
)
def test_figure_9_measures_the_separation_of_two_classes(distance, verdict):
    (claim,) = find_claims(["figure9"])
    within = np.array([-1.0, 1.0, -1.0, 1.0])  # standard deviation 1
    v = np.concatenate([within, within + distance])
    arrays = {"test.features": np.stack([v, 0 * v], axis=1), "test.labels": np.repeat([0, 1], 4)}
    seed = statements((1, 1, 0), (1, 1, 0), classes=(("cat", 0), ("dog", distance)))
    *_, ends = claim.measure({"dog_cat": outcome(seed, class_names=("cat", "dog"), **arrays)}).verdicts
    assert f"cat and dog {verdict} on component 1" in ends
    assert f"differ by {abs(distance):.1f} standard deviations within classes (test images of seed 7)" in ends


def test_figure_9_judges_which_of_three_classes_are_at_the_ends():
    (claim,) = find_claims(["figure9"])
    names = ("COVID-19", "normal", "pneumonia")
    arrays = {"test.features": np.arange(6.0)[:, None], "test.labels": np.repeat([0, 1, 2], 2)}
    seeds = [
        statements((1, 1, 0), (1, 1, 0), classes=zip(names, means, strict=True)) for means in ((2, 0, -1), (0, 2, 1))
    ]
    *_, ends = claim.measure({"chest_xray": outcome(*seeds, class_names=names, **arrays)}).verdicts
    assert "COVID-19 and pneumonia are at the two ends of component 1, as in the paper, in 1 of 2 seeds" in ends
    assert "differ by 8.0 standard deviations" in ends


def test_maps_stores_every_seed_and_reports_undefined_shares():
    (claim,) = find_claims(["maps"])
    seeds = (statements((1, 1, 0), (1, 1, 0), share=0.2), statements((1, 1, 0), (1, 1, 0), share=0.4))
    finding = claim.measure({"mnist": outcome(*seeds)})
    assert [seed["dominated"] for seed in finding.data["mnist"]["svm_rbf"]] == [0.2, 0.4]
    assert finding.verdicts[0].endswith("on 30 % of the images of Set.")
    finding = claim.measure({"mnist": outcome(statements((None,) * 3, (None,) * 3, share=None))})
    assert finding.verdicts[0].endswith("on an undefined share of the images of Set.")
    assert finding.verdicts[-1] == "Every SVM map is zero everywhere."


def airplanes(*images):
    seeds = [{"classes": [{"positive_share": shares}]} for shares in ([0.9, None], [0.1, 0.5])]
    return {"cifar10": outcome(*seeds, **{"first.components": np.array(images)})}


def test_opposite_signs_do_not_cancel_in_figure_2():
    (claim,) = find_claims(["figure2"])
    finding = claim.measure(airplanes([SIGNED, SIGNED], [SIGNED, -SIGNED]))
    assert finding.verdicts[0].startswith("4 of 4 maps are one-sided")
    assert "for 1 of 2 components (component 1)" in finding.verdicts[1]
    assert "absolute correlation of 1.00 (" in finding.verdicts[2]
    *single, mean = finding.tables[0].rows
    assert [row[0] for row in single] == ["(a) a, seed 7", "(b) a, seed 7"]
    # The second seed's components have other signs
    assert mean == ("mean over all measured a images, seed 7", "0.90", "-")


def test_figure_7_needs_two_images_of_a_class():
    (claim,) = find_claims(["figure7"])
    v, labels = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 1, 0, 1, 0, 1])

    def measure(rows):
        arrays = {"train.features": v, "train.labels": labels, "test.features": v[rows], "test.labels": labels[rows]}
        fitted = outcome({}, **arrays)
        fitted.record["settings"] = {"cost": 1.0}
        return claim.measure({"mnist": fitted})

    alone, several = measure([0, 1]), measure([0, 1, 2])
    assert (alone.tables[0].rows[0][-1], alone.data["mnist"]["silhouette"]) == ("-", None)
    assert alone.verdicts[0].endswith("on 0 of 0 datasets.")
    assert several.tables[0].rows[0][-1] == f"{several.data['mnist']['silhouette']:+.2f}"


def test_figure_2_ignores_maps_of_zeros():
    (claim,) = find_claims(["figure2"])
    finding = claim.measure(airplanes([SIGNED, 0 * SIGNED], [SIGNED - 2.5, 0 * SIGNED]))
    assert finding.verdicts[0].startswith("1 of 2 maps (2 more are zero everywhere) are one-sided")
    assert "for 0 of 2 components;" in finding.verdicts[1]
    assert finding.verdicts[2] == "The maps are constant."
    assert finding.data["positive_share"] == [[1.0, None], [0.5, None]]
    assert finding.tables[0].rows[0][2] == "-"


def test_the_gamma_trap_counts_rising_training_scores():
    (claim,) = find_claims(["gamma_trap"])
    rising = {"deviation": 1.0, "scales": [1.0, 30.0], "train": [0.8, 1.0], "test": [0.8, 0.3], "support": [0.1, 1.0]}
    level, caught = rising | {"train": [1.0, 1.0]}, rising | {"deviation": 30.0}
    verdicts = claim.measure.__globals__["verdicts"]
    results = {"mnist": rising, "cifar10": level}
    first, second = verdicts(dict.fromkeys(results, outcome()), results)
    assert "on 2 of 2 datasets; there, training F1 is higher than at the scale of the best test F1 on 1 of 2." in first
    assert second.endswith("below its best value on 0 of 2 datasets.")
    assert verdicts({"mnist": outcome()}, {"mnist": caught})[1].endswith(
        "below its best value on 1 of 1 datasets: Set."
    )
