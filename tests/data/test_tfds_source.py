"""TFDS without TensorFlow: datasets prepared here as array_record files, and mocks by tfds.testing."""

import io
import itertools
import json
import shutil
import sys
import time

import numpy as np
import pytest
from PIL import Image
from support.marks import more

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import PAPER_SETS, RecordSplit, read_dataset, read_paper_set, sets_in

tfds = pytest.importorskip("tensorflow_datasets")

SIDE, TRAIN, TEST = 28, 600, 200


def pictures(count):
    return np.random.default_rng(count).integers(0, 256, (count, SIDE, SIDE), np.uint8)


def encoded(pixels, form="png"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def digits():
    """The features of MNIST."""
    return {
        "image": tfds.features.Image(shape=(SIDE, SIDE, 1)),
        "label": tfds.features.ClassLabel(names=list("0123456789")),
    }


def prepare(root, name, splits, *, features, version="1.0.0"):
    """Prepare a dataset like its publisher: with a builder of that name, which yields images as encoded bytes."""
    supervised = ("image", "label") if "image" in features else None

    def info(self):
        dictionary = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=dictionary, supervised_keys=supervised)

    def value(feature, i, pixels):
        if isinstance(feature, tfds.features.Image):
            return encoded(pixels)
        return i % feature.num_classes if isinstance(feature, tfds.features.ClassLabel) else f"{i}.png"

    def examples(count):
        for i, pixels in enumerate(pictures(count)):
            yield i, {key: value(feature, i, pixels) for key, feature in features.items()}

    body = {
        "name": name,
        "VERSION": tfds.core.Version(version),
        "_info": info,
        "_split_generators": lambda self, manager: {split: examples(count) for split, count in splits.items()},
        "_generate_examples": examples,
    }
    with tfds.core.registered.skip_registration():
        builder = type("Prepared", (tfds.core.GeneratorBasedBuilder,), body)(data_dir=root, file_format="array_record")
        builder.download_and_prepare()
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    prepare(root, "mnist", {"train": TRAIN, "test": TEST}, features=digits(), version="3.0.1")
    features = {
        "image": tfds.features.Image(),
        "image/filename": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
    }
    return prepare(root, "cats_vs_dogs", {"train": TRAIN}, features=features, version="4.0.1")


@pytest.fixture
def root(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "root")


def rejects(sentence, source, **options):
    with pytest.raises(InputError, match=sentence) as raised:
        read_dataset(source, **options)
    assert "\n" not in str(raised.value)


def resized(pixels, size):
    grey = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    return np.repeat(grey[..., None], 3, axis=2)


def by_pixels(split):
    """Map the pixels of every image to its label, because TFDS shuffles the records."""
    return {
        image.tobytes(): int(label) for image, label in zip(split.images(slice(None), 32), split.labels, strict=True)
    }


@pytest.mark.parametrize(
    "read", [lambda root: read_paper_set("mnist", root), more(lambda root: read_dataset("tfds:mnist", data_dir=root))]
)
def test_a_prepared_dataset_is_read_without_tensorflow(prepared, read):
    dataset = read(prepared)
    assert dataset.class_names == tuple("0123456789")
    for split, count in ((dataset.train, TRAIN), (dataset.test, TEST)):
        assert isinstance(split, RecordSplit)
        assert by_pixels(split) == {resized(pixels, 32).tobytes(): i % 10 for i, pixels in enumerate(pictures(count))}
        assert split.shortest_side == SIDE
        assert split.check() is None
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize("other", ["train", "train.npz", "train-images-idx3-ubyte.gz", "MNIST.NPZ"])
def test_records_beside_other_files_are_read_with_a_warning(root, other):
    path = root / "mnist" / other
    path.mkdir() if other == "train" else path.touch()
    (root / "mnist" / "notes.txt").touch()
    sentence = rf"mnist holds records of TFDS and also {other}; the records are read"
    with pytest.warns(UserWarning, match=sentence):
        assert len(read_paper_set("mnist", root).train) == TRAIN


def test_subsets_and_limits_share_the_records(prepared):
    dataset = read_paper_set("mnist", prepared, limit_per_class=3)
    assert np.bincount(dataset.train.labels).tolist() == [3] * 10
    whole = read_paper_set("mnist", prepared)
    assert set(by_pixels(dataset.train).items()) < set(by_pixels(whole.train).items())
    subset = whole.train.take([300, 2])
    np.testing.assert_array_equal(subset.images([1, 0], 40), whole.train.images([2, 300], 40))
    assert subset.fingerprint() != whole.train.take([2, 300]).fingerprint()
    assert whole.train.fingerprint() == read_paper_set("mnist", prepared).train.fingerprint()


