"""Mutated files of every format: each is read as Pillow and NumPy give it, or rejected with a sentence of its name."""

import contextlib
import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, features
from support.image_files import encoded, exif, tiff

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import images

SIDE = 33
COLOUR = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
ALPHA = np.where(np.arange(SIDE) > 9, 255, 60).astype(np.uint8)[None].repeat(SIDE, 0)


def samples():
    """(format, file) for each format, with the structures that a decoder looks at."""
    image = Image.fromarray(COLOUR)
    cut_out, palette = Image.fromarray(np.dstack([COLOUR, ALPHA])), image.quantize(16)
    tags = exif((0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x8769, 4, 1, struct.pack("<I", 40)))
    yield "PNG", encoded(cut_out, "png", exif=tags)
    yield "PNG palette", encoded(palette, "png", transparency=3)
    yield "JPEG", encoded(image, "jpeg", exif=tags)
    yield "JPEG progressive", encoded(image.convert("CMYK"), "jpeg", progressive=True)
    yield "GIF", encoded(palette, "gif", save_all=True, append_images=[palette], transparency=2)
    yield "TIFF", encoded(image, "tiff", compression="lzw", exif=exif((0x0112, 3, 1, struct.pack("<HH", 6, 0))))
    yield "TIFF JPEG", encoded(image, "tiff", compression="jpeg")
    yield "TIFF pages", encoded(image, "tiff", save_all=True, append_images=[image])
    yield "BigTIFF", tiff(SIDE, SIDE, [8] * 3, COLOUR.tobytes(), photometric=2, big=True)
    yield "WEBP", encoded(cut_out, "webp", exif=tags)
    yield "PPM", encoded(image, "ppm")
    yield "PPM plain", b"P3\n# x\n%d %d\n255\n%s\n" % (SIDE, SIDE, b" ".join(b"%d" % v for v in COLOUR.ravel()))
    yield "MPO", encoded(image, "mpo", save_all=True, append_images=[image])
    for kind in ("BMP", "DIB", "JPEG2000", "PCX", "QOI", "SGI", "TGA", *(["AVIF"] if features.check("avif") else [])):
        yield kind, encoded(cut_out if kind in ("QOI", "TGA") else image, kind)
    header = struct.pack(">8I", 0x59A66A95, SIDE, SIDE, 24, SIDE * (3 * SIDE + 1), 1, 0, 0)
    yield "SUN", header + b"".join(row.tobytes() + b"\0" for row in COLOUR)


SAMPLES = dict(samples())


def mutated(content, generator):
    """The file with one to four changes: a byte, a run, a cut, a piece left out, put in twice or moved."""
    changed = bytearray(content)
    for _ in range(generator.integers(1, 5)):
        # Half of the changes hit the headers
        end = max(len(changed) if generator.random() < 0.5 else min(len(changed), 200), 1)
        place, length = int(generator.integers(end)), int(generator.integers(1, 20))
        kind = generator.integers(7)
        if kind == 0:
            changed[place : place + 1] = generator.bytes(1)
        elif kind == 1:
            changed[place : place + length] = generator.choice([b"\0", b"\xff", b"\x7f"]) * length
        elif kind == 2:
            changed[place : place + length] = generator.bytes(length)
        elif kind == 3:
            del changed[place : place + length]
        elif kind == 4:
            changed[place:place] = changed[place : place + length]
        elif kind == 5:
            del changed[max(place, 8) :]
        else:
            changed[place : place + 1] = bytes([changed[place] ^ 1 << generator.integers(8)]) if changed else b""
    return bytes(changed)


ORIENTATIONS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def expected(content):
    """What Pillow reads, with transparency blended and orientation applied by NumPy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")).astype(int)
            turn = None
            with contextlib.suppress(Exception):
                value = image.getexif().get(0x0112)
                turn = ORIENTATIONS.get(value[0] if isinstance(value, tuple | bytes) else value)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:]
        pixels = (2 * (pixels[..., :3] * alpha + 255 * (255 - alpha)) + 255) // 510
    return turn(pixels) if turn else pixels


def check_mutations(content, count, seed):
    """Check ``count`` mutations; return how many are read and how many rejected."""
    generator, read = np.random.default_rng(seed), 0
    for _ in range(count):
        changed, sentence = mutated(content, generator), None
        try:
            picture = np.asarray(images.decode_image(io.BytesIO(changed), "damaged.img", smallest=1).image)
        except InputError as error:
            sentence = str(error)
        if sentence is None:
            np.testing.assert_array_equal(picture, expected(changed))
            read += 1
        else:
            assert sentence.startswith("the image damaged.img ")
            assert sentence.endswith(".")
            assert "\n" not in sentence
    return read, count - read


@pytest.mark.parametrize("name", SAMPLES)
def test_a_mutated_file_is_read_right_or_rejected_by_name(name):
    read, rejected = check_mutations(SAMPLES[name], 200, 0)
    assert read + rejected == 200
    assert read > 0
    assert rejected > 20


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SAMPLES)
def test_many_mutated_files_are_read_right_or_rejected_by_name(name):
    assert sum(check_mutations(SAMPLES[name], 3000, 1)) == 3000


def test_every_format_is_mutated():
    assert {name.split()[0] for name in SAMPLES} >= set(images._formats())
