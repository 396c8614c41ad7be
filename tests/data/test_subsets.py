"""Subsets of splits, checks of every image, and deterministic limits."""

import io
import weakref

import numpy as np
import pytest
from PIL import Image

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import ArraySplit, Dataset, FolderSplit, RecordSplit, images, read_dataset, tfds_source

COUNT = 30
PIXELS = np.random.default_rng(4).integers(0, 256, (COUNT, 40, 36, 3), np.uint8)
LABELS = np.arange(COUNT, dtype=np.int64) % 3


def encoded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def as_arrays(folder, labels):
    return ArraySplit(PIXELS[: len(labels)], labels)


def as_files(folder, labels):
    paths = tuple(folder / f"{i}.png" for i in range(len(labels)))
    for path, pixels in zip(paths, PIXELS, strict=False):
        path.write_bytes(encoded(pixels))
    return FolderSplit(folder, paths, labels)


def as_records(folder, labels):
    records = [{"picture": encoded(pixels)} for pixels in PIXELS[: len(labels)]]
    rows = np.arange(len(labels))
    digests = np.repeat(rows[:, None], 32, axis=1).astype(np.uint8)
    return RecordSplit(records, "picture", rows, labels, digests, "train of the records")


@pytest.fixture(params=[as_arrays, as_files, as_records])
def split(request, tmp_path):
    """The same thirty images as every class of split."""
    return request.param(tmp_path, LABELS)


@pytest.mark.parametrize("selection", [[4, 0, 4], slice(3, 20, 5), np.array([7]), LABELS == 1, [-1]])
def test_a_subset_holds_the_selected_images_and_their_labels(split, selection):
    subset = split.take(selection)
    np.testing.assert_array_equal(subset.labels, LABELS[selection])
    assert len(subset) == len(LABELS[selection])
    np.testing.assert_array_equal(subset.images(slice(None), 32), split.images(selection, 32))
    assert subset.shortest_side == split.shortest_side


def test_a_subset_of_a_subset_selects_among_its_images(split):
    subset = split.take([5, 9, 2, 7]).take([2, 0])
    np.testing.assert_array_equal(subset.labels, LABELS[[2, 5]])
    np.testing.assert_array_equal(subset.images([0, 1], 32), split.images([2, 5], 32))


def test_the_fingerprint_of_a_subset_depends_on_its_images_and_their_order(split):
    assert split.take(slice(None)).fingerprint() == split.fingerprint()
    assert split.take([1, 2, 3]).fingerprint() == split.take([0, 1, 2, 3]).take([1, 2, 3]).fingerprint()
    different = [split, split.take([1, 2, 3]), split.take([1, 3, 2]), split.take([1, 2]), split.take([1, 2, 4])]
    assert len({subset.fingerprint() for subset in different}) == len(different)


def test_all_classes_of_split_give_the_same_images(tmp_path):
    splits = [make(tmp_path, LABELS) for make in (as_arrays, as_files, as_records)]
    first, *others = (split.images([3, 8], 45) for split in splits)
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_an_undamaged_split_passes_its_check(split):
    assert split.check() is None


def test_the_check_names_the_first_damaged_image_and_counts_them(tmp_path):
    content = encoded(PIXELS[0, :32, :32])
    paths = tuple(tmp_path / f"{i:04}.png" for i in range(3000))
    for path in paths:
        path.write_bytes(content)
    for damaged in (1500, 1777, 2999):
        paths[damaged].write_bytes(content[:-60])
    split = FolderSplit(tmp_path, paths, np.zeros(3000, np.int64))
    sentence = rf"the image .*1500\.png cannot be decoded .*; 3 of the 3000 images of {tmp_path} cannot be used, and"
    with pytest.raises(InputError, match=sentence):
        split.check()
    assert split.take(slice(0, 1500)).check() is None


def test_a_damaged_record_is_named_by_its_index(tmp_path):
    split = as_records(tmp_path, LABELS)
    split.records[21]["picture"] = split.records[21]["picture"][:50]
    subset = split.take([3, 21, 5])
    with pytest.raises(
        InputError, match=r"the image 21 of train of the records cannot be decoded .*; 1 of the 3 images"
    ):
        subset.check()
    with pytest.raises(InputError, match="the image 21 of train of the records cannot be decoded"):
        subset.images(slice(None), 32)


