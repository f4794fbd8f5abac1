#!/usr/bin/env python3
"""Small pictures of every kind and what Pillow makes of them: tests/fixtures/pictures.

    python scripts/make_picture_goldens.py OUTPUT      (Pillow==12.0.0, numpy)

expected.json: per file its upright size, channels, depth and values (0 .. 255, or 0 .. 65535 when deep), how far a decoder may
differ, and for some what a resize gives.
"""
import io
import json
import struct
import sys
from pathlib import Path

import numpy
from PIL import Image, ImageOps

RNG = numpy.random.default_rng(1)


def smooth(height, width, channels):
    y, x = numpy.mgrid[0:height, 0:width]
    parts = [128 + 100 * numpy.sin(0.7 * x + 0.4 * y * (c + 1) + c) for c in range(channels)]
    return numpy.stack(parts, -1).clip(0, 255).astype(numpy.uint8).squeeze()


def exif_of(orientation, big=False):
    order, mark = (">", b"MM") if big else ("<", b"II")
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + mark + struct.pack(order + "HIH", 42, 8, 1) + entry + struct.pack(order + "I", 0)


def pictures():
    rgb, grey = Image.fromarray(smooth(5, 7, 3)), Image.fromarray(smooth(5, 7, 1))
    noise = Image.fromarray(RNG.integers(0, 256, (6, 9, 4), dtype=numpy.uint8))
    yield "rgb.png", rgb, {}
    yield "interlaced.png", Image.fromarray(RNG.integers(0, 256, (13, 11, 3), dtype=numpy.uint8)), {"interlace": 1}
    yield "alpha.png", noise, {}
    yield "grey.png", grey, {}
    yield "grey_alpha.png", noise.convert("LA"), {}
    yield "palette.png", rgb.quantize(5), {}
    yield "palette_clear.png", rgb.quantize(5), {"transparency": 2}
    yield "one_bit.png", grey.convert("1"), {}
    yield "deep.png", Image.fromarray(RNG.integers(0, 65536, (4, 5), dtype=numpy.uint16)), {}
    for orientation in range(1, 9):
        yield f"turned_{orientation}.jpg", Image.fromarray(smooth(8, 16, 3)), {"exif": exif_of(orientation, orientation % 2 == 0),
                                                                             "quality": 95}
    yield "grey.jpg", Image.fromarray(smooth(16, 8, 1)), {"quality": 90}
    yield "turned_6.png", rgb, {"exif": exif_of(6)}
    yield "lossless.webp", noise, {"lossless": True, "exact": True}
    yield "turned_8.webp", rgb, {"lossless": True, "exif": exif_of(8)}


def shown(picture):
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode == "1":
        picture = picture.convert("L")
    return picture


def main():
    folder, expected = Path(sys.argv[1]), {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture, options in pictures():
        if "interlace" in options:   # Pillow cannot write Adam7; the pixels are decoded like any
            write_interlaced(folder / name, picture)
        else:
            picture.save(folder / name, **options)
        back = shown(ImageOps.exif_transpose(Image.open(folder / name)))
        values = numpy.asarray(back)
        expected[name] = {"width": back.width, "height": back.height, "channels": 1 if values.ndim == 2 else values.shape[2],
                          "deep": values.dtype == numpy.uint16, "turned": "turned" in name and "_1." not in name,
                          "tolerance": 2 if name.endswith("jpg") else 0, "values": values.flatten().tolist()}
        if values.dtype == numpy.uint8 and name in ("rgb.png", "interlaced.png", "grey.png"):
            for width, height in ((3, 2), (14, 9)):
                small = numpy.asarray(back.resize((width, height), Image.Resampling.BILINEAR))
                expected[name].setdefault("resized", []).append({"width": width, "height": height, "values": small.flatten().tolist()})
            expected[name]["grey"] = numpy.asarray(back.convert("L")).flatten().tolist()
    Image.fromarray(smooth(8, 8, 4), "CMYK").save(folder / "cmyk.jpg")
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


def write_interlaced(path, picture):
    import zlib
    pixels, raw = numpy.asarray(picture), io.BytesIO()
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        part = pixels[y0::dy, x0::dx]
        for row in part if part.shape[1] else []:
            raw.write(b"\0" + row.tobytes())
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw.getvalue())) + chunk(b"IEND", b""))


main()
