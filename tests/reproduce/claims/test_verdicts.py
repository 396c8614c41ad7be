"""The claims' sentences follow the numbers: outcomes made by hand, of which it is known what holds."""

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
    """Return what the maps of one seed say, each SVM's likeness to the CNN being that to the first component, too."""
    own = {}
    for svm, numbers in zip(SVMS, (linear, rbf), strict=True):
        found, chance = likeness(*numbers)
        component = {"read": found, "chance": chance, "share": share, "dominates": share}
        own[svm] = {
            "cnn": {"correlation": found, "chance": chance},
            "components": [component],
            **dict.fromkeys(("dominated", "dominant_is_most_alike", "alike_a_component"), share),
            "mixture_error": None if share is None else 1e-6,
        }
    return {
        "classifiers": own,
        "components": [{}],
        "pairs": [{"differ": differ, "chance": None if differ is None else differ + 0.25}],
        "map_shape": [3, 3],
        "classes": [{"name": name, "mean": [mean]} for name, mean in classes],
    }


def outcome(*seeds, title="Set", class_names=("a", "b"), **arrays):
    record = {"title": title, "class_names": list(class_names), "seeds": [*range(7, 7 + len(seeds))]}
    return Outcome(record | {"statements": list(seeds)}, arrays)


@pytest.mark.parametrize(
    ("own", "holds"),
    [
        ((0.5, 0.6, 0.3), True),
        ((0.49, 0.9, 0.0), False),
        ((0.9, 0.9, 0.75), False),
        ((None, 0.9, 0.0), False),
        ((0.9, 0.9, None), False),
    ],
)
def test_similar_is_often_and_more_than_by_chance(own, holds):
    assert Likeness(*own).holds is holds


def test_figure_8_judges_both_svms_against_chance():
    (claim,) = find_claims(["figure8"])
    yes, by_chance, nothing = (0.8, 0.9, 0.1), (0.8, 0.9, 0.85), (None, None, None)
    other = outcome(statements(yes, nothing, differ=None), title="Other")
    found = {"mnist": outcome(statements(yes, by_chance)), "cifar10": other}
    linear, rbf, apart = claim.measure(found).verdicts
    assert linear.startswith("Lin-SVM maps")
    assert "in 2 of 2 sets: Set yes, alike on 80% of the images, correlation 0.90, by chance 0.10;" in linear
    assert "in 0 of 2 sets: Set no, alike on 80% of the images, correlation 0.90, by chance 0.85;" in rbf
    assert rbf.endswith(
        "Other no, alike on an undefined share of the images, correlation undefined, by chance undefined."
    )
    assert "on 50% of the images of Set, by chance on 75% of the images; an undefined share of the images of" in apart
    assert apart.endswith("the components of an image share regions more than two images do.")


def test_figure_9_judges_both_svms_against_chance():
    (claim,) = find_claims(["figure9"])
    yes, by_chance = (0.8, 0.9, 0.1), (0.8, 0.9, 0.85)
    linear, rbf = claim.measure({"dog_cat": outcome(statements(yes, by_chance))}).verdicts
    assert "that Lin-SVM maps are highly similar to one side of L1 holds: alike on 80% of the images" in linear
    assert "that RBF-SVM maps are highly similar to one side of L1 does not hold" in rbf
    assert "by chance 0.85; v1 gives more than half of the decision's map on 70% of the images." in rbf
    vanished = outcome(statements((None,) * 3, (None,) * 3, share=None))
    assert claim.measure({"dog_cat": vanished}).verdicts[0].endswith("map on an undefined share of the images.")


@pytest.mark.parametrize(("distance", "held"), [(3.0, "lie apart"), (-3.0, "lie apart"), (0.5, "do not lie apart")])
def test_figure_9_of_two_classes_asks_how_far_they_lie_apart(distance, held):
    (claim,) = find_claims(["figure9"])
    within = np.array([-1.0, 1.0, -1.0, 1.0])  # standard deviation 1
    v = np.concatenate([within, within + distance])
    arrays = {"test.features": np.stack([v, 0 * v], axis=1), "test.labels": np.repeat([0, 1], 4)}
    seed = statements((1, 1, 0), (1, 1, 0), classes=(("cat", 0), ("dog", distance)))
    *_, ends = claim.measure({"dog_cat": outcome(seed, class_names=("cat", "dog"), **arrays)}).verdicts
    assert f"cat and dog {held} on v1" in ends
    assert f"differ by {abs(distance):.1f} standard deviations within classes (test images of seed 7)" in ends


