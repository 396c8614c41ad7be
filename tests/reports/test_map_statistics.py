"""Statistics of maps against loops over single images, written from the definitions, and undefined values."""

import dataclasses
import json
from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from pcacam_jax import explain, hybrid_head
from pcacam_jax.data import ArraySplit, Dataset
from pcacam_jax.head.hybrid import spatial_chain
from pcacam_jax.reports.map_sentences import sentences
from pcacam_jax.reports.map_statistics import ALIKE, even_rows, map_statements, summary

CLASSES = ("cat", "dog", "newt")
SHAPE = (3, 4, 5)
COUNT = 40


def pooled_head(fitted):
    """Return the head of a run for the cached maps, behind the max-pool."""
    return dataclasses.replace(fitted.head, spatial=spatial_chain(fitted.maps["test"].shape[1:]))


def small_run(components=3, gamma=0.5):
    """Return the parts of a fitted run that the statements use: random maps whose classes differ in two channels."""
    random = np.random.default_rng(0)
    widths = (int(np.prod(SHAPE)), 7, 6, 3)
    dense = [(random.normal(size=(a, b)) / np.sqrt(a), 0.1 * random.normal(size=b)) for a, b in pairwise(widths)]
    labels = np.repeat(np.arange(3), 30)
    maps = np.abs(random.normal(size=(90, *SHAPE))).astype(np.float32)
    maps[labels == 0, :2, :, 0] += 2
    maps[labels == 1, :, 2:, 1] += 2
    x = maps.reshape(90, -1).astype(float)
    for kernel, bias in dense[:2]:
        x = np.tanh(x @ kernel + bias)
    pca = PCA(components).fit(x)
    v = pca.transform(x)
    svms = {f"svm_{kernel}": SVC(kernel=kernel, gamma=gamma).fit(v, labels) for kernel in ("linear", "rbf")}
    head = hybrid_head(dense, maps_shape=SHAPE, pca=pca, svms=svms, at=2, activation="tanh", class_names=CLASSES)
    split = ArraySplit(random.integers(0, 256, (90, 32, 32), dtype=np.uint8), labels)
    return SimpleNamespace(
        dataset=Dataset("beasts", CLASSES, split, split), head=head, pca=pca, svms=svms, tap_maps={"test": maps}
    )


@pytest.fixture(scope="module")
def run():
    return small_run()


@pytest.fixture(scope="module")
def statements(run):
    return map_statements(run, count=COUNT)


@pytest.fixture(scope="module")
def images(run):
    """Return the label and the explanation of each chosen image, explained one by one."""
    rows = even_rows(run.dataset.test.labels, COUNT)
    targets = ["pca", "cnn:predicted", "svm_linear:predicted", "svm_rbf:predicted"]
    maps = run.tap_maps["test"]
    return [
        (int(run.dataset.test.labels[i]), explain(run.head, maps[i : i + 1], targets, method="gradcam")) for i in rows
    ]


def pearson(first, second):
    first, second = np.asarray(first, float).ravel(), np.asarray(second, float).ravel()
    return np.nan if np.ptp(first) == 0 or np.ptp(second) == 0 else np.corrcoef(first, second)[0, 1]


def another(n):
    """Return the image that the n-th one is compared with by chance: its predecessor in a permutation with seed 0."""
    order = list(np.random.default_rng(0).permutation(COUNT))
    return order[order.index(n) - 1]


def test_chance_takes_every_other_image_once_whatever_its_class(images):
    others = [another(n) for n in range(COUNT)]
    assert sorted(others) == list(range(COUNT))
    assert all(other != n for n, other in enumerate(others))
    assert 0 < sum(images[other][0] == images[n][0] for n, other in enumerate(others)) < COUNT


def loops(images, t, r):
    """Return the numbers about the classifier of target ``t`` and component ``r``, one image at a time."""
    counts = Counter()
    lists = {name: [] for name in ("positive", "negative", "read", "chance", "share", "weight")}
    for n, (_, explained) in enumerate(images):
        weights = np.asarray(explained.mixture[explained.targets[t]][0], float)
        signed = np.asarray(explained.signed[0], float)
        other = np.asarray(images[another(n)][1].signed[0], float)
        other_weight = images[another(n)][1].mixture[explained.targets[t]][0][r]
        decision = np.maximum(sum(weights[s] * signed[s] for s in range(3)), 0)
        side = np.maximum(np.sign(weights[r]) * signed[r], 0)
        sizes = [abs(weights[s]) * np.linalg.norm(signed[s]) for s in range(3)]
        lists["positive"].append(pearson(decision, np.maximum(signed[r], 0)))
        lists["negative"].append(pearson(decision, np.maximum(-signed[r], 0)))
        lists["read"].append(pearson(decision, side))
        lists["chance"].append(pearson(decision, np.maximum(np.sign(other_weight) * other[r], 0)))
        lists["share"].append(sizes[r] / sum(sizes))
        lists["weight"].append(weights[r])
        counts["dominates"] += sizes[r] > sum(sizes) / 2
        counts["alike"] += lists["read"][-1] >= ALIKE
        counts["both"] += lists["read"][-1] >= ALIKE and sizes[r] > sum(sizes) / 2
        counts["comparable"] += np.isfinite(lists["read"][-1]) and sizes[r] > sum(sizes) / 2
    return lists, counts


