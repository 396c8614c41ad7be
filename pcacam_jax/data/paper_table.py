"""The paper's six datasets: their classes, sizes and sources."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperSet:
    """One of the paper's datasets.

    Attributes:
        name: the name by which ``read_paper_set`` finds it; also the name of the folder with its files.
        title: the name in the paper.
        class_names: the C names in the paper's appendix, in label order.
        train: the number of training images in the paper's Table 3.
        test: the number of test images in the paper's Table 3.
        source: the source that is used if there are no files: ``"tfds:NAME"``, ``"medmnist:NAME"`` or ``"folders"``
            (files only).
        how: how to get its files into ROOT, the folder of datasets; one clause of an error message.
        splits: the names of the training and test splits in TFDS.

    Example:
        >>> from pcacam_jax.data import PAPER_SETS
        >>> paper = PAPER_SETS["blood_mnist"]
        >>> paper.title, len(paper.class_names), paper.train, paper.test
        ('Blood-MNIST', 8, 11959, 3421)
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    train: int
    test: int
    source: str
    how: str
    splits: tuple[str, str] = ("train", "test")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_TABLE = (
    PaperSet(
        name="mnist",
        title="MNIST",
        class_names=tuple("0123456789"),
        train=60_000,
        test=10_000,
        source="tfds:mnist",
        how="put MNIST's four idx .gz files into ROOT/mnist",
    ),
    PaperSet(
        name="fashion_mnist",
        title="Fashion-MNIST",
        class_names=_names("T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"),
        train=60_000,
        test=10_000,
        source="tfds:fashion_mnist",
        how="put Fashion-MNIST's four idx .gz files, which Debian's package dataset-fashion-mnist has, into "
        "ROOT/fashion_mnist",
    ),
    PaperSet(
        name="blood_mnist",
        title="Blood-MNIST",
        class_names=_names(
            "basophil, eosinophil, erythroblast, immature granulocytes, lymphocyte, monocyte, neutrophil, platelet"
        ),
        train=11_959,
        test=3_421,
        source="medmnist:bloodmnist",
        how="put bloodmnist.npz, which the MedMNIST project publishes, into ROOT/blood_mnist",
    ),
    PaperSet(
        name="cifar10",
        title="CIFAR-10",
        class_names=_names("airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"),
        train=50_000,
        test=10_000,
        source="tfds:cifar10",
        how="put train.npz and test.npz with the arrays images and labels into ROOT/cifar10",
    ),
    PaperSet(
        name="chest_xray",
        title="Chest X-ray",
        class_names=_names("COVID-19, normal, pneumonia"),
        train=5_144,
        test=1_288,
        source="folders",
        how="get the public Kaggle collection of 6,432 chest X-rays (COVID-19, normal, pneumonia), which is based on "
        "the images of Cohen et al., and put its folders train and test, each with COVID19, NORMAL and PNEUMONIA, into "
        "ROOT/chest_xray",
    ),
    # TFDS has a single split of 23,262 images: it omits the 1,738 of the 25,000 images that are not JFIF files. The
    # paper's 18,610 and 4,652 are the first 80 % and the last 20 % as TFDS rounds them. The sizes of a stratified split
    # can differ by one.
    PaperSet(
        name="dog_cat",
        title="Dog vs. Cat",
        class_names=("cat", "dog"),
        train=18_610,
        test=4_652,
        source="tfds:cats_vs_dogs",
        how="put folders train and test, each with the folders cat and dog, into ROOT/dog_cat",
        splits=("train[:80%]", "train[80%:]"),
    ),
)

PAPER_SETS = {paper.name: paper for paper in _TABLE}
"""The paper's datasets by name, in the order of Table 3."""
