"""Image files are read right or rejected by name: transparency, bit depth, orientation, frames, size and formats."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile, features
from support.image_files import chunk, encoded, exif, png, tiff

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import images, load_image, read_picture

SIDE = 40


def draw(*shape):
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


COLOUR = draw(SIDE, SIDE + 8, 3)
ALPHA = np.random.default_rng(4).choice([0, 1, 100, 254, 255], (SIDE, SIDE + 8)).astype(np.uint8)


def written(folder, content, name="image.png"):
    (folder / name).write_bytes(content)
    return folder / name


def resized(array, size):
    return np.asarray(Image.fromarray(array).resize((size, size), Image.Resampling.BILINEAR))


def on_white(colour, alpha):
    """The rounded blend of a colour with white, in exact integer arithmetic."""
    colour, alpha = colour.astype(int), alpha.astype(int)[..., None]
    return ((2 * (colour * alpha + 255 * (255 - alpha)) + 255) // 510).astype(np.uint8)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "RGB"])
def test_every_opaque_mode_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(COLOUR).convert(mode)
    path = written(tmp_path, encoded(image, "png" if mode in ("1", "L", "P", "RGB") else "tiff"))
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_picture(path), expected)
    np.testing.assert_array_equal(load_image(path, 32), resized(expected, 32))


def grey(array):
    return np.repeat(array[..., None], 3, axis=2)


def packed(values, depth):
    """Rows of small integers, packed into bytes as PNG stores them."""
    bits = np.unpackbits(values[..., None].astype(np.uint8), axis=-1)[..., 8 - depth :]
    return [row.tobytes() for row in np.packbits(bits.reshape(len(values), -1), axis=-1)]


def transparent_files():
    """(name, bytes, expected pixels) for every way to store transparency."""
    rgba = np.dstack([COLOUR, ALPHA])
    yield "RGBA", encoded(Image.fromarray(rgba), "png"), on_white(COLOUR, ALPHA)
    yield "WebP", encoded(Image.fromarray(rgba), "webp", lossless=True, exact=True), on_white(COLOUR, ALPHA)
    yield "TIFF", encoded(Image.fromarray(rgba), "tiff"), on_white(COLOUR, ALPHA)
    yield "TGA", encoded(Image.fromarray(rgba), "tga"), on_white(COLOUR, ALPHA)
    yield "QOI", encoded(Image.fromarray(rgba), "qoi"), on_white(COLOUR, ALPHA)
    la = np.dstack([COLOUR[..., 0], ALPHA])
    yield "LA", encoded(Image.fromarray(la, "LA"), "png"), on_white(grey(COLOUR[..., 0]), ALPHA)
    palette = Image.fromarray(COLOUR).quantize(8)
    colours, indices = np.asarray(palette.convert("RGB")), np.asarray(palette)
    for name, table in (("palette", bytes([0, 128, 255, 3, 250, 77])), ("palette, one", bytes([255, 255, 0]))):
        alpha = np.frombuffer(table.ljust(8, b"\xff"), np.uint8)[indices]
        yield name, encoded(palette, "png", transparency=table), on_white(colours, alpha)
    yield "GIF", encoded(palette, "gif", transparency=5), on_white(colours, np.where(indices == 5, 0, 255))
    marked = COLOUR.copy()
    marked[5:9] = (10, 20, 30)
    transparent = (marked == (10, 20, 30)).all(-1)
    content = png(
        SIDE + 8, SIDE, 8, 2, [row.tobytes() for row in marked], chunk(b"tRNS", struct.pack(">3H", 10, 20, 30))
    )
    yield "RGB and tRNS", content, on_white(marked, np.where(transparent, 0, 255))
    for depth in (1, 2, 4, 8):
        values = COLOUR[..., 0] >> (8 - depth)
        colour = 1
        shown = grey((values.astype(int) * 255 // (2**depth - 1)).astype(np.uint8))
        content = png(SIDE + 8, SIDE, depth, 0, packed(values, depth), chunk(b"tRNS", struct.pack(">H", colour)))
        yield f"{depth}-bit grey and tRNS", content, on_white(shown, np.where(values == colour, 0, 255))


@pytest.mark.parametrize(("content", "expected"), [pytest.param(*rest, id=name) for name, *rest in transparent_files()])
def test_transparent_pixels_are_blended_with_white(tmp_path, content, expected):
    path = written(tmp_path, content)
    np.testing.assert_array_equal(read_picture(path), expected)
    np.testing.assert_array_equal(load_image(path, 32), resized(expected, 32))


def test_colours_that_nobody_sees_change_nothing(tmp_path):
    visible = np.zeros((SIDE, SIDE), bool)
    visible[10:30, 10:30] = True
    shown = []
    for number, hidden in enumerate([(0, 0, 0), (255, 255, 255), (240, 30, 10)]):
        colour = np.where(visible[..., None], draw(SIDE, SIDE, 3), np.uint8(hidden))
        rgba = np.dstack([colour, np.where(visible, 255, 0).astype(np.uint8)])
        shown.append(load_image(written(tmp_path, encoded(Image.fromarray(rgba), "png"), f"{number}.png"), 33))
    np.testing.assert_array_equal(shown[0], shown[1])
    np.testing.assert_array_equal(shown[0], shown[2])


@pytest.mark.parametrize("kind", ["png", "tga", "webp"])
def test_an_image_that_is_transparent_everywhere_is_rejected(tmp_path, kind):
    path = written(tmp_path, encoded(Image.fromarray(np.dstack([COLOUR, ALPHA * 0])), kind, exact=True))
    with pytest.raises(InputError, match=r"image\.png must have visible pixels, but it is transparent everywhere"):
        load_image(path, 32)


def deep_files():
    """(name, bytes, bits) of files with more than 8 bits per channel."""
    words = draw(SIDE, SIDE, 4).astype(">u2") * 257
    for colour, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        rows = [row.tobytes() for row in words[..., :channels]]
        yield f"PNG {channels}", png(SIDE, SIDE, 16, colour, rows), 16
    for magic, channels in ((b"P5", 1), (b"P6", 3)):
        for largest in (65535, 4095, 256):
            content = b"%s\n# 255\n%d %d\n%d\n" % (magic, SIDE, SIDE, largest)
            content += np.minimum(words[..., :channels], largest).astype(">u2").tobytes()
            yield f"{magic.decode()} {largest}", content, largest.bit_length()
    text = b" ".join(b"%d" % value for value in words[..., :3].ravel())
    yield "P3", b"P3 %d %d 65535\n%s\n" % (SIDE, SIDE, text), 16
    yield "PFM", b"Pf\n%d %d\n-1.0\n" % (SIDE, SIDE) + words[..., 0].astype("<f4").tobytes(), 32
    yield "PFM colour", b"PF\n%d %d\n-1.0\n" % (SIDE, SIDE) + words[..., :3].astype("<f4").tobytes(), 32
    for order in "<>":
        for big in (False, True):
            for channels, photometric in ((1, 1), (3, 2), (4, 2), (4, 5)):
                pixels = words[..., :channels].astype(f"{order}u2").tobytes()
                name = f"TIFF {order} {big} {channels} {photometric}"
                yield name, tiff(SIDE, SIDE, [16] * channels, pixels, photometric=photometric, order=order, big=big), 16
    for dtype, kind in (("u4", 1), ("i4", 2), ("f4", 3), ("f8", 3)):
        for channels, photometric in ((1, 1), (3, 2)):
            bits = 8 * int(dtype[1])
            pixels = words[..., :channels].astype(f"<{dtype}").tobytes()
            content = tiff(SIDE, SIDE, [bits] * channels, pixels, photometric=photometric, sample_format=kind)
            yield f"TIFF {dtype} {channels}", content, bits
    yield "SGI", encoded(Image.fromarray(COLOUR), "sgi", bpc=2), 16
    yield "JPEG 2000", encoded(Image.fromarray(words[..., 0].astype(np.uint16)), "jpeg2000"), 16
    jpeg = encoded(Image.fromarray(COLOUR), "jpeg", exif=exif((0x0112, 3, 1, struct.pack("<HH", 1, 0))))
    frame = jpeg.index(b"\xff\xc0") + 4
    yield "JPEG", jpeg[:frame] + b"\x0c" + jpeg[frame + 1 :], 12


@pytest.mark.parametrize(("content", "bits"), [pytest.param(*rest, id=name) for name, *rest in deep_files()])
def test_deep_channels_are_rejected_with_one_sentence(tmp_path, content, bits):
    path = written(tmp_path, content)
    sentence = rf"image\.png must have 8 bits per channel, but it has {bits}; choose a range of values and save it with"
    for read in (read_picture, lambda file: load_image(file, 32)):
        with pytest.raises(InputError, match=sentence):
            read(path)


def test_a_deep_codestream_of_colour_is_rejected(tmp_path):
    """Pillow cannot write one, so the depth in the header of an 8-bit file is raised; AVIF likewise."""
    content = bytearray(encoded(Image.fromarray(COLOUR), "jpeg2000"))
    start = content.index(b"\xff\x4f\xff\x51") + 42
    content[start] = 15
    with pytest.raises(InputError, match="must have 8 bits per channel, but it has 16"):
        load_image(written(tmp_path, bytes(content)), 32)
    if not features.check("avif"):
        return
    content = bytearray(encoded(Image.fromarray(COLOUR), "avif"))
    content[content.index(b"av1C") + 6] |= 0x40
    with pytest.raises(InputError, match="must have 8 bits per channel, but it has 10"):
        load_image(written(tmp_path, bytes(content)), 32)


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "tiff compressed", "mpo"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_every_orientation_is_turned_upright(tmp_path, kind, orientation):
    image, options = Image.fromarray(COLOUR), {"webp": {"lossless": True}, "tiff compressed": {"compression": "lzw"}}
    kind, options = kind.split()[0], options.get(kind, {})
    stored = np.asarray(Image.open(io.BytesIO(encoded(image, kind, **options))).convert("RGB"))
    tags = Image.Exif()
    tags[0x0112] = orientation
    expected = UPRIGHT[orientation](stored)
    path = written(tmp_path, encoded(image, kind, exif=tags, **options))
    np.testing.assert_array_equal(read_picture(path), expected)
    np.testing.assert_array_equal(load_image(path, 32), resized(np.ascontiguousarray(expected), 32))


def test_an_orientation_after_the_pixels_of_a_png_counts(tmp_path):
    content = encoded(Image.fromarray(COLOUR), "png")
    tag = chunk(b"eXIf", exif((0x0112, 3, 1, struct.pack("<HH", 6, 0)))[6:])
    path = written(tmp_path, content[:-12] + tag + content[-12:])
    np.testing.assert_array_equal(read_picture(path), np.rot90(COLOUR, -1))


ORIENTED = (0x0112, 3, 1, struct.pack("<HH", 6, 0))


@pytest.mark.parametrize(
    ("entries", "turned"),
    [
        ([ORIENTED, (0x013C, 5, 1, struct.pack("<I", 38))], True),
        ([ORIENTED, (0x013C, 7, 2**31, struct.pack("<I", 2**31))], True),
        ([(0x0112, 4, 1, struct.pack("<I", 6))], True),
        ([(0x0112, 1, 1, b"\x06\0\0\0")], True),
        ([(0x0112, 3, 2, struct.pack("<HH", 6, 6))], True),
        ([(0x0112, 3, 1, struct.pack("<HH", 0, 0))], False),
        ([(0x0112, 3, 1, struct.pack("<HH", 9, 0))], False),
        ([(0x0112, 2, 4, b"up\0\0")], False),
        ([(0x0112, 5, 1, struct.pack("<I", 9999))], False),
        ([(0x0112, 99, 1, b"\x06\0\0\0")], False),
        ([(0x0100, 2, 3, b"no\0\0"), (0x8769, 4, 1, struct.pack("<I", 2**31))], False),
    ],
)
def test_odd_exif_data_do_not_matter(tmp_path, entries, turned):
    content = encoded(Image.fromarray(COLOUR), "jpeg", exif=exif(*entries))
    stored = np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(COLOUR), "jpeg"))))
    np.testing.assert_array_equal(read_picture(written(tmp_path, content)), np.rot90(stored, -1) if turned else stored)


def test_mutated_exif_data_do_not_matter(tmp_path):
    tags = Image.Exif()
    tags[0x0112], tags[0x010F], tags[0x011A] = 6, "maker", 72.0
    tags.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    content = encoded(Image.fromarray(COLOUR), "jpeg", exif=tags)
    stored = np.asarray(Image.open(io.BytesIO(content)))
    start, end = content.index(b"Exif") + 6, content.index(b"\xff\xdb")
    generator = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(content)
        for place in generator.integers(start, end, 4):
            changed[place] = generator.integers(256)
        picture = read_picture(written(tmp_path, bytes(changed)))
        assert any(np.array_equal(picture, turn(stored)) for turn in UPRIGHT.values())


def animated(kind, **options):
    first, second = (Image.fromarray(array) for array in (COLOUR, COLOUR[::-1]))
    first.save(buffer := io.BytesIO(), kind, save_all=True, append_images=[second], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["gif", "png", "tiff", "webp", "mpo", "avif"])
def test_the_first_frame_or_page_is_read_with_a_warning(tmp_path, kind):
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = written(tmp_path, animated(kind, **({"lossless": True} if kind == "webp" else {})), f"several.{kind}")
    with Image.open(path) as image:
        assert image.n_frames == 2
        first = np.asarray(image.convert("RGB"))
    for read in (read_picture, lambda file: load_image(file, 48)):
        with pytest.warns(
            UserWarning, match=rf"several\.{kind} holds several frames or pages; the first is read"
        ) as raised:
            picture = read(path)
        assert len(raised) == 1
        assert raised[0].filename == __file__
        np.testing.assert_array_equal(picture, first if read is read_picture else resized(first, 48))


def test_a_single_frame_gives_no_warning(tmp_path):
    for kind in ("gif", "png", "tiff", "webp", "jpeg"):
        load_image(written(tmp_path, encoded(Image.fromarray(COLOUR), kind)), 32)


def test_a_gif_frame_smaller_than_its_canvas(tmp_path):
    """The pixels around the frame are transparent, as in a browser."""
    image = Image.fromarray(COLOUR).quantize(8)
    content = bytearray(encoded(image, "gif", transparency=0))
    content[6:10] = struct.pack("<HH", SIDE + 20, SIDE + 10)
    picture = read_picture(written(tmp_path, bytes(content)))
    assert picture.shape == (SIDE + 10, SIDE + 20, 3)
    assert (picture[SIDE:] == 255).all()
    assert (picture[:, SIDE + 8 :] == 255).all()


def test_the_limit_of_pixels_is_our_own(tmp_path, monkeypatch):
    path = written(tmp_path, encoded(Image.fromarray(COLOUR), "png"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(read_picture(path), COLOUR)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(images, "MOST_PIXELS", COLOUR[..., 0].size)
    np.testing.assert_array_equal(read_picture(path), COLOUR)
    monkeypatch.setattr(images, "MOST_PIXELS", 1000)
    with pytest.raises(InputError, match=r"image\.png must have at most 1,000 pixels, but it has 1,920; save"):
        read_picture(path)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("sides", [(2**31 - 1, 2**31 - 1), (65535, 65535), (2**31 - 1, 32)])
def test_a_forged_size_is_rejected_without_taking_memory(tmp_path, sides):
    with pytest.raises(InputError, match=r"image\.png must have at most 200,000,000 pixels"):
        read_picture(written(tmp_path, png(*sides, 8, 0, [])))


@pytest.mark.exhaustive
def test_a_slide_of_196_megapixels_is_read(tmp_path):
    path = written(tmp_path, encoded(Image.new("L", (14000, 14000), 128), "png"))
    assert (load_image(path, 64) == 128).all()


def test_settings_of_pillow_do_not_matter(tmp_path, monkeypatch):
    path = written(tmp_path, encoded(Image.fromarray(COLOUR), "png"))
    cut = written(tmp_path, encoded(Image.fromarray(COLOUR), "jpeg")[:-200], "cut.jpg")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    np.testing.assert_array_equal(read_picture(path), COLOUR)
    with pytest.raises(InputError, match=r"cut\.jpg cannot be decoded \(image file is truncated"):
        read_picture(cut)
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_warnings_of_pillow_do_not_escape(tmp_path):
    content = encoded(Image.fromarray(COLOUR), "jpeg", exif=exif((0x0112, 3, 1, b"\x01\0\0\0"))[:20] + b"\xff" * 12)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_picture(written(tmp_path, content))
    assert not caught


@pytest.mark.parametrize("suffix", sorted(suffix for suffixes in images.FORMATS.values() for suffix in suffixes))
@pytest.mark.parametrize("upper", [False, True])
def test_every_suffix_is_read(tmp_path, suffix, upper):
    kind = next(kind for kind, suffixes in images.FORMATS.items() if suffix in suffixes)
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    if kind == "SUN":
        header = struct.pack(">8I", 0x59A66A95, SIDE + 8, SIDE, 24, COLOUR.size, 1, 0, 0)
        content = header + COLOUR[..., ::-1].tobytes()
    else:
        content = encoded(Image.fromarray(COLOUR), kind)
    path = written(tmp_path, content, f"image{suffix.upper() if upper else suffix}")
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_picture(path), expected)
    if kind not in ("JPEG", "GIF", "AVIF", "JPEG2000", "WEBP"):
        np.testing.assert_array_equal(expected, COLOUR)


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n", b"8BPS" + bytes(60)])
def test_formats_that_are_not_read_are_rejected(tmp_path, content):
    with pytest.raises(InputError, match=r"image\.png cannot be decoded, because it is damaged or in none of"):
        load_image(written(tmp_path, content), 32)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp", "ppm"])
def test_a_truncated_image_is_rejected(tmp_path, suffix):
    path = tmp_path / f"broken.{suffix}"
    Image.fromarray(COLOUR).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"broken\.{suffix} cannot be decoded"):
        load_image(path, 32)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 3)])
def test_a_file_that_is_not_an_image_is_rejected(tmp_path, content):
    with pytest.raises(InputError, match=r"broken\.png cannot be decoded"):
        load_image(written(tmp_path, content, "broken.png"), 32)


def test_paths_that_are_no_files_are_rejected(tmp_path):
    with pytest.raises(InputError, match=r"absent\.png must be a file"):
        load_image(tmp_path / "absent.png", 32)
    with pytest.raises(InputError, match="but it is a folder"):
        read_picture(tmp_path)
    with pytest.raises(InputError, match="a path must be text or a Path, but it is a NoneType"):
        read_picture(None)
    for path in ("a\0b.png", "x" * 5000, "~nobody-of-this-name/x.png"):
        with pytest.raises(InputError):
            read_picture(path)


@pytest.mark.parametrize("size", [31, "64", 64.0, None])
def test_a_wrong_size_is_rejected(tmp_path, size):
    with pytest.raises(InputError, match="must be an integer and at least 32 pixels, got"):
        load_image(written(tmp_path, encoded(Image.fromarray(COLOUR), "png")), size)


def test_a_tilde_stands_for_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written(tmp_path, encoded(Image.fromarray(COLOUR), "png"))
    np.testing.assert_array_equal(read_picture("~/image.png"), COLOUR)


def test_a_name_that_is_not_utf8_is_read_and_printed(tmp_path):
    path = tmp_path / "caf\udce9.png"
    path.write_bytes(encoded(Image.fromarray(COLOUR), "png"))
    np.testing.assert_array_equal(read_picture(path), COLOUR)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"caf\\xe9\.png cannot be decoded") as raised:
        read_picture(path)
    assert str(raised.value).encode()


def test_an_image_file_under_32_pixels_is_rejected_unless_the_dataset_has_small_images(tmp_path):
    path = written(tmp_path, encoded(Image.fromarray(draw(28, 31, 3)), "png"), "small.png")
    with pytest.raises(InputError, match=r"small\.png must be at least 32 x 32 pixels; got 31 x 28"):
        load_image(path, 96)
    assert load_image(path, 96, smallest=28).shape == (96, 96, 3)
    assert read_picture(path, smallest=28).shape == (28, 31, 3)
