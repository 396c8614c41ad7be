"""The paper's six datasets as files in a folder of datasets."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import PAPER_SETS, read_dataset, read_paper_set, sets_in

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real images are not beside the repository")


def pictures(count, side=36):
    return np.random.default_rng(count).integers(0, 256, (count, side, side), np.uint8)


def write_pair(folder, train, test, **more):
    folder.mkdir(parents=True)
    for split, labels in (("train", train), ("test", test)):
        np.savez(folder / f"{split}.npz", images=pictures(len(labels), 4), labels=np.asarray(labels), **more)


def write_folders(folder, train, test):
    for split, names in (("train", train), ("test", test)):
        for name in names:
            (folder / split / name).mkdir(parents=True)
            Image.fromarray(pictures(1)[0]).save(folder / split / name / "0.png")


def rejects(sentence, name, root, **options):
    with pytest.raises(InputError, match=sentence):
        read_paper_set(name, root, **options)


def test_the_table_agrees_with_the_paper():
    sizes = {
        paper.title: (len(paper.class_names), paper.train, paper.test, paper.source) for paper in PAPER_SETS.values()
    }
    assert sizes == {
        "MNIST": (10, 60_000, 10_000, "tfds:mnist"),
        "Fashion-MNIST": (10, 60_000, 10_000, "tfds:fashion_mnist"),
        "Blood-MNIST": (8, 11_959, 3_421, "medmnist:bloodmnist"),
        "CIFAR-10": (10, 50_000, 10_000, "tfds:cifar10"),
        "Chest X-ray": (3, 5_144, 1_288, "folders"),
        "Dog vs. Cat": (2, 18_610, 4_652, "tfds:cats_vs_dogs"),
    }
    assert list(PAPER_SETS) == ["mnist", "fashion_mnist", "blood_mnist", "cifar10", "chest_xray", "dog_cat"]
    assert all(name == paper.name and "ROOT/" + name in paper.how for name, paper in PAPER_SETS.items())


@needs_shared
@pytest.mark.parametrize("name", PAPER_SETS)
def test_real_samples_are_read_in_the_papers_label_order(name):
    dataset = read_paper_set(name, SHARED / "sample")
    provenance = (SHARED / "sample" / name / "PROVENANCE.md").read_text().casefold()
    for label, class_name in enumerate(PAPER_SETS[name].class_names):
        if name != "mnist":
            assert f"{label} {class_name}".casefold() in provenance
    for split in (dataset.train, dataset.test):
        counts = np.bincount(split.labels)
        assert len(counts) == len(dataset.class_names)
        assert counts.min() == counts.max() > 0
    assert dataset.train.images([0, -1], 48).shape == (2, 48, 48, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_stored_labels_are_the_papers_numbers(tmp_path, dtype):
    labels = np.array([7, 0, 3, 1, 2, 4, 5, 6, 9, 8], dtype)
    write_pair(tmp_path / "fashion_mnist", labels, labels[::-1, None])
    dataset = read_paper_set("fashion_mnist", tmp_path)
    np.testing.assert_array_equal(dataset.train.labels, labels)
    np.testing.assert_array_equal(dataset.test.labels, labels[::-1])
    assert dataset.class_names[7] == "Sneaker"
    assert dataset.name == "fashion_mnist"


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.arange(1, 11), r"labels of .*train\.npz must be integers in 0\.\.9, .* but they are 1, 2, .*10; renumber"),
        (np.arange(10) - 1, r"must be integers in 0\.\.9, the 10 classes of MNIST, but they are -1, 0"),
        (np.array(list("0123456789")), r"in 0\.\.9, .*, but they are the strings 0, 1, .*, 9; store integers, 0 for 0"),
        (np.arange(10) / 1.0, "integers or strings"),
        (np.minimum(np.arange(10), 7), r"train\.npz must hold images of each class of MNIST, but has none of 8, 9"),
    ],
)
def test_labels_out_of_range_are_rejected(tmp_path, labels, sentence):
    write_pair(tmp_path / "mnist", labels, np.arange(10))
    rejects(sentence, "mnist", tmp_path)


SHUFFLED = np.array(["truck", "Birds", "cat", "airplane", "automobile", "deer", "dog", "Frog", "horse", "ship"])


@pytest.mark.parametrize("one_file", [False, True])
def test_class_names_in_a_file_define_the_meaning_of_the_labels(tmp_path, one_file):
    labels = np.arange(10, dtype=np.uint8)
    if one_file:
        (tmp_path / "cifar10").mkdir()
        arrays = {"train_images": pictures(10), "test_images": pictures(10)}
        arrays |= {"train_labels": labels, "test_labels": labels[::-1, None], "class_names": SHUFFLED}
        np.savez(tmp_path / "cifar10" / "all.npz", **arrays)
    else:
        write_pair(tmp_path / "cifar10", labels, labels[::-1], class_names=SHUFFLED)
    dataset = read_paper_set("cifar10", tmp_path)
    assert dataset.class_names == PAPER_SETS["cifar10"].class_names
    np.testing.assert_array_equal(dataset.train.labels, [9, 2, 3, 0, 1, 4, 5, 6, 7, 8])
    np.testing.assert_array_equal(dataset.test.labels, [8, 7, 6, 5, 4, 1, 0, 3, 2, 9])


def test_errors_about_labels_use_the_order_of_the_class_names_in_the_file(tmp_path):
    write_pair(tmp_path / "dog_cat", [1, 2], [0, 1], class_names=np.array(["dog", "cat"]))
    rejects("but they are 1, 2; renumber them, 0 for dog", "dog_cat", tmp_path)
    write_pair(tmp_path / "chest_xray", [0, 2], [0, 1, 2], class_names=np.array(["normal", "Pneumonia", "COVID19"]))
    rejects("must hold images of each class of Chest X-ray, but has none of pneumonia;", "chest_xray", tmp_path)


@pytest.mark.parametrize("names", [("dog", "wolf"), ("dog",), ("dog", "cat", "eel"), ("dog", "Dogs"), ()])
def test_class_names_in_a_file_that_are_not_the_papers_are_rejected(tmp_path, names):
    write_pair(tmp_path / "dog_cat", [0, 1], [0, 1], class_names=np.array(names, "U4"))
    stored = ", ".join(names) or "none"
    sentence = rf"class_names in {tmp_path}/dog_cat must be the classes of Dog vs\. Cat, cat, dog, .* are {stored}; "
    rejects(sentence, "dog_cat", tmp_path)


@pytest.mark.parametrize("folders", [("COVID19", "NORMAL", "PNEUMONIA"), ("covid-19", "Normal", "pneumonia")])
def test_class_folders_match_in_any_case_and_punctuation(tmp_path, folders):
    write_folders(tmp_path / "chest_xray", folders, ("covid19", "normal", "pneumonia"))
    dataset = read_paper_set("chest_xray", tmp_path)
    assert dataset.class_names == ("COVID-19", "normal", "pneumonia")
    assert [path.parent.name for path in dataset.train.paths] == list(folders)
    np.testing.assert_array_equal(dataset.train.labels, [0, 1, 2])


def test_class_folders_may_be_plural_and_are_read_in_the_papers_order(tmp_path):
    write_folders(tmp_path / "dog_cat", ("Dogs", "cats"), ("dog", "Cat"))
    dataset = read_paper_set("dog_cat", tmp_path)
    assert [path.parent.name for path in (*dataset.train.paths, *dataset.test.paths)] == ["cats", "Dogs", "Cat", "dog"]
    assert dataset.class_names == ("cat", "dog")


@pytest.mark.parametrize("names", [("cat",), ("cat", "dog", "eel"), ("cat", "puppy"), ("Cat", "cats", "dog")])
def test_other_class_folders_are_rejected(tmp_path, names):
    write_folders(tmp_path / "dog_cat", names, ("cat", "dog"))
    sentence = rf"train must hold one folder for each class of Dog vs\. Cat, cat, dog, but it holds {', '.join(names)};"
    rejects(sentence, "dog_cat", tmp_path)


def test_a_missing_split_and_an_empty_class_folder_are_rejected(tmp_path):
    write_folders(tmp_path / "dog_cat", ("cat", "dog"), ("cat", "dog"))
    (tmp_path / "dog_cat" / "test" / "dog" / "0.png").unlink()
    rejects("the class folder .*dog must hold images", "dog_cat", tmp_path)
    (tmp_path / "dog_cat" / "test").rename(tmp_path / "away")
    rejects("must hold both train and test, but test is missing", "dog_cat", tmp_path)
    write_pair(tmp_path / "cifar10", np.arange(10), np.arange(10))
    (tmp_path / "cifar10" / "train.npz").unlink()
    rejects(r"must hold both train and test, but train\.npz is missing", "cifar10", tmp_path)


def test_one_npz_with_both_splits_is_read(tmp_path):
    (tmp_path / "blood_mnist").mkdir()
    path = tmp_path / "blood_mnist" / "bloodmnist.npz"
    labels = np.arange(16)[:, None] % 8
    arrays = {f"{split}_labels": labels for split in ("train", "val", "test")}
    np.savez(path, **arrays, **{f"{split}_images": pictures(16, 28) for split in ("train", "val", "test")})
    dataset = read_paper_set("blood_mnist", tmp_path)
    assert dataset.class_names[3] == "immature granulocytes"
    np.testing.assert_array_equal(dataset.test.labels, labels[:, 0])
    np.savez(path, images=pictures(16), labels=labels)
    rejects(r"bloodmnist\.npz must hold both train and test, but it holds one undivided split", "blood_mnist", tmp_path)


def test_files_of_another_format_are_rejected_with_instructions(tmp_path):
    (tmp_path / "mnist" / "raw").mkdir(parents=True)
    rejects(
        f"{tmp_path}/mnist must hold MNIST as train.npz .* but it holds raw; put MNIST's four .* {tmp_path}/mnist",
        "mnist",
        tmp_path,
    )


def test_missing_folders_are_rejected_with_instructions(tmp_path):
    sentence = rf"Chest X-ray must be given as files, .* Kaggle collection .* Cohen .* into {tmp_path}/chest_xray\.$"
    rejects(sentence, "chest_xray", tmp_path)
    rejects(r"into ROOT/chest_xray; name ROOT as the folder of datasets \(--data-root, data_dir\)", "chest_xray", None)


def test_a_missing_folder_of_datasets_is_rejected(tmp_path):
    sentence = "the folder of datasets {} must be a folder, but there is none at this path; check the spelling"
    (tmp_path / "file").touch()
    for root in (tmp_path / "nowhere", tmp_path / "file"):
        rejects(sentence.format(root), "mnist", root)
        with pytest.raises(InputError, match=sentence.format(root)):
            sets_in(root)


def test_the_datasets_in_a_folder_are_listed_in_the_papers_order(tmp_path):
    write_folders(tmp_path / "dog_cat", ("cat", "dog"), ("cat", "dog"))
    write_pair(tmp_path / "mnist", np.arange(10), np.arange(10))
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "other").mkdir()
    assert sets_in(tmp_path) == sets_in(str(tmp_path)) == ("mnist", "dog_cat")


@pytest.mark.parametrize(("entries", "listing"), [((), "nothing"), (("sample", "full"), "full, sample")])
def test_a_folder_without_any_dataset_is_rejected_with_its_content(tmp_path, entries, listing):
    for name in entries:
        (tmp_path / name / "mnist").mkdir(parents=True)
    sentence = (
        f"the folder of datasets {tmp_path} must hold at least one of mnist, fashion_mnist, blood_mnist, cifar10, "
        f"chest_xray, dog_cat, but it holds {listing}; "
    )
    with pytest.raises(InputError, match=sentence):
        sets_in(tmp_path)


def test_an_unknown_name_is_rejected():
    rejects("the dataset must be one of mnist, fashion_mnist, .*; got 'imagenet'", "imagenet", None)


def test_reading_by_name_equals_reading_the_paper_set(tmp_path, monkeypatch):
    write_pair(tmp_path / "root" / "mnist", np.arange(40) % 10, np.arange(30) % 10)
    root = tmp_path / "root"
    dataset = read_dataset("mnist", data_dir=root, limit_per_class=2, seed=4)
    expected = read_paper_set("mnist", root, limit_per_class=2, seed=4)
    assert len(dataset.train) == len(dataset.test) == 20
    assert dataset.train.fingerprint() == expected.train.fingerprint()
    assert dataset.test.fingerprint() == expected.test.fingerprint()
    names = [f"digit {digit}" for digit in range(10)]
    assert read_dataset("mnist", data_dir=root, class_names=names).class_names == tuple(names)
    with pytest.raises(InputError, match=r"MNIST must have 10 class names, .* but 9 are given"):
        read_dataset("mnist", data_dir=root, class_names=names[:9])
    # An existing path takes precedence over a name
    write_folders(tmp_path / "mnist", ("a", "b"), ("a", "b"))
    monkeypatch.chdir(tmp_path)
    assert read_dataset("mnist", data_dir=root).class_names == ("a", "b")


@needs_shared
def test_the_full_dataset_is_read_with_all_its_images():
    dataset = read_paper_set("blood_mnist", SHARED / "full")
    assert len(dataset.train) == PAPER_SETS["blood_mnist"].train
    assert len(dataset.test) != PAPER_SETS["blood_mnist"].test
    assert re.fullmatch(r"[0-9a-f]{64}", dataset.test.fingerprint())