@pytest.mark.parametrize("r", [0, 1, 2])
@pytest.mark.parametrize(("name", "t"), [("svm_linear", 4), ("svm_rbf", 5)])
def test_components_are_measured_as_defined(statements, images, name, t, r):
    component, (lists, counts) = statements["classifiers"][name]["components"][r], loops(images, t, r)
    assert component["component"] == r + 1
    for kind in ("positive", "negative", "read", "chance"):
        assert component[kind]["images"] == np.isfinite(lists[kind]).sum()
        assert component[kind]["mean"] == pytest.approx(np.nanmean(lists[kind]), abs=1e-5)
        quartiles = [component[kind][quartile] for quartile in ("lower_quartile", "median", "upper_quartile")]
        assert quartiles == pytest.approx(np.nanquantile(lists[kind], [0.25, 0.5, 0.75]), abs=1e-5)
    assert component["share"] == pytest.approx(np.mean(lists["share"]), abs=1e-5)
    assert component["weight"] == pytest.approx(np.mean(lists["weight"]), abs=1e-5)
    assert component["weight_magnitude"] == pytest.approx(np.mean(np.abs(lists["weight"])), abs=1e-5)
    assert component["weight_positive"] == pytest.approx(np.mean(np.array(lists["weight"]) > 0))
    assert component["dominates"] == pytest.approx(counts["dominates"] / COUNT)
    assert component["read"]["alike"] == pytest.approx(counts["alike"] / component["read"]["images"])
    for key, whole in (("dominates_where_alike", "alike"), ("alike_where_dominating", "comparable")):
        assert component[key] == (pytest.approx(counts["both"] / counts[whole]) if counts[whole] else None)


@pytest.mark.parametrize(("name", "t"), [("svm_linear", 4), ("svm_rbf", 5)])
def test_the_cnn_is_compared_as_defined(statements, images, name, t):
    svm = statements["classifiers"][name]
    values = np.array([pearson(one.positive[0, t], one.positive[0, 3]) for _, one in images])
    same = np.array([one.labels[0, t] == one.labels[0, 3] for _, one in images])
    assert svm["cnn"]["correlation"]["mean"] == pytest.approx(np.nanmean(values), abs=1e-5)
    assert svm["cnn"]["same_class"] == pytest.approx(same.mean())
    assert svm["cnn"]["correlation_same_class"]["mean"] == pytest.approx(np.nanmean(values[same]), abs=1e-5)
    elsewhere = [pearson(one.positive[0, t], images[another(n)][1].positive[0, 3]) for n, (_, one) in enumerate(images)]
    assert svm["cnn"]["chance"]["mean"] == pytest.approx(np.nanmean(elsewhere), abs=1e-5)
    flat = [(np.ravel(one.signed[0, t]), np.ravel(one.signed[0, 3])) for _, one in images]
    cosines = np.array([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in flat])
    assert svm["cnn"]["cosine"]["mean"] == pytest.approx(cosines.mean(), abs=1e-5)
    assert svm["cnn"]["opposed"] == pytest.approx((cosines < 0).mean())
    assert 0 <= svm["mixture_error"] < 1e-5
    shares = [[loops(images, t, r)[0]["share"][n] for r in range(3)] for n in range(0, COUNT, 10)]
    np.testing.assert_allclose(np.sum(shares, axis=1), 1)


def test_the_sign_is_counted_image_by_image(statements, images):
    for r, component in enumerate(statements["components"]):
        totals = [float(np.asarray(one.signed[0, r], float).sum()) for _, one in images]
        values = [float(one.values[0, r]) for _, one in images]
        pairs = list(zip(totals, values, strict=True))
        assert component["disagree"] == pytest.approx(np.mean([total * value < 0 for total, value in pairs]))
        assert component["raised"] == sum(total > 0 for total in totals)
        assert component["lowered"] == sum(total < 0 for total in totals)
        below = [value <= 0 for total, value in pairs if total > 0]
        above = [value >= 0 for total, value in pairs if total < 0]
        assert component["not_positive_where_raised"] == (pytest.approx(np.mean(below)) if below else None)
        assert component["not_negative_where_lowered"] == (pytest.approx(np.mean(above)) if above else None)


