"""The table of the scores of every class."""

import numpy as np

from pcacam_jax.fitting.scores import class_scores
from pcacam_jax.reports.class_table import class_table


def scores(confusion):
    return {"test": {"confusion": np.array(confusion).tolist(), **class_scores(np.array(confusion))}}


def test_every_class_has_a_row_with_all_classifiers():
    table = class_table({"cnn": scores([[3, 1], [0, 4]]), "svm_rbf": scores([[4, 0], [4, 0]])}, ["cat", "dog"])
    assert table.columns == ("class", "images", "CNN", "RBF-SVM")
    assert table.rows == (
        ("cat", "4", "1.00 / 0.75 / 0.86", "0.50 / 1.00 / 0.67"),
        ("dog", "4", "0.80 / 1.00 / 0.89", "- / 0.00 / 0.00"),
    )
    assert table.note == ""


def test_of_many_classes_the_worst_are_listed():
    confusion = np.diag(np.full(30, 5))
    confusion[7, 8] = confusion[21, 3] = 9
    table = class_table({"cnn": scores(confusion)}, [f"class {c}" for c in range(30)])
    assert len(table.rows) == 20
    assert {"class 7", "class 21", "class 3", "class 8"} < {row[0] for row in table.rows}
    assert table.note == "the 20 classes with the lowest F1; the other 10 are in metrics.json"
