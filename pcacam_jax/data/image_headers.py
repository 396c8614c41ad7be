"""What the header of an image file states: the bits per channel, and whether pixels are transparent.

Pillow opens several files of 16 bits per channel as 8-bit RGB and drops the lower bits without a warning, so the
headers are read here.
"""

import struct
from collections.abc import Callable
from typing import BinaryIO

_TIFF_BITS = 258


def bits_per_channel(file: BinaryIO) -> int:
    """Return the largest number of bits per channel that the header of an image file states, or 8 if it states none.

    Args:
        file: an open file, which is left at its start.

    Returns:
        The bits of one channel: 16 for 16-bit integers, 32 for single-precision numbers.
    """
    start = file.read(16)
    try:
        return next((bits(file) for magic, bits in _HEADERS if start.startswith(magic)), 8)
    # A header that ends early, or an offset outside the file; decoding reports such a file
    except (struct.error, IndexError, ValueError, OverflowError, OSError):
        return 8
    finally:
        file.seek(0)


def grey_depth(file: BinaryIO) -> int:
    """Return the bits per pixel of a grey PNG file with fewer than 8, or 8 for any other file.

    Args:
        file: an open file, which is left at its start.
    """
    file.seek(0)
    start = file.read(26)
    file.seek(0)
    grey = start.startswith(_PNG) and start[25:] == b"\0"
    return min(start[24], 8) if grey else 8


def states_transparency(file: BinaryIO) -> bool | None:
    """Return whether a PNG file states transparency, False for a JPEG file, and None for any other file.

    Args:
        file: an open file, which is left at its start.
    """
    start = file.read(26)
    try:
        if start.startswith(_PNG) and len(start) == 26:
            return start[25] in (4, 6) or b"tRNS" in _chunks_before_pixels(file)
        return False if start.startswith(b"\xff\xd8") else None
    finally:
        file.seek(0)


def _chunks_before_pixels(file: BinaryIO) -> set[bytes]:
    file.seek(8)
    kinds: set[bytes] = set()
    while len(header := file.read(8)) == 8 and header[4:] not in (b"IDAT", b"IEND"):
        kinds.add(header[4:])
        file.seek(int.from_bytes(header[:4], "big") + 4, 1)
    return kinds


def _png(file: BinaryIO) -> int:
    file.seek(24)
    return file.read(1)[0]


def _jpeg(file: BinaryIO) -> int:
    """Return the precision in the first start-of-frame segment."""
    file.seek(2)
    while True:
        marker, length = struct.unpack(">2sH", file.read(4))
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            return file.read(1)[0]
        if length < 2 or marker[0] != 0xFF:
            return 8
        # A marker may be preceded by further bytes 0xFF
        file.seek(-3 if marker[1] == 0xFF else length - 2, 1)


def _tiff(file: BinaryIO) -> int:
    """Return the largest entry of BitsPerSample in the first directory of a TIFF or BigTIFF file."""
    file.seek(0)
    order = "<" if file.read(2) == b"II" else ">"
    (version,) = struct.unpack(f"{order}H", file.read(2))
    big = version == 43
    offset, count, entry, value = ("Q", "Q", "HHQ8s", 8) if big else ("I", "H", "HHI4s", 4)
    file.seek(8 if big else 4)
    file.seek(_unpack(file, f"{order}{offset}")[0])
    for _ in range(min(_unpack(file, f"{order}{count}")[0], 4096)):
        tag, kind, number, content = _unpack(file, f"{order}{entry}")
        if tag == _TIFF_BITS and kind == 3 and 0 < number <= 64:
            if 2 * number > value:
                file.seek(struct.unpack(f"{order}{offset}", content)[0])
                content = file.read(2 * number)
            return max(struct.unpack_from(f"{order}{number}H", content))
    return 8


def _ppm(file: BinaryIO) -> int:
    """Return the bits of the largest value; a PFM file holds single-precision numbers."""
    file.seek(0)
    lines = (line.partition(b"#")[0] for line in file.read(4096).splitlines())
    magic, _, _, largest = b" ".join(lines).split()[:4]
    return 32 if magic in (b"PF", b"Pf") else int(largest).bit_length()


def _sgi(file: BinaryIO) -> int:
    file.seek(3)
    return 8 * file.read(1)[0]


def _jpeg2000(file: BinaryIO) -> int:
    """Return the largest component depth in the size marker of the codestream."""
    file.seek(0)
    content = file.read()
    start = content.index(b"\xff\x4f\xff\x51") + 4
    (components,) = struct.unpack_from(">H", content, start + 36)
    return max((content[start + 38 + 3 * i] & 0x7F) + 1 for i in range(components))


def _iso_media(file: BinaryIO) -> int:
    """Return the depth in the configuration box of an AVIF file."""
    file.seek(0)
    content = file.read()
    flags = content[content.index(b"av1C") + 6]
    return 12 if flags & 0x20 else 10 if flags & 0x40 else 8


def _unpack(file: BinaryIO, layout: str) -> tuple:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


_PNG = b"\x89PNG\r\n\x1a\n"
_HEADERS: tuple[tuple[bytes | tuple[bytes, ...], Callable[[BinaryIO], int]], ...] = (
    (_PNG, _png),
    (b"\xff\xd8\xff", _jpeg),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    ((b"P2", b"P3", b"P5", b"P6", b"PF", b"Pf"), _ppm),
    (b"\x01\xda", _sgi),
    ((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), _jpeg2000),
    (tuple(b"\0\0\0" + bytes([size]) + b"ftyp" for size in range(256)), _iso_media),
)
"""The first bytes of each format whose channels may have more than 8 bits."""