def test_pairs_differ_where_no_sides_are_alike(statements, images):
    assert [pair["components"] for pair in statements["pairs"]] == [[1, 2], [1, 3], [2, 3]]
    for pair in statements["pairs"]:
        r, s = (component - 1 for component in pair["components"])
        for key, beside in (("differ", lambda n: n), ("chance", another)):
            differ = 0
            for n, (_, one) in enumerate(images):
                first, second = np.asarray(one.signed[0, r]), np.asarray(images[beside(n)][1].signed[0, s])
                differ += not any(
                    pearson(np.maximum(a * first, 0), np.maximum(b * second, 0)) >= ALIKE
                    for a in (1, -1)
                    for b in (1, -1)
                )
            assert pair[key] == pytest.approx(differ / COUNT)


def test_classes_have_their_means_and_balance(statements, images):
    for label, kind in enumerate(statements["classes"]):
        members = [one for true, one in images if true == label]
        assert (kind["name"], kind["images"]) == (CLASSES[label], len(members))
        assert kind["mean"] == pytest.approx(np.mean([one.values[0, :3] for one in members], axis=0), abs=1e-5)
        balance = [one.positive[0, :3].sum((1, 2)) / abs(one.signed[0, :3]).sum((1, 2)) for one in members]
        assert kind["positive_share"] == pytest.approx(np.mean(balance, axis=0), abs=1e-5)


def test_the_frame_of_the_statements(statements):
    frame = [statements[key] for key in ("data", "images", "map_shape", "alike")]
    assert frame == ["beasts", COUNT, [3, 4], ALIKE]
    assert len(statements["explained_variance_ratio"]) == 3
    assert json.loads(json.dumps(statements, allow_nan=False)) == statements


@pytest.mark.exhaustive
def test_a_single_component_has_the_whole_share():
    statements = map_statements(small_run(components=1), count=12)
    assert statements["pairs"] == []
    for svm in statements["classifiers"].values():
        [part] = svm["components"]
        assert part["share"] == part["dominates"] == svm["dominated"] == 1
        assert part["read"]["mean"] == pytest.approx(1, abs=1e-5)
        assert part["read"]["alike"] == part["dominates_where_alike"] == svm["dominant_is_most_alike"] == 1
    assert "100 % for component 1" in " ".join(sentences(statements))


def test_a_vanished_gradient_has_no_similarity_and_is_counted():
    run = small_run(gamma=1e6)
    run.tap_maps = {"test": run.tap_maps["test"] + 0.3 * np.random.default_rng(1).random(SHAPE).astype(np.float32)}
    svm = map_statements(run, count=9)["classifiers"]["svm_rbf"]
    assert svm["zero_weights"] == svm["zero_maps"] == 9
    assert svm["mixture_error"] is None
    assert {svm[key] for key in ("dominated", "alike_a_component", "alike_several", "dominant_is_most_alike")} == {None}
    assert {svm["components"][0][key] for key in ("share", "dominates", "alike_where_dominating")} == {None}
    assert svm["cnn"]["correlation"] == {**dict.fromkeys(svm["cnn"]["correlation"]), "images": 0}
    written = " ".join(sentences(map_statements(run, count=9)))
    assert "The RBF-SVM's map is zero everywhere on 9 images, on 9 of them because its gradient vanished." in written
    assert "One component contributes more than all others together on an undefined share of the images" in written
    assert "nan" not in written.lower()


@pytest.mark.exhaustive
def test_images_without_maps_change_no_share(run):
    """Where tanh saturates, every gradient and every map is zero."""
    rows = np.arange(90)
    flat = rows % 3 == 0
    plain, mixed = small_run(), small_run()
    mixed.tap_maps = {"test": np.where(flat[:, None, None, None], 1e5, 1) * mixed.tap_maps["test"]}
    plain.tap_maps = {"test": plain.tap_maps["test"][~flat]}
    test = plain.dataset.test.take(rows[~flat])
    plain.dataset = dataclasses.replace(plain.dataset, test=test)
    expected, statements = map_statements(plain), map_statements(mixed)
    for name, svm in statements["classifiers"].items():
        assert svm["zero_maps"] == 30 + expected["classifiers"][name]["zero_maps"]
        for key in ("dominated", "alike_a_component", "alike_several", "dominant_is_most_alike"):
            assert svm[key] == pytest.approx(expected["classifiers"][name][key]), key
        for part, reference in zip(svm["components"], expected["classifiers"][name]["components"], strict=True):
            for key in ("share", "dominates", "dominates_where_alike", "alike_where_dominating"):
                assert part[key] == pytest.approx(reference[key]), key
    for part, key in (("pairs", "differ"), ("components", "disagree")):
        assert [svm[key] for svm in statements[part]] == pytest.approx([svm[key] for svm in expected[part]])


