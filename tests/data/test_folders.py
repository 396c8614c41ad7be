import json
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import ArraySplit, Dataset, FolderSplit, read_dataset, read_paper_set
from pcacam_jax.data.folders import IMAGE_SUFFIXES

PIXELS = np.random.default_rng(5).integers(0, 256, (60, 36, 36), np.uint8)


def write_folders(root, train=("cat", "Dog"), test=("cat", "Dog")):
    for split, names in (("train", train), ("test", test)):
        for shift, name in enumerate(names):
            (root / split / name).mkdir(parents=True)
            for i in range(3):
                Image.fromarray(PIXELS[3 * shift + i]).save(root / split / name / f"{i}.png")
    return root


def rejects(sentence, source, **options):
    with pytest.raises(InputError, match=sentence):
        read_dataset(source, **options)


def test_class_folders(tmp_path):
    dataset = read_dataset(write_folders(tmp_path / "pets"))
    assert dataset.name == "pets"
    assert dataset.class_names == ("Dog", "cat")
    assert isinstance(dataset.train, FolderSplit)
    assert [path.relative_to(tmp_path).as_posix() for path in dataset.train.paths] == [
        f"pets/train/{name}/{i}.png" for name in ("Dog", "cat") for i in range(3)
    ]
    np.testing.assert_array_equal(dataset.train.labels, [0, 0, 0, 1, 1, 1])
    grey = np.asarray(Image.fromarray(PIXELS[5]).resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(dataset.train.images([2], 32)[0], np.repeat(grey[..., None], 3, 2))


def test_class_names_order_class_folders(tmp_path):
    write_folders(tmp_path)
    dataset = read_dataset(tmp_path, class_names=["cat", "Dog"])
    assert dataset.class_names == ("cat", "Dog")
    assert [path.parent.name for path in dataset.test.paths] == ["cat"] * 3 + ["Dog"] * 3
    rejects("must be the class folders .*, Dog, cat, in the order", tmp_path, class_names=["a", "b"])


def test_hidden_files_are_ignored_and_other_files_skipped_with_a_warning(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "train" / ".DS_Store").touch()
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "cat" / ".2.png").touch()
    assert len(read_dataset(tmp_path).train) == 6
    (tmp_path / "train" / "notes.txt").touch()
    (tmp_path / "train" / "cat" / "scan.dcm").touch()
    (tmp_path / "train" / "cat" / "deeper.png").mkdir()
    with pytest.warns(UserWarning, match=r"3 entries .* skipped: notes\.txt, cat/deeper\.png, cat/scan\.dcm"):
        assert len(read_dataset(tmp_path).train) == 6


def test_class_folders_without_classes_or_images_are_rejected(tmp_path):
    write_folders(tmp_path / "a", train=("cat", "dog"), test=("cat", "dog"))
    for i in range(3):
        (tmp_path / "a" / "test" / "dog" / f"{i}.png").unlink()
    rejects("class folder .*dog must hold images", tmp_path / "a")
    (tmp_path / "b" / "train").mkdir(parents=True)
    (tmp_path / "b" / "test").mkdir()
    rejects("train must hold one folder for each class, but has none", tmp_path / "b")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split_is_rejected(tmp_path, split):
    write_folders(tmp_path)
    (tmp_path / split).rename(tmp_path / "other")
    rejects(f"both train and test, but {split} is missing", tmp_path)


def test_classes_that_differ_between_the_splits_are_rejected(tmp_path):
    write_folders(tmp_path, train=("cat", "dog", "eel"), test=("ant", "cat", "dog"))
    rejects(r"they differ \(only in train: eel; only in test: ant\)", tmp_path)