def test_figure_9_of_three_classes_asks_which_lie_at_the_ends():
    (claim,) = find_claims(["figure9"])
    names = ("COVID-19", "normal", "pneumonia")
    arrays = {"test.features": np.arange(6.0)[:, None], "test.labels": np.repeat([0, 1, 2], 2)}
    seeds = [
        statements((1, 1, 0), (1, 1, 0), classes=zip(names, means, strict=True)) for means in ((2, 0, -1), (0, 2, 1))
    ]
    *_, ends = claim.measure({"chest_xray": outcome(*seeds, class_names=names, **arrays)}).verdicts
    assert "COVID-19 and pneumonia lie at the two ends of v1, as in the paper, in 1 of 2 seeds" in ends
    assert "differ by 8.0 standard deviations" in ends


def test_maps_keeps_every_seed_and_says_what_is_undefined():
    (claim,) = find_claims(["maps"])
    seeds = (statements((1, 1, 0), (1, 1, 0), share=0.2), statements((1, 1, 0), (1, 1, 0), share=0.4))
    finding = claim.measure({"mnist": outcome(*seeds)})
    assert [own["dominated"] for own in finding.data["mnist"]["svm_rbf"]] == [0.2, 0.4]
    assert finding.verdicts[0].endswith("on 30% of the images of Set.")
    finding = claim.measure({"mnist": outcome(statements((None,) * 3, (None,) * 3, share=None))})
    assert finding.verdicts[0].endswith("on an undefined share of the images of Set.")
    assert finding.verdicts[-1] == "Every SVM map is zero everywhere."


def airplanes(*images):
    seeds = [{"classes": [{"positive_share": shares}]} for shares in ([0.9, None], [0.1, 0.5])]
    return {"cifar10": outcome(*seeds, **{"first.components": np.array(images)})}


def test_figure_2_does_not_let_signs_cancel():
    (claim,) = find_claims(["figure2"])
    found = airplanes([SIGNED, SIGNED], [SIGNED, -SIGNED])
    finding = claim.measure(found)
    assert finding.verdicts[0].startswith("4 of 4 maps are one-sided")
    assert "for 1 of 2 components (v1)" in finding.verdicts[1]
    assert "correlate by 1.00 in magnitude" in finding.verdicts[2]
    *single, mean = finding.tables[0].rows
    assert [row[0] for row in single] == ["(a) a, seed 7", "(b) a, seed 7"]
    # The second seed's components have other signs
    assert mean == ("mean of all a images measured, seed 7", "0.90", "-")


def test_figure_7_needs_two_images_of_a_class():
    (claim,) = find_claims(["figure7"])
    v, labels = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 1, 0, 1, 0, 1])

    def of(rows):
        arrays = {"train.features": v, "train.labels": labels, "test.features": v[rows], "test.labels": labels[rows]}
        found = outcome({}, **arrays)
        found.record["settings"] = {"cost": 1.0}
        return claim.measure({"mnist": found})

    alone, several = of([0, 1]), of([0, 1, 2])
    assert (alone.tables[0].rows[0][-1], alone.data["mnist"]["silhouette"]) == ("-", None)
    assert alone.verdicts[0].endswith("in 0 of 0 sets.")
    assert several.tables[0].rows[0][-1] == f"{several.data['mnist']['silhouette']:+.2f}"


def test_figure_2_leaves_out_maps_of_zeros():
    (claim,) = find_claims(["figure2"])
    finding = claim.measure(airplanes([SIGNED, 0 * SIGNED], [SIGNED - 2.5, 0 * SIGNED]))
    assert finding.verdicts[0].startswith("1 of 2 maps (2 more are zero everywhere) are one-sided")
    assert "for 0 of 2 components;" in finding.verdicts[1]
    assert finding.verdicts[2] == "The maps are constant."
    assert finding.data["positive_share"] == [[1.0, None], [0.5, None]]
    assert finding.tables[0].rows[0][2] == "-"


def test_the_gamma_trap_counts_where_training_scores_rise():
    (claim,) = find_claims(["gamma_trap"])
    rising = {"deviation": 1.0, "scales": [1.0, 30.0], "train": [0.8, 1.0], "test": [0.8, 0.3], "support": [0.1, 1.0]}
    level, caught = rising | {"train": [1.0, 1.0]}, rising | {"deviation": 30.0}
    verdicts = claim.measure.__globals__["verdicts"]
    found = {"mnist": rising, "cifar10": level}
    first, second = verdicts(dict.fromkeys(found, outcome()), found)
    assert "in 2 of 2 sets; training F1 is higher there than where test F1 is best in 1 of 2." in first
    assert second.endswith("for none.")
    assert verdicts({"mnist": outcome()}, {"mnist": caught})[1].endswith("for Set.")