def test_maps_of_underflowed_gradients_are_left_out(run, monkeypatch):
    def with_underflow(*arguments, **options):
        explained = explain(*arguments, **options)
        vanished = np.zeros_like(explained.vanished)
        vanished[::2, explained.targets.index("svm_rbf:predicted")] = True
        return dataclasses.replace(explained, vanished=vanished)

    before = map_statements(run, count=20)["classifiers"]
    monkeypatch.setattr("pcacam_jax.reports.map_statistics.explain", with_underflow)
    statements = map_statements(run, count=20)["classifiers"]
    assert statements["svm_linear"] == before["svm_linear"]
    assert before["svm_rbf"]["zero_weights"] == 0
    assert statements["svm_rbf"]["zero_weights"] == 10
    assert statements["svm_rbf"]["zero_maps"] >= 10


def test_maps_of_one_value_are_accepted(fitted):
    """At 32 pixels a map behind the last max-pool has one value, so no correlation is defined."""
    coarse = dataclasses.replace(fitted, head=pooled_head(fitted), tap_maps=fitted.maps)
    statements = map_statements(coarse, count=7)
    assert statements["map_shape"] == [1, 1]
    assert statements["classifiers"]["svm_rbf"]["cnn"]["correlation"]["images"] == 0
    assert json.loads(json.dumps(statements, allow_nan=False)) == statements
    assert "undefined" in " ".join(sentences(statements))


@pytest.mark.parametrize(
    ("counts", "count", "expected"),
    [
        ([5, 5], 4, [2, 2]),
        ([10, 2, 10], 12, [5, 2, 5]),
        ([4, 4, 4], 5, [2, 2, 1]),
        ([3, 2], 99, [3, 2]),
        ([3, 2], 1, [1, 0]),
    ],
)
def test_rows_are_balanced_over_the_classes(counts, count, expected):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    rows = even_rows(labels, count)
    assert [int((labels[rows] == label).sum()) for label in range(len(counts))] == expected
    assert (np.diff(rows) > 0).all()


def test_rows_are_spread_within_a_class():
    assert even_rows(np.repeat([0, 1], 100), 4).tolist() == [25, 75, 125, 175]


def test_a_summary_leaves_out_undefined_values():
    assert summary([np.nan, 0.5, 0.9, 1.0, 0.8]) == {
        "images": 4,
        "mean": pytest.approx(0.8),
        "lower_quartile": pytest.approx(0.725),
        "median": pytest.approx(0.85),
        "upper_quartile": pytest.approx(0.925),
        "alike": 0.75,
    }


def test_sentences_contain_the_numbers(statements):
    changed = json.loads(json.dumps(statements))
    svm = changed["classifiers"]["svm_rbf"]
    svm["cnn"] |= {
        "same_class": 0.951,
        "opposed": 0.072,
        "chance": {"mean": 0.1},
        "correlation": {"mean": 0.934, "alike": 0.884},
    }
    svm["zero_maps"], changed["classifiers"]["svm_linear"]["zero_maps"] = 0, 1
    changed["components"][0]["disagree"] = 0.25
    changed["pairs"][2] |= {"differ": 0.801, "chance": 0.9}
    for kind, mean in zip(changed["classes"], (1.2, -0.5, -2.0), strict=True):
        kind["mean"][0] = mean
    for kind in changed["classes"]:
        kind["mean"][1] = None
    written = sentences(changed)
    assert not any(line.startswith("The mean of component 2 is") for line in written)
    assert written[0].startswith("Measured on 40 test images of beasts, with maps of 3 x 4 values after ReLU.")
    assert (
        "The mean correlation of the RBF-SVM's map with the CNN's Grad-CAM map is 0.93 (0.10 with the Grad-CAM map of "
        "another image). The two maps are similar on 88 % of the images, and both classifiers predict the same class "
        "on 95 %. Before ReLU, the cosine of the two maps is negative on 7 %: regions that raise one score lower the "
        "other." in written
    )
    assert "The mean of component 1 is positive for cat (+1.2) and negative for newt (-2) and dog (-0.5)." in written
    assert (
        "Components 2 and 3 look at different regions on 80 % of the images: neither L+ nor L- of component 2 is "
        "similar to L+ or L- of component 3. For maps of two different images, this is the case on 90 %." in written
    )
    assert any("25 % for component 1" in line for line in written)
    assert "The Lin-SVM's map is zero everywhere on 1 image." in written
    assert not any("RBF-SVM's map is zero" in line for line in written)