def test_the_fingerprint_depends_on_the_bytes_of_the_images(prepared):
    import hashlib

    train = read_paper_set("mnist", prepared).train
    order = [train.records[int(row)]["image"] for row in train.rows[:5]]
    total = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in order))
    assert train.take(slice(5)).fingerprint() == total.hexdigest()


def test_dog_and_cat_are_divided_as_in_the_paper(prepared):
    dataset = read_paper_set("dog_cat", prepared)
    assert dataset.class_names == ("cat", "dog")
    assert (len(dataset.train), len(dataset.test)) == (480, 120)
    train, test = by_pixels(dataset.train), by_pixels(dataset.test)
    assert not set(train) & set(test)
    assert {**train, **test} == {resized(pixels, 32).tobytes(): i % 2 for i, pixels in enumerate(pictures(TRAIN))}


def test_the_splits_of_dog_and_cat_have_the_papers_sizes(root):
    paper = PAPER_SETS["dog_cat"]
    path = root / "cats_vs_dogs" / "4.0.1" / "dataset_info.json"
    info = json.loads(path.read_text())
    info["splits"][0]["shardLengths"] = ["23262"]
    path.write_text(json.dumps(info))
    splits = tfds.builder("cats_vs_dogs", data_dir=root).info.splits
    assert [splits[split].num_examples for split in paper.splits] == [paper.train, paper.test] == [18_610, 4_652]


def test_an_undivided_dataset_is_divided_by_class(prepared):
    dataset = read_dataset("tfds:cats_vs_dogs", data_dir=prepared, test_fraction=0.3, class_names=["Katze", "Hund"])
    assert dataset.class_names == ("Katze", "Hund")
    assert np.bincount(dataset.train.labels).tolist() == [210, 210]
    assert np.bincount(dataset.test.labels).tolist() == [90, 90]
    other = read_dataset("tfds:cats_vs_dogs", data_dir=prepared, test_fraction=0.3, seed=1)
    assert other.test.fingerprint() != dataset.test.fingerprint()
    rejects("must be as many as its label values", "tfds:cats_vs_dogs", data_dir=prepared, class_names=["a"])


def test_files_of_a_paper_set_take_precedence_over_tfds(root):
    np.savez(root / "mnist.npz", images=pictures(20), labels=np.arange(20) % 10)
    assert isinstance(read_paper_set("mnist", root).train, RecordSplit)
    shutil.rmtree(root / "mnist")
    (root / "mnist").mkdir()
    for split in ("train", "test"):
        np.savez(root / "mnist" / f"{split}.npz", images=pictures(20), labels=np.arange(20) % 10)
    assert not isinstance(read_paper_set("mnist", root).train, RecordSplit)


def test_prepared_records_are_listed_among_the_datasets_in_a_folder(prepared):
    assert sets_in(prepared) == ("mnist", "dog_cat")


def test_a_dataset_with_classes_in_another_order_is_rejected(tmp_path):
    features = {**digits(), "label": tfds.features.ClassLabel(names=list("1023456789"))}
    prepare(tmp_path, "mnist", {"train": 20, "test": 20}, features=features, version="3.0.1")
    rejects("mnist must have the classes of MNIST, 0, 1, .* order, but it has 1, 0, 2", "mnist", data_dir=tmp_path)


def test_an_unprepared_dataset_is_rejected_quickly_with_the_command_to_prepare_it(tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.create_connection", no_network)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    command = rf"tfds build mnist --file_format=array_record --data_dir={tmp_path}"
    start = time.monotonic()
    rejects(rf"must be prepared in {tmp_path}/mnist/[\d.]+, .* run `{command}`", "tfds:mnist", data_dir=tmp_path)
    assert time.monotonic() - start < 20
    assert list(tmp_path.iterdir()) == []
    sentence = rf"tfds build cifar10 .*; or put train\.npz and test\.npz .* into {tmp_path}/cifar10\.$"
    rejects(sentence, "cifar10", data_dir=tmp_path)


def test_the_folder_of_the_environment_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", "~/sets")
    rejects(rf"must be prepared in {tmp_path}/sets/mnist/", "tfds:mnist")


def test_an_incompletely_prepared_folder_is_not_accepted(root):
    (root / "mnist" / "3.0.1").rename(root / "mnist" / "incomplete.ABCDEF_3.0.1")
    rejects("must be prepared in", "tfds:mnist", data_dir=root)


def records_of(root):
    return next((root / "mnist" / "3.0.1").glob("*train*"))


def corrupted(content):
    middle = len(content) // 4
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 40]) + content[middle + 40 :]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda root: records_of(root).unlink(), r"records of train of .*3\.0\.1 cannot be read .*; remove the folder"),
        (lambda root: records_of(root).write_bytes(records_of(root).read_bytes()[:30_000]), "cannot be read"),
        (lambda root: records_of(root).write_bytes(corrupted(records_of(root).read_bytes())), "cannot be read"),
        (lambda root: (root / "mnist" / "3.0.1" / "dataset_info.json").write_text("{"), "cannot open the dataset"),
    ],
)
def test_damaged_files_are_rejected(root, damage, sentence):
    damage(root)
    rejects(sentence, "tfds:mnist", data_dir=root)


