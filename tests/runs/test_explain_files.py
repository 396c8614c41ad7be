"""Images and folders explained: names of results, original sizes, resumption, and images that cannot be read."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from support.marks import more
from support.small_runs import pictures

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.progress import Progress
from pcacam_jax.runs import explain_files as module
from pcacam_jax.runs import explanation_files
from pcacam_jax.runs.explain_files import explain_files
from pcacam_jax.runs.image_paths import find_images
from pcacam_jax.runs.run import load

TARGETS = ["pca:0", "svm_rbf:predicted"]
RED, SIDEWAYS = (200, 30, 30), 6


@pytest.fixture
def photos(tmp_path):
    """Return a folder with images of the same name in two folders, and one that is stored sideways."""
    images, _ = pictures(2, 5)
    for number, name in enumerate(("a/1.jpg", "b/1.jpg", "b/2.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[number]).resize((48, 40)).save(path)
    image = Image.new("RGB", (90, 60), "white")
    image.paste(RED, (0, 0, 30, 60))
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    image.save(tmp_path / "photos" / "tall.png", exif=exif)
    return tmp_path / "photos"


@pytest.fixture
def explain(run_folder, tmp_path, small_world, monkeypatch):
    """Return a function that explains files and draws empty figures, since drawing takes longest."""
    monkeypatch.setattr(explanation_files.figures, "explanation", lambda *_: Figure())

    def call(*paths, out=tmp_path / "out", targets=TARGETS, **options):
        return explain_files(run_folder, list(paths), targets, out, **options)

    return call


@pytest.fixture
def computed(monkeypatch):
    """Return the names of the images whose results were written."""
    names, write = [], module.write_results
    monkeypatch.setattr(
        module, "write_results", lambda out, image, *rest: names.append(image.name) or write(out, image, *rest)
    )
    return names


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_results_of_a_folder_have_its_structure(explain, photos, tmp_path):
    explained = explain(photos)
    names = {"a/1", "b/1", "b/2", "tall"}
    assert files(tmp_path / "out").keys() == {f"{name}.{kind}" for name in names for kind in ("png", "npz", "json")}
    assert [report["image"] for report in explained.reports] == [
        str(photos / name) for name in ("tall.png", "a/1.jpg", "b/1.jpg", "b/2.png")
    ]
    assert (explained.reused, list(explained.unreadable)) == (0, [])


def test_original_size_and_orientation_are_stored_and_the_original_is_drawn(explain, photos, tmp_path, monkeypatch):
    drawn = []
    draw = module.write_results
    monkeypatch.setattr(
        module,
        "write_results",
        lambda out, image, request, picture, explained, *rest: (
            drawn.append((picture, explained)) or draw(out, image, request, picture, explained, *rest)
        ),
    )
    (report,) = explain(photos / "tall.png").reports
    assert report["original_size"] == {"height": 90, "width": 60}
    assert report["orientation"] == SIDEWAYS
    assert json.loads((tmp_path / "out" / "tall.json").read_text()) == report
    with np.load(tmp_path / "out" / "tall.npz") as arrays:
        assert arrays["original_size"].tolist() == [90, 60]
        assert arrays["orientation"] == SIDEWAYS
        height, width = arrays["original_size"]
        enlarged = Image.fromarray(arrays["positive"][0].astype(np.float32)).resize((width, height))
    ((picture, explained),) = drawn
    assert picture.drawn.shape == (90, 60, 3) == (*np.asarray(enlarged).shape, 3)
    assert (picture.drawn[:29] == RED).all()  # the top of the upright image
    assert (picture.drawn[31:] == 255).all()
    assert explained.image_names == ("tall.png",)
    assert explained.image_sizes == ((90, 60),)


def test_a_run_explains_paths_as_it_explains_their_images(run_folder, photos, small_world):
    run = load(run_folder)
    paths = [photos / "tall.png", str(photos / "a" / "1.jpg")]
    by_path, by_array = run.explain(paths, TARGETS), run.explain(run.load_images(paths), TARGETS)
    np.testing.assert_array_equal(by_path.positive, by_array.positive)
    assert by_path.image_names == ("tall.png", "1.jpg")
    assert by_path.image_sizes == ((90, 60), (40, 48))
    assert by_array.image_names is by_array.image_sizes is None
    assert run.explain(str(photos / "tall.png"), "pca").image_names == ("tall.png",)


def test_what_is_there_already_is_not_computed_again(explain, photos, tmp_path, computed):
    first = explain(photos)
    before = files(tmp_path / "out")
    del computed[:]
    again = explain(photos)
    assert computed == []
    assert (again.reused, again.reports) == (4, first.reports)
    assert files(tmp_path / "out") == before
    assert explain(photos, force=True).reused == 0
    assert len(computed) == 4
    assert files(tmp_path / "out") == before


def test_only_what_changed_is_computed_again(explain, photos, tmp_path, computed):
    explain(photos)
    shutil.copy(photos / "b" / "1.jpg", photos / "a" / "1.jpg")
    (tmp_path / "out" / "b" / "2.npz").unlink()
    del computed[:]
    assert explain(photos).reused == 2
    assert computed == ["a/1", "b/2"]


@pytest.mark.parametrize(
    "options",
    [
        {"targets": ["pca:1"]},
        {"backend": "reverse"},
        {"scale_free": True},
        {"method": "gradcam"},
        more({"method": "shapcam", "samples": 2}),
        more({"method": "shapcam", "seed": 1}),
        more({"trust": True}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_another_request_is_computed(explain, photos, computed, options):
    explain(photos / "tall.png")
    assert explain(photos / "tall.png", **options).reused == 0
    assert explain(photos / "tall.png", **options).reused == 1


def test_another_run_is_computed(run_folder, explain, photos, tmp_path, small_world):
    explain(photos / "tall.png")
    other = shutil.copytree(run_folder, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["fit"]["scaling"] = "unit"
    (other / "config.json").write_text(json.dumps(config))
    assert explain_files(other, [photos / "tall.png"], TARGETS, tmp_path / "out").reused == 0


def test_a_moved_image_keeps_its_results_and_gets_its_new_name(explain, photos, tmp_path, computed):
    explain(photos / "tall.png")
    moved = (photos / "tall.png").rename(tmp_path / "tall.png")
    del computed[:]
    (report,) = explain(moved).reports
    assert computed == []
    assert report["image"] == json.loads((tmp_path / "out" / "tall.json").read_text())["image"] == str(moved)


def test_an_interruption_leaves_complete_results_from_which_the_next_call_continues(
    explain, photos, tmp_path, monkeypatch, computed
):
    write = module.write_results

    def interrupted(*arguments):
        if len(computed) == 2:
            raise KeyboardInterrupt
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_results", interrupted)
        with pytest.raises(KeyboardInterrupt):
            explain(photos)
    assert files(tmp_path / "out").keys() == {
        f"{name}.{kind}" for name in ("tall", "a/1") for kind in ("png", "npz", "json")
    }
    assert explain(photos).reused == 2


def test_an_unreadable_image_of_a_folder_is_skipped_with_a_warning(explain, photos, tmp_path):
    (photos / "b" / "0.jpg").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"skipped: the image .*b/0\.jpg cannot be decoded"):
        explained = explain(photos)
    assert len(explained.reports) == 4
    assert list(explained.unreadable) == [photos / "b" / "0.jpg"]
    with pytest.raises(InputError, match=r"b/0\.jpg cannot be decoded"):
        explain(photos / "b" / "2.png", photos / "b" / "0.jpg", out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_of_unreadable_images_raises(explain, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(InputError, match="none of the 1 images could be read"),
    ):
        explain(tmp_path / "bad")


def test_results_below_the_images_are_not_explained_in_turn(explain, photos):
    for _ in range(2):
        assert len(explain(photos, out=photos / "out").reports) == 4
    (photos / "out").rename(photos / "moved")
    assert len(explain(photos, out=photos / "out").reports) == 4


@pytest.fixture
def panels(monkeypatch):
    """Return the panels; empty figures are saved in their places."""
    drawn, plots = [], explanation_files.figures.plots
    draw = plots.explanation_panel
    monkeypatch.setattr(
        plots, "explanation_panel", lambda *args, **options: drawn.append(draw(*args, **options)) or Figure()
    )
    return drawn


def words_of(figure):
    texts = [text.get_text() for text in figure.findobj(Text)]
    return " ".join(" ".join(texts).split())


def test_the_panel_and_the_json_say_how_each_value_compares(run_folder, photos, tmp_path, small_world, panels):
    run, path = load(run_folder), photos / "tall.png"
    (report,) = explain_files(run_folder, [path], TARGETS, tmp_path / "out").reports
    [compared] = run.compare(run.explain(path, TARGETS))
    [panel] = panels
    for row, comparison in zip(report["targets"], compared, strict=True):
        assert comparison.summary in words_of(panel)
        assert comparison.summary in row["sentence"]
        assert (row["percentile"], row["rank"]) == (comparison.percentile, comparison.rank)
    assert words_of(panel).count("of all training images") == len(TARGETS)


def test_the_panel_and_the_json_say_whether_a_map_can_be_trusted(run_folder, photos, tmp_path, small_world, panels):
    run, path = load(run_folder), photos / "tall.png"
    options = {"method": "hirescam", "trust": True}
    (report,) = explain_files(run_folder, [path], TARGETS, tmp_path / "out", **options).reports
    explained = run.explain(path, TARGETS, method="hirescam")
    [sentences] = run.trust(explained, path).sentences()
    [panel] = panels
    assert [row["trust"] for row in report["targets"]] == sentences
    for sentence in sentences:
        assert sentence.startswith("The map is ")
        assert sentence[:60] in words_of(panel)
    assert "the gradient at this image times the features in a cell (hirescam)." in words_of(panel)


def test_a_run_of_an_earlier_version_explains_files_without_percentiles(photos, tmp_path, small_world, panels):
    stored = Path(__file__).parents[1] / "stored" / "run"
    (report,) = explain_files(stored, [photos / "tall.png"], TARGETS, tmp_path / "out").reports
    [panel] = panels
    assert "training images" not in words_of(panel)
    assert "component 1 = " in words_of(panel)
    assert [row["target"] for row in report["targets"]] == TARGETS
    assert not report["targets"][0].keys() & {"percentile", "rank", "sentence"}
    assert explain_files(stored, [photos / "tall.png"], TARGETS, tmp_path / "out").reused == 1


def test_progress_is_shown(explain, photos, monkeypatch, capsys):
    monkeypatch.setattr("pcacam_jax.core.progress.REPORT_INTERVAL", 0.0)
    explain(photos, progress=Progress())
    assert "explanations 4 of 4" in capsys.readouterr().err


def test_names_may_be_as_long_as_the_results_allow(explain, photos, tmp_path):
    longest = shutil.copy(photos / "b" / "2.png", tmp_path / f"{'x' * 250}.png")
    assert len(explain(longest, out=tmp_path / "new").reports) == 1
    assert (tmp_path / "new" / f"{'x' * 250}.json").is_file()
    longer = shutil.copy(longest, tmp_path / f"{'é' * 125}x.png")
    with pytest.raises(InputError, match=r"at most 255 bytes, but that of the output .* has 256; shorten"):
        explain(longer, longest, out=tmp_path / "newer")
    assert not (tmp_path / "newer").exists()


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def found(root, *paths):
    return {
        image.path.relative_to(root).as_posix(): image.name for image in find_images([root / path for path in paths])
    }


def test_names_of_results(tmp_path):
    touch(tmp_path, "p/a/1.jpg", "p/b/1.jpg", "p/b/1.PNG", "p/.hidden/2.jpg", "p/.3.jpg", "p/b/notes.txt", "q/1.jpg")
    assert found(tmp_path, "p") == {"p/a/1.jpg": "a/1", "p/b/1.jpg": "b/1.jpg", "p/b/1.PNG": "b/1.PNG"}
    assert found(tmp_path, "p/a", "q") == {"p/a/1.jpg": "p/a/1", "q/1.jpg": "q/1"}
    assert found(tmp_path, "p", "p/a") == found(tmp_path, "p")


def test_equal_names_raise(tmp_path):
    touch(tmp_path, "p/1.jpg", "q/1.jpg")
    with pytest.raises(InputError, match=r"would overwrite each other; .* or give the folder that contains both"):
        find_images([tmp_path / "p" / "1.jpg", tmp_path / "q" / "1.jpg"])
    with pytest.raises(InputError, match="would overwrite each other"):
        find_images([tmp_path / "p" / "1.jpg", tmp_path / "q"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"must hold images .* but has none"):
        find_images([tmp_path / "empty"])


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "p/a/1.jpg", "elsewhere/2.jpg")
    (tmp_path / "p" / "loop").symlink_to(tmp_path / "p")
    (tmp_path / "p" / "linked").symlink_to(tmp_path / "elsewhere")
    os.symlink(tmp_path / "p" / "a" / "1.jpg", tmp_path / "p" / "again.jpg")
    assert sorted(found(tmp_path, "p").values()) == ["again", "linked/2"]


def test_a_file_that_is_named_twice_is_explained_once(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    found_paths = [image.path for image in find_images([tmp_path / name for name in ("a.jpg", "a.jpg", "link.jpg")])]
    assert found_paths == [tmp_path / "a.jpg"]
