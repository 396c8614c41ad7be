"""Image files built byte by byte, for what Pillow cannot write."""

import io
import struct
import zlib


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth, colour, rows, *chunks):
    """A PNG file; ``rows`` are the packed bytes of each row, and ``chunks`` stand before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def tiff(width, height, bits, pixels, *, photometric=1, sample_format=1, order="<", big=False):
    """An uncompressed TIFF file of one strip; ``bits`` holds an entry for each channel."""
    long, size = ("Q", 20) if big else ("I", 12)
    entries = [
        (256, 3, (width,)),
        (257, 3, (height,)),
        (258, 3, tuple(bits)),
        (259, 3, (1,)),
        (262, 3, (photometric,)),
        (273, 4, (None,)),
        (277, 3, (len(bits),)),
        (278, 3, (height,)),
        (279, 4, (len(pixels),)),
        (339, 3, (sample_format,) * len(bits)),
    ]
    if len(bits) in (2, 4) and photometric != 5:
        entries.insert(9, (338, 3, (2,)))
    start = 16 if big else 8
    directory = struct.calcsize(f"={'Q' if big else 'H'}") + len(entries) * size + struct.calcsize(f"={long}")
    outside, body = b"", b""
    place = start + directory
    strip = place + sum(2 * len(v) for _, k, v in entries if k == 3 and 2 * len(v) > struct.calcsize(f"={long}"))
    for tag, kind, values in entries:
        values = tuple(strip if value is None else value for value in values)
        content = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(content) > struct.calcsize(f"={long}"):
            outside, content = outside + content, struct.pack(f"{order}{long}", place + len(outside))
        body += struct.pack(f"{order}HH{long}", tag, kind, len(values))
        body += content.ljust(struct.calcsize(f"={long}"), b"\0")
    mark = b"II" if order == "<" else b"MM"
    header = struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}HI", 42, 8)
    count = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    return mark + header + count + body + struct.pack(f"{order}{long}", 0) + outside + pixels


def exif(*entries, order="<"):
    """EXIF data of one directory; an entry is (tag, type, count, four bytes)."""
    body = b"".join(struct.pack(f"{order}HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(f"{order}HIH", 42, 8, len(entries))
    return b"Exif\0\0" + header + body + struct.pack(f"{order}I", 0) + bytes(8)


def encoded(image, kind, **options):
    """The bytes of a Pillow image in a format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