def test_a_dataset_in_a_format_of_tensorflow_is_rejected(root):
    path = root / "mnist" / "3.0.1" / "dataset_info.json"
    path.write_text(path.read_text().replace("array_record", "tfrecord"))
    rejects("must be prepared in the format array_record, but it is in .*tfrecord", "tfds:mnist", data_dir=root)


@pytest.mark.parametrize("name", ["", "no such set", "nosuchset", "mnist:9.9.9"])
def test_an_unknown_dataset_is_rejected(name, tmp_path):
    rejects(f"TFDS cannot open the dataset '{name}'", f"tfds:{name}", data_dir=tmp_path)


def test_datasets_without_one_image_and_one_class_are_rejected(tmp_path):
    features = {"review": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)}
    prepare(tmp_path, "reviews", {"train": 4}, features=features)
    rejects(
        r"one 8-bit image and one class .* label \(ClassLabel\), review \(Text\)", "tfds:reviews", data_dir=tmp_path
    )
    prepare(tmp_path, "unsplit", {"everything": 4}, features=digits())
    rejects("unsplit must have a split train, but it has everything;", "tfds:unsplit", data_dir=tmp_path)


def test_the_supervised_image_is_used_and_validation_replaces_a_missing_test_split(tmp_path):
    features = {**digits(), "mask": tfds.features.Image(shape=(SIDE, SIDE, 1))}
    dataset = read_dataset(
        "tfds:masks", data_dir=prepare(tmp_path, "masks", {"train": 40, "validation": 20}, features=features)
    )
    assert (len(dataset.train), len(dataset.test)) == (40, 20)
    assert dataset.train.key == "image"


def example(label, content):
    return {"image": content, "label": label}


def test_a_mock_of_tfds_testing_is_read(prepared):
    contents = [encoded(pixels) for pixels in pictures(40)]

    def source(builder, split, decoders=None, **options):
        assert isinstance(decoders["image"], tfds.decode.SkipDecoding)
        return [example(i % 10, content) for i, content in enumerate(contents)]

    with tfds.testing.mock_data(as_data_source_fn=source, data_dir=str(prepared)):
        dataset = read_dataset("tfds:mnist", data_dir=prepared)
        np.testing.assert_array_equal(dataset.test.images([39, 4], 32), [resized(pictures(40)[i], 32) for i in (39, 4)])
    np.testing.assert_array_equal(dataset.train.labels, np.arange(40) % 10)
    assert "tensorflow" not in sys.modules


def test_a_label_out_of_range_a_missing_class_and_a_damaged_image_are_rejected(prepared):
    contents = [encoded(pixels) for pixels in pictures(3000)]
    contents[1500] = contents[1500][:200]
    labels = itertools.cycle([*range(9), -1])

    def source(builder, split, decoders=None, **options):
        return [example(next(labels), content) for content in contents]

    with tfds.testing.mock_data(as_data_source_fn=source, data_dir=str(prepared)):
        rejects(r"train labels of mnist must lie in 0\.\.9, .* from -1 to 8", "tfds:mnist", data_dir=prepared)
        labels = itertools.cycle(range(9))
        rejects("train split of mnist must hold .* but it has none of 9; add", "tfds:mnist", data_dir=prepared)
        labels = itertools.cycle(range(10))
        train = read_dataset("tfds:mnist", data_dir=prepared).train
    sentence = r"the image 1500 of train of .*3\.0\.1 cannot be decoded .*; 1 of the 3000 images"
    with pytest.raises(InputError, match=sentence):
        train.check()
    with pytest.raises(InputError, match="the image 1500 of train"):
        train.images([1499, 1500], 32)
