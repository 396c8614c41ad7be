"""The gallery of all methods has the sentences of the table, and leaves out methods that are not defined."""

import numpy as np
from support import cases

from pcacam_jax import explain, hybrid_head, plots
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.reports.method_figure import defined_methods, method_figure


def test_methods_without_a_map_of_a_target_are_left_out():
    names = defined_methods(cases.network().head, ["pca:0", "svm_rbf:predicted"])
    assert names == [name for name in METHODS if name != "cam"]
    averaged = hybrid_head([(np.ones((2, 3)), np.zeros(3))], maps_shape=(4, 5, 2), pool="average")
    assert defined_methods(averaged, "cnn") == list(METHODS)


def test_the_gallery_gets_the_sentences_of_the_table(monkeypatch):
    calls = []
    monkeypatch.setattr(plots, "method_gallery", lambda *args, **options: calls.append((args, options)))
    network = cases.network()
    each = [explain(network.head, network.maps, "pca:0", method=name) for name in ("gradcam", "layercam")]
    method_figure("image", each, title="a")
    [((image, explanations), options)] = calls
    assert image == "image"
    assert explanations is each
    assert options == {
        "answers": {name: METHODS[name].answers for name in ("gradcam", "layercam")},
        "two_passes": ["layercam"],
        "title": "a",
    }


def test_every_answer_is_one_short_line():
    assert all(0 < len(method.answers) <= 70 and not method.answers.endswith(".") for method in METHODS.values())
