"""The paper's numbers as data: Table 3, and the statements of Section 6.2 about Figure 6."""

from typing import NamedTuple

from pcacam_jax.data.paper_table import PAPER_SETS


class PaperRow(NamedTuple):
    """One row of Table 3: number of classes, number of images, and macro F1 (training, test) of each classifier."""

    title: str
    classes: int
    train: int
    test: int
    cnn: tuple[float, float]
    svm_linear: tuple[float, float]
    svm_rbf: tuple[float, float]

    def scores(self, classifier: str) -> dict[str, float]:
        """Return the macro F1 of one classifier on "train" and "test"."""
        return dict(zip(("train", "test"), getattr(self, classifier), strict=True))


_F1 = {
    "mnist": ((0.993, 0.991), (0.986, 0.980), (0.997, 0.989)),
    "fashion_mnist": ((0.925, 0.903), (0.922, 0.897), (0.988, 0.943)),
    "blood_mnist": ((0.944, 0.877), (0.925, 0.873), (0.984, 0.909)),
    "cifar10": ((0.899, 0.767), (0.789, 0.735), (0.892, 0.794)),
    "chest_xray": ((0.966, 0.956), (0.998, 0.975), (0.998, 0.975)),
    "dog_cat": ((0.967, 0.931), (0.995, 0.930), (0.995, 0.931)),
}

TABLE3 = {
    name: PaperRow(paper.title, len(paper.class_names), paper.train, paper.test, *_F1[name])
    for name, paper in PAPER_SETS.items()
}
"""Table 3 in the paper's order."""

SETS = tuple(TABLE3)
MANY_COMPONENTS = ("mnist", "fashion_mnist", "blood_mnist", "cifar10")
"""Datasets whose three components all have relatively high shares in Figure 6; Figure 8 shows their maps."""
ONE_COMPONENT = ("chest_xray", "dog_cat")
"""Datasets for which only the first component has a high share; Figure 9 shows their maps."""
LEAST_EXPLAINED = 0.75
"""Components 1 to 3 together explain more than this share of the variance on every dataset."""
