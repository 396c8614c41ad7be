import numpy as np
import pytest

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import read_dataset

PIXELS = np.random.default_rng(5).integers(0, 256, (60, 28, 28), np.uint8)
CODES = np.repeat([0, 1, 2], [10, 20, 30])[np.random.default_rng(6).permutation(60)]


def write_npz(path, images=PIXELS, labels=CODES, **more):
    np.savez_compressed(path, images=images, labels=labels, **more)
    return path


def write_pair(folder, train=CODES, test=CODES, **more):
    write_npz(folder / "train.npz", labels=train, **more)
    write_npz(folder / "test.npz", labels=test)
    return folder


def rejects(sentence, source, **options):
    with pytest.raises(InputError, match=sentence):
        read_dataset(source, **options)


def counts(split):
    return np.bincount(split.labels).tolist()


def all_images(split):
    return split.images(slice(None), 32)


def test_one_npz_is_divided_by_class(tmp_path):
    dataset = read_dataset(write_npz(tmp_path / "shapes.npz"))
    assert dataset.name == "shapes"
    assert dataset.class_names == ("0", "1", "2")
    assert counts(dataset.train) == [8, 16, 24]
    assert counts(dataset.test) == [2, 4, 6]
    assert dataset.train.labels.dtype == np.int64
    together = np.concatenate([dataset.train.pixels, dataset.test.pixels])
    codes = np.concatenate([dataset.train.labels, dataset.test.labels])
    rows = [np.flatnonzero((together == image).all((1, 2))) for image in PIXELS]
    assert [len(matches) for matches in rows] == [1] * 60
    np.testing.assert_array_equal(codes[np.concatenate(rows)], CODES)


def test_the_division_depends_on_the_seed_only(tmp_path):
    path = write_npz(tmp_path / "shapes.npz")
    first, again, other = read_dataset(path), read_dataset(str(path)), read_dataset(path, seed=1)
    assert first.test.fingerprint() == again.test.fingerprint()
    np.testing.assert_array_equal(first.train.labels, again.train.labels)
    assert first.test.fingerprint() != other.test.fingerprint()


@pytest.mark.parametrize(("fraction", "test_counts"), [(0.5, [5, 10, 15]), (0.001, [1, 1, 1]), (0.999, [9, 19, 29])])
def test_the_test_fraction_leaves_every_class_in_both_splits(tmp_path, fraction, test_counts):
    dataset = read_dataset(write_npz(tmp_path / "shapes.npz"), test_fraction=fraction)
    assert counts(dataset.test) == test_counts


@pytest.mark.parametrize("fraction", [0, 1, -0.2, float("nan")])
def test_a_test_fraction_outside_0_and_1_is_rejected(tmp_path, fraction):
    rejects("test_fraction must lie between 0 and 1", write_npz(tmp_path / "shapes.npz"), test_fraction=fraction)


@pytest.mark.parametrize("seed", [-1, 1.5])
def test_a_wrong_seed_is_rejected(tmp_path, seed):
    rejects(f"the seed must be an integer of at least 0, got {seed}", write_npz(tmp_path / "shapes.npz"), seed=seed)


def test_a_wrong_limit_is_rejected(tmp_path):
    rejects("must be an integer of at least 1, got 2.5", write_npz(tmp_path / "shapes.npz"), limit_per_class=2.5)


def test_a_class_of_one_image_cannot_be_divided(tmp_path):
    path = write_npz(tmp_path / "shapes.npz", PIXELS[:4], np.array([5, 5, 9, 5]))
    rejects("at least 2 images .* but 9 has 1", path)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (CODES * 10 - 5, ("-5", "5", "15")),
        (CODES.astype(np.uint8), ("0", "1", "2")),
        (np.array(["pear", "apple", "fig"])[CODES], ("apple", "fig", "pear")),
        (CODES == 1, ("False", "True")),
        (CODES[:, None], ("0", "1", "2")),
    ],
)
@pytest.mark.parametrize("paired", [False, True])
def test_labels_are_numbered_in_sorted_order(tmp_path, labels, names, paired):
    source = write_pair(tmp_path, labels, labels) if paired else write_npz(tmp_path / "x.npz", labels=labels)
    dataset = read_dataset(source)
    assert dataset.class_names == names
    expected = sorted(np.unique(labels, return_counts=True)[1].tolist())
    assert sorted(np.bincount(np.concatenate([dataset.train.labels, dataset.test.labels])).tolist()) == [
        count * (1 + paired) for count in expected
    ]
    if paired:
        assert [names[code] for code in dataset.test.labels] == [str(label) for label in labels.ravel()]


def test_class_names_of_the_caller_take_precedence_over_those_of_the_file(tmp_path):
    path = write_npz(tmp_path / "shapes.npz", class_names=np.array(["disc", "square", "star"]))
    assert read_dataset(path).class_names == ("disc", "square", "star")
    assert read_dataset(path, class_names=["a", "b", "c"]).class_names == ("a", "b", "c")
    rejects(r"2 names \(a, b\) and 3 values \(0, 1, 2\)", path, class_names=["a", "b"])
    rejects("a occurs more than once", path, class_names=["a", "b", "a"])
    rejects("must be non-empty strings, but one is ''", path, class_names=["a", "", "b"])


@pytest.mark.parametrize("names", [np.arange(3), np.array("disc"), np.array([b"a", b"b", b"c"])])
def test_stored_class_names_must_be_strings(tmp_path, names):
    rejects("class_names in .* must be", write_npz(tmp_path / "shapes.npz", class_names=names))