@pytest.mark.parametrize("make", [as_files, as_records])
def test_the_check_warns_once_of_files_with_several_frames(tmp_path, make):
    split = make(tmp_path, LABELS)
    frames = [Image.fromarray(pixels).quantize(8) for pixels in PIXELS[:2]]
    frames[0].save(buffer := io.BytesIO(), "gif", save_all=True, append_images=frames[1:])
    for row in (3, 5, 8, 13):
        if make is as_files:
            split.paths[row].write_bytes(buffer.getvalue())
        else:
            split.records[row]["picture"] = buffer.getvalue()
    names = "3.png, 5.png, 8.png" if make is as_files else "3, 5, 8"
    where = tmp_path if make is as_files else split.where
    sentence = f"4 of the 30 images of {where} hold several frames or pages; the first of each is read: {names} and o"
    with pytest.warns(UserWarning, match=sentence) as raised:
        split.check()
    assert len(raised) == 1
    split.images(slice(None), 32)


@pytest.mark.parametrize("make", [as_files, as_records])
def test_one_original_at_a_time_is_in_memory(tmp_path, make, monkeypatch):
    split, decoded, alive = make(tmp_path, LABELS), [], []
    for module in (images, tfds_source):
        original = module.decode_image

        def counted(*arguments, original=original, **options):
            picture = original(*arguments, **options)
            decoded.append(weakref.ref(picture.image))
            alive.append(sum(reference() is not None for reference in decoded))
            return picture

        monkeypatch.setattr(module, "decode_image", counted)
    split.images(slice(None), 32)
    split.check()
    assert len(alive) == 2 * COUNT
    assert max(alive) <= 2


def many(seed, count=200):
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, count, p=[0.05, 0.35, 0.6])
    return ArraySplit(generator.integers(0, 256, (count, 4, 4), np.uint8), labels)


DATASET = Dataset("many", ("a", "b", "c"), many(0), many(1))


def test_a_limit_applies_to_every_class_in_both_splits():
    limited = DATASET.limited(20, 3)
    for name in ("train", "test"):
        all_counts, counts = (np.bincount(getattr(source, name).labels, minlength=3) for source in (DATASET, limited))
        assert counts.tolist() == np.minimum(all_counts, 20).tolist()
    assert min(np.bincount(DATASET.train.labels)) < 20
    assert (limited.name, limited.class_names) == (DATASET.name, DATASET.class_names)


def original_rows(limited, split="train"):
    originals = [image.tobytes() for image in getattr(DATASET, split).pixels]
    return [originals.index(image.tobytes()) for image in getattr(limited, split).pixels]


def test_limited_images_keep_their_labels_and_their_order():
    for split in ("train", "test"):
        limited = DATASET.limited(7, 1)
        rows = original_rows(limited, split)
        assert rows == sorted(set(rows))
        np.testing.assert_array_equal(getattr(DATASET, split).labels[rows], getattr(limited, split).labels)


def test_the_draw_depends_on_the_seed_only_and_differs_between_the_splits():
    assert original_rows(DATASET.limited(7, 1)) == original_rows(DATASET.limited(7, 1))
    assert original_rows(DATASET.limited(7, 1)) != original_rows(DATASET.limited(7, 2))
    twins = Dataset("twins", ("a", "b", "c"), DATASET.train, DATASET.train).limited(7, 1)
    assert twins.train.fingerprint() != twins.test.fingerprint()


def test_a_smaller_limit_draws_a_subset_of_a_larger_limit():
    assert set(original_rows(DATASET.limited(4, 1))) < set(original_rows(DATASET.limited(9, 1)))


@pytest.mark.parametrize("limit", [0, -3, 2.5, True, "2"])
def test_an_invalid_limit_is_rejected(limit):
    with pytest.raises(InputError, match=f"limit .* must be an integer of at least 1, got {limit!r}; choose"):
        DATASET.limited(limit, 0)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_an_invalid_seed_is_rejected(seed):
    with pytest.raises(InputError, match=f"the seed must be an integer of at least 0, got {seed!r}; choose"):
        DATASET.limited(2, seed)


def test_integers_of_numpy_are_accepted():
    assert original_rows(DATASET.limited(np.int64(4), np.uint8(1))) == original_rows(DATASET.limited(4, 1))


def test_read_dataset_applies_a_limit(tmp_path):
    np.savez(tmp_path / "shapes.npz", images=PIXELS, labels=LABELS)
    limited = read_dataset(tmp_path / "shapes.npz", limit_per_class=2, seed=5)
    assert np.bincount(limited.train.labels).tolist() == np.bincount(limited.test.labels).tolist() == [2, 2, 2]
    expected = read_dataset(tmp_path / "shapes.npz", seed=5).limited(2, 5)
    assert limited.train.fingerprint() == expected.train.fingerprint()
