import numpy as np
import pytest
from PIL import Image

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import FolderSplit, read_dataset

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