def test_one_npz_with_both_splits(tmp_path):
    arrays = {"train_images": PIXELS, "train_labels": CODES[:, None], "val_images": PIXELS[:2]}
    np.savez(tmp_path / "bloodmnist.npz", **arrays, test_images=PIXELS[::-1], test_labels=CODES[::-1, None])
    dataset = read_dataset(tmp_path / "bloodmnist.npz")
    assert dataset.name == "bloodmnist"
    np.testing.assert_array_equal(dataset.train.labels, CODES)
    np.testing.assert_array_equal(dataset.test.labels, CODES[::-1])
    np.testing.assert_array_equal(all_images(dataset.test), all_images(dataset.train)[::-1])


def test_a_pair_of_npz(tmp_path):
    dataset = read_dataset(write_pair(tmp_path, class_names=np.array(["disc", "square", "star"])))
    assert dataset.name == tmp_path.name
    assert dataset.class_names == ("disc", "square", "star")
    assert len(dataset.train) == len(dataset.test) == 60


def test_an_unknown_source_is_rejected_with_the_list_of_formats(tmp_path):
    formats = r"fashion_mnist_sample; mnist, .*; tfds:NAME; an \.npz .* train\.npz .* idx .*CLASS/"
    rejects(f"{formats}; but nowhere does not exist", "nowhere")
    (tmp_path / "notes.txt").touch()
    rejects("is none of these", tmp_path)
    rejects("is none of these", tmp_path / "notes.txt")
    rejects(r"absent\.npz does not exist", tmp_path / "absent.npz")


def test_an_empty_folder_is_rejected(tmp_path):
    rejects("must hold a dataset, but it is empty", tmp_path)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": PIXELS / 255}, r"train\.npz must be uint8, 0 to 255, but they are float64"),
        ({"images": np.full(PIXELS.shape, np.nan)}, "must be uint8"),
        ({"images": PIXELS.reshape(60, 784)}, r"train\.npz must have shape"),
        ({"images": PIXELS[:59]}, r"train\.npz must hold one label .* 59 images and 60 labels"),
        ({"labels": CODES.astype(float)}, r"must be \(N,\) integers or strings, .* float64"),
        ({"labels": np.eye(3, dtype=int)[CODES]}, r"must be \(N,\) integers or strings, .* \(60, 3\)"),
        ({"labels": np.array(3)}, r"must be \(N,\) integers"),
        ({"labels": CODES.astype(object)}, "without object arrays"),
        ({"images": PIXELS.astype(object)}, "without object arrays"),
    ],
)
@pytest.mark.parametrize("paired", [False, True])
def test_wrong_arrays_are_rejected(tmp_path, arrays, sentence, paired):
    write_npz(tmp_path / "test.npz")
    path = write_npz(tmp_path / "train.npz", **arrays)
    rejects(sentence, tmp_path if paired else path)


def test_an_npz_without_the_arrays_is_rejected(tmp_path):
    np.savez(tmp_path / "x.npz", x=PIXELS, y=CODES)
    rejects("must hold the arrays images, labels or train_images, .*, but it holds x, y", tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz")
    rejects("but it holds nothing", tmp_path / "x.npz")


def test_a_corrupt_npz_is_rejected(tmp_path):
    whole = write_npz(tmp_path / "whole.npz").read_bytes()
    flipped = whole[:5000] + bytes([whole[5000] ^ 255]) + whole[5001:]
    np.save(tmp_path / "lone.npy", PIXELS)
    lone = (tmp_path / "lone.npy").read_bytes()
    for content in (b"", b"no archive", whole[:3000], flipped, lone):
        (tmp_path / "broken.npz").write_bytes(content)
        rejects(r"broken\.npz must be a complete npz file", tmp_path / "broken.npz")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split_is_rejected(tmp_path, split):
    write_pair(tmp_path)
    (tmp_path / f"{split}.npz").unlink()
    rejects(rf"both train and test, but {split}\.npz is missing", tmp_path)


def test_classes_that_differ_between_the_splits_are_rejected(tmp_path):
    write_pair(tmp_path, train=CODES, test=np.minimum(CODES, 1))
    rejects(r"they differ \(only in train: 2; only in test: none\)", tmp_path)
    write_pair(tmp_path, train=CODES, test=np.array(["a", "b", "c"])[CODES])
    rejects(r"they differ \(only in train: 0, 1, 2; only in test: a, b, c\)", tmp_path)


def test_one_class_is_rejected(tmp_path):
    rejects(r"at least 2 classes, .* 1 \(0\)", write_npz(tmp_path / "x.npz", labels=CODES * 0))
    rejects(r"at least 2 classes, .* 0 \(none\)", write_npz(tmp_path / "y.npz", PIXELS[:0], CODES[:0]))


@pytest.mark.parametrize(("test_names", "listing"), [(("a", "b"), None), (("b", "a"), "b, a"), (None, None)])
def test_both_files_of_a_pair_must_name_the_same_classes(tmp_path, test_names, listing):
    for split, names in (("train", ("a", "b")), ("test", test_names)):
        arrays = {} if names is None else {"class_names": np.array(names)}
        np.savez(tmp_path / f"{split}.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.arange(4) % 2, **arrays)
    if listing:
        rejects(rf"train.npz and test.npz must name the same classes .* a, b and {listing}", tmp_path)
    else:
        assert read_dataset(tmp_path).class_names == ("a", "b")