def test_one_class_is_rejected(tmp_path):
    rejects(r"at least 2 classes, .* 1 \(cat\)", write_folders(tmp_path, ("cat",), ("cat",)))


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "épée") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("train", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("test", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("given", [None, COMPOSED, DECOMPOSED])
def test_normal_forms_of_a_class_folder_are_one_class(tmp_path, train, test, given):
    write_folders(tmp_path, train=("cat", train), test=("cat", test))
    dataset = read_dataset(tmp_path, class_names=given and [given, "cat"])
    assert dataset.class_names == ((COMPOSED, "cat") if given else ("cat", COMPOSED))
    assert len(dataset.train) == len(dataset.test) == 6


def test_two_normal_forms_in_one_split_are_one_class(tmp_path):
    write_folders(tmp_path, train=("cat", COMPOSED, DECOMPOSED), test=("cat", COMPOSED))
    dataset = read_dataset(tmp_path)
    assert dataset.class_names == ("cat", COMPOSED)
    assert np.bincount(dataset.train.labels).tolist() == [3, 6]


def test_normal_forms_of_names_in_a_pair_of_npz_are_one_class(tmp_path):
    for split, form in (("train", COMPOSED), ("test", DECOMPOSED)):
        np.savez(tmp_path / f"{split}.npz", images=PIXELS[:4], labels=np.array(["cat", form] * 2))
    assert read_dataset(tmp_path).class_names == ("cat", COMPOSED)
    for split, form in (("train", COMPOSED), ("test", DECOMPOSED)):
        names = np.array(["cat", form])
        np.savez(tmp_path / f"{split}.npz", images=PIXELS[:4], labels=[0, 1] * 2, class_names=names)
    assert read_dataset(tmp_path).class_names == ("cat", COMPOSED)
    split = ArraySplit(PIXELS[:2], np.array([0, 1]))
    with pytest.raises(InputError, match="occurs more than once"):
        Dataset("names", (COMPOSED, DECOMPOSED), split, split)


def test_files_of_every_suffix_are_found(tmp_path):
    write_folders(tmp_path)
    content = (tmp_path / "train" / "cat" / "0.png").read_bytes()
    for suffix in IMAGE_SUFFIXES:
        (tmp_path / "train" / "cat" / f"lower{suffix}").write_bytes(content)
        (tmp_path / "train" / "cat" / f"UPPER{suffix.upper()}").write_bytes(content)
    dataset = read_dataset(tmp_path)
    assert len(dataset.train) == 6 + 2 * len(IMAGE_SUFFIXES)
    assert {".jfif", ".jpe", ".jpg", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".jp2", ".tga"} <= IMAGE_SUFFIXES
    assert dataset.train.check() is None


def test_names_that_are_not_utf8_work_from_reading_to_digests(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write_folders(tmp_path, train=("cat", name), test=("cat", name))
    (tmp_path / "train" / "cat" / "0.png").rename(tmp_path / "train" / "cat" / f"{name}.png")
    dataset = read_dataset(tmp_path)
    assert dataset.class_names == (r"caf\xe9", "cat")
    assert dataset.train.check() is None
    assert len(dataset.train.fingerprint()) == 64
    assert json.loads(json.dumps(dataset.train.entries)) == dataset.train.entries
    (tmp_path / "train" / name / "0.png").write_bytes(b"")
    (tmp_path / "train" / name / f"{name}.txt").touch()
    with pytest.raises(InputError, match=r"caf\\xe9/0\.png cannot be decoded") as raised:
        dataset.train.check()
    with pytest.warns(UserWarning, match=r"skipped: caf\\xe9/caf\\xe9\.txt") as warned:
        read_dataset(tmp_path)
    assert all(str(sentence).encode() for sentence in (raised.value, warned[0].message))


def test_the_fingerprint_of_a_name_in_utf8_is_unchanged(tmp_path):
    """Feature caches are found by it."""
    (tmp_path / "é.png").write_bytes(b"content")
    split = FolderSplit(tmp_path, (tmp_path / "é.png",), np.zeros(1, np.int64))
    assert split.fingerprint() == "b1a857591ace61b8420dea18fdfe356ec5f6f8f297274ebc1cdb67782df81c56"


def write_classes(root, counts):
    for shift, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(PIXELS[20 * shift + i]).save(root / name / f"{i:02}.png")
    return root


def test_undivided_class_folders_are_divided_by_class_and_the_division_is_recorded(tmp_path):
    root = write_classes(tmp_path / "photos", {"cat": 10, "dog": 20})
    dataset = read_dataset(root)
    assert (dataset.name, dataset.class_names) == ("photos", ("cat", "dog"))
    assert [np.bincount(split.labels).tolist() for split in (dataset.train, dataset.test)] == [[8, 16], [2, 4]]
    assert dataset.division == {"train": dataset.train.entries, "test": dataset.test.entries}
    files = {f"cat/{i:02}.png" for i in range(10)} | {f"dog/{i:02}.png" for i in range(20)}
    assert set(dataset.division["train"]) | set(dataset.division["test"]) == files
    assert len(dataset.division["train"]) + len(dataset.division["test"]) == 30
    assert all(
        dataset.class_names[label] == entry.split("/")[0]
        for split in (dataset.train, dataset.test)
        for label, entry in zip(split.labels, split.entries, strict=True)
    )
    assert read_dataset(str(root)).division == dataset.division
    assert read_dataset(root, seed=1).division != dataset.division
    assert len(read_dataset(root, test_fraction=0.5).test) == 15
    assert read_dataset(root, class_names=["dog", "cat"]).class_names == ("dog", "cat")
    rejects("must be the class folders .*, cat, dog, in the order", root, class_names=["cat", "cow"])


def test_the_division_follows_a_limit(tmp_path):
    limited = read_dataset(write_classes(tmp_path, {"cat": 10, "dog": 20}), limit_per_class=2)
    assert limited.division == {"train": limited.train.entries, "test": limited.test.entries}
    assert [len(entries) for entries in limited.division.values()] == [4, 4]


def test_the_division_of_an_npz_holds_its_rows(tmp_path):
    labels = np.arange(60) % 3
    np.savez(tmp_path / "shapes.npz", images=PIXELS, labels=labels)
    dataset = read_dataset(tmp_path / "shapes.npz", limit_per_class=3)
    for part, rows in dataset.division.items():
        split = getattr(dataset, part)
        np.testing.assert_array_equal(split.pixels, PIXELS[rows])
        np.testing.assert_array_equal(split.labels, labels[rows])
    assert json.loads(json.dumps(dataset.division)) == dataset.division
    np.savez(
        tmp_path / "both.npz",
        **{f"{part}_images": PIXELS[:6] for part in ("train", "test")},
        **{f"{part}_labels": labels[:6] for part in ("train", "test")},
    )
    assert read_dataset(tmp_path / "both.npz").division is None


def test_a_class_of_one_image_cannot_be_divided(tmp_path):
    rejects("at least 2 images .* but dog has 1", write_classes(tmp_path, {"cat": 4, "dog": 1}))


def test_a_class_may_be_named_train(tmp_path):
    root = write_classes(tmp_path / "vehicles", {"bus": 4, "train": 4})
    assert read_dataset(root).class_names == ("bus", "train")
    (root / "test").mkdir()
    rejects("train must hold one folder for each class, but has none", root)


@pytest.mark.parametrize("folders", [["train/cat"], ["training/cat", "training/dog"], ["cat"]])
def test_folders_that_are_no_classes_are_not_divided(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    rejects("both train and test, but test is missing|is none of these", tmp_path)


def test_a_folder_that_cannot_be_listed_is_rejected(tmp_path, monkeypatch):
    write_folders(tmp_path)
    listing = type(tmp_path).iterdir

    def denied(folder):
        if folder.name == "cat":
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(type(tmp_path), "iterdir", denied)
    rejects(r"the folder .*train.cat cannot be listed \(Permission denied\)", tmp_path)


def test_a_tilde_stands_for_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folders(tmp_path / "pets")
    write_folders(tmp_path / "sets" / "dog_cat", train=("cat", "dog"), test=("cat", "dog"))
    assert len(read_dataset("~/pets").train) == 6
    assert len(read_paper_set("dog_cat", "~/sets").train) == 6


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"source": None}, "a path must be text or a Path, but it is a NoneType"),
        ({"source": "x" * 5000}, "cannot be used as a path"),
        ({"source": "~nobody-of-this-name/pets"}, "cannot be used as a path"),
        ({"class_names": "cat"}, "class_names must be a sequence of names; got str .cat."),
        ({"class_names": [1, 2]}, "class_names must be a sequence of names"),
        ({"test_fraction": "0.2"}, "test_fraction must lie between 0 and 1, got '0.2'"),
    ],
)
def test_arguments_of_wrong_types_are_rejected(tmp_path, options, sentence):
    rejects(sentence, **{"source": tmp_path, **options})
