"""Images loaded for the network and for drawings."""

import numpy as np
import pytest
from PIL import Image

from pcacam_jax.data import load_image
from pcacam_jax.data.pictures import LONGEST_SIDE, load_picture


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_network_sees_what_load_image_returns_in_every_orientation(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    picture = load_picture(tmp_path / "a.png", 32)
    np.testing.assert_array_equal(picture.pixels, load_image(tmp_path / "a.png", 32))
    assert picture.orientation == orientation
    assert picture.size == ((40, 60) if orientation < 5 else (60, 40)) == picture.drawn.shape[:2]


@pytest.mark.parametrize("orientation", [0, 9, None])
def test_an_image_without_a_valid_orientation_is_upright(tmp_path, orientation):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("L", (60, 40)).save(tmp_path / "a.png", exif=exif)
    picture = load_picture(tmp_path / "a.png", 32)
    assert (picture.orientation, picture.size) == (1, (40, 60))


@pytest.mark.parametrize(
    ("side", "drawn"), [((3000, 1000), (333, 1000)), ((1001, 32), (32, 1000)), ((500, 40), (40, 500))]
)
def test_a_large_image_is_drawn_smaller_in_its_proportions(tmp_path, side, drawn):
    Image.new("L", side, 90).save(tmp_path / "a.png")
    picture = load_picture(tmp_path / "a.png", 32)
    assert picture.size == side[::-1]
    assert picture.drawn.shape == (*drawn, 3)
    assert max(picture.drawn.shape) <= LONGEST_SIDE
    assert (picture.drawn == 90).all()


def test_several_pages_warn_once(tmp_path):
    page = Image.new("L", (40, 40))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
    with pytest.warns(UserWarning, match="holds several frames or pages") as warned:
        load_picture(tmp_path / "a.tif", 32)
    assert len(warned) == 1
