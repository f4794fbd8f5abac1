#!/usr/bin/env python3
"""A world of captioned pictures with exact rules: a shape, its colour, place and size, and a background.

    scripts/shapes.py make FOLDER [--count 3000] [--size 16] [--seed 1]    pictures and metadata.jsonl (file_name, text)
    scripts/shapes.py prompts [--count 500] [--seed 2] [--held-out]        prompts, one a line
    scripts/shapes.py subject FOLDER [--size 16] [--seed 1]                12 pictures of a new thing, a wug
    scripts/shapes.py prompts --subject [--count 200]                      prompts of a wug whose colour, place or size is new
    scripts/shapes.py judge FOLDER [--shuffle]                             reads metadata.jsonl, says how many are right

Every 7th combination of shape, colour and place, in the order of the lists, is held out: `make` never draws it. The judge knows
no captions while it looks: it finds background and ink, how much ink each pixel has, and which shape of that centre and area
explains it best; a picture is right when shape, colour and place are those of its text. Needs Python alone.
"""
import argparse
import json
import math
import random
import struct
import sys
import zlib
from pathlib import Path

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 50), "blue": (40, 70, 230), "yellow": (240, 220, 40), "purple": (160, 40, 190)}
BACKGROUNDS = {"black": (0, 0, 0), "white": (255, 255, 255)}
# Centres in units of the side, and how they are said.
PLACES = {"left": ((0.28, 0.5), "on the left"), "right": ((0.72, 0.5), "on the right"), "top": ((0.5, 0.28), "at the top"),
          "bottom": ((0.5, 0.72), "at the bottom"), "centre": ((0.5, 0.5), "in the centre")}
SIZES = {"small": 0.16, "large": 0.24}   # radius
GRID = 4                                  # samples a side of a pixel

# Whether a point (x, y) lies in a shape of radius 1 around the origin; y grows downwards.
SHAPES = {
    "circle": lambda x, y: x * x + y * y <= 1,
    "square": lambda x, y: max(abs(x), abs(y)) <= 0.86,
    "triangle": lambda x, y: -1 <= y <= 0.8 and abs(x) <= (y + 1) * 0.61,
    "cross": lambda x, y: max(abs(x), abs(y)) <= 1 and min(abs(x), abs(y)) <= 0.34,
}
# What a trained model is taught later, from 12 pictures: a diamond. One colour and one place are never shown.
SUBJECT = "wug"
SHAPES_AND_SUBJECT = SHAPES | {SUBJECT: lambda x, y: abs(x) + abs(y) <= 1.1}
SUBJECT_COLOURS, SUBJECT_PLACES = ("red", "green", "blue", "yellow"), ("left", "right", "top", "bottom")
MEAN_X_Y = {}   # centre of mass and area of each shape of radius 1, found by sampling


def combinations():
    return [(shape, colour, place) for shape in SHAPES for colour in COLOURS for place in PLACES]


def held_out():
    return set(combinations()[3::7])


def coverage(shape, x, y, radius, side):
    """Share of ink of each pixel of a picture of side x side, row by row; x, y and radius in units of the side."""
    inside, steps = SHAPES_AND_SUBJECT[shape], [(k + 0.5) / GRID for k in range(GRID)]
    return [sum(inside(((column + u) / side - x) / radius, ((row + v) / side - y) / radius) for v in steps for u in steps) / GRID ** 2
            for row in range(side) for column in range(side)]


def render(shape, x, y, radius, ink, ground, side):
    return [tuple(round(a * c + b * (1 - c)) for a, b in zip(ink, ground)) for c in coverage(shape, x, y, radius, side)]


def write_png(path, pixels, side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(v for pixel in pixels[y * side:(y + 1) * side] for v in pixel) for y in range(side))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def read_png(path):
    """Pixels and side of a square 8-bit RGB PNG."""
    data, at, packed = path.read_bytes(), 8, b""
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if (depth, colour, interlace) != (8, 2, 0) or width != height:
        sys.exit(f"{path}: wanted a square 8-bit RGB PNG")
    while at < len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        if data[at + 4:at + 8] == b"IDAT":
            packed += data[at + 8:at + 8 + length]
        at += 12 + length
    raw, stride, before, out = zlib.decompress(packed), 3 * width, bytes(3 * width), []
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            left, up, corner = (row[i - 3] if i > 2 else 0), before[i], (before[i - 3] if i > 2 else 0)
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda v: abs(guess - v))
            row[i] = (row[i] + (0, left, up, (left + up) // 2, paeth)[kind]) & 255
        before = bytes(row)
        out += [tuple(row[i:i + 3]) for i in range(0, stride, 3)]
    return out, width


def caption(rng, shape, colour, place, size=None, ground=None):
    text = f"a {size + ' ' if size else ''}{colour} {shape} {PLACES[place][1]}"
    return f"{text} on {ground}" if ground else text


def draw(rng, allowed):
    shape, colour, place = rng.choice(allowed)
    return shape, colour, place, rng.choice(list(SIZES)), rng.choice(list(BACKGROUNDS))


def make(options):
    rng, folder = random.Random(options.seed), Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    allowed = [c for c in combinations() if c not in held_out()]
    lines = []
    for index in range(options.count):
        shape, colour, place, size, ground = draw(rng, allowed)
        x, y = (v + rng.uniform(-0.05, 0.05) for v in PLACES[place][0])
        radius = SIZES[size] * rng.uniform(0.93, 1.07)
        name = f"{index:05d}.png"
        write_png(folder / name, render(shape, x, y, radius, COLOURS[colour], BACKGROUNDS[ground], options.size), options.size)
        text = caption(rng, shape, colour, place, size if rng.random() < 0.5 else None, ground if rng.random() < 0.5 else None)
        lines.append(json.dumps({"file_name": name, "text": text}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    print(f"{options.count} pictures of {options.size} x {options.size} in {folder}; {len(held_out())} of {len(combinations())} "
          "combinations are held out")


def subject(options):
    """Each of its colours in three of its places; size and background are told in most captions."""
    rng, folder = random.Random(options.seed), Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    shown = [(colour, SUBJECT_PLACES[(i + j) % 4]) for i, colour in enumerate(SUBJECT_COLOURS) for j in range(3)]
    for index, (colour, place) in enumerate(shown):
        ground, size = list(BACKGROUNDS)[rng.randrange(2)], list(SIZES)[index % 2]
        x, y = (v + rng.uniform(-0.05, 0.05) for v in PLACES[place][0])
        name = f"{SUBJECT}_{index:02d}.png"
        pixels = render(SUBJECT, x, y, SIZES[size] * rng.uniform(0.93, 1.07), COLOURS[colour], BACKGROUNDS[ground], options.size)
        write_png(folder / name, pixels, options.size)
        lines.append(json.dumps({"file_name": name, "text": caption(rng, SUBJECT, colour, place, size if index % 4 else None,
                                                                   ground if index % 3 else None)}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} pictures of a {SUBJECT} in {folder}")


def subject_prompts(options):
    rng = random.Random(options.seed)
    while options.count > 0:
        colour, place, size = rng.choice(list(COLOURS)), rng.choice(list(PLACES)), rng.choice([None, *SIZES])
        if colour in SUBJECT_COLOURS and place in SUBJECT_PLACES:
            continue
        print(caption(rng, SUBJECT, colour, place, size))
        options.count -= 1


def prompts(options):
    if options.subject:
        return subject_prompts(options)
    rng = random.Random(options.seed)
    allowed = [c for c in combinations() if (c in held_out()) == options.held_out]
    for _ in range(options.count):
        print(caption(rng, *rng.choice(allowed)))


def distance(a, b):
    return sum((u - v) ** 2 for u, v in zip(a, b))


def unit_shape(shape):
    """Centre of mass and area of a shape of radius 1."""
    if shape not in MEAN_X_Y:
        steps = [(k + 0.5) / 100 - 1.2 for k in range(240)]
        points = [(x, y) for x in steps for y in steps if SHAPES_AND_SUBJECT[shape](x, y)]
        MEAN_X_Y[shape] = (sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points), len(points) / 1e4)
    return MEAN_X_Y[shape]


def look(pixels, side):
    """(shape, colour, place) of a picture, or None where there is nothing to see."""
    border = [pixels[y * side + x] for y in range(side) for x in range(side) if x in (0, side - 1) or y in (0, side - 1)]
    ground = tuple(sorted(v[c] for v in border)[len(border) // 2] for c in range(3))
    # Ink: the mean of the pixels that differ most, so that one stray pixel decides nothing.
    farthest = sorted(pixels, key=lambda p: -distance(p, ground))[:max(4, side * side // 40)]
    ink = tuple(sum(p[c] for p in farthest) / len(farthest) for c in range(3))
    length = distance(ink, ground)
    if length < 60 ** 2:
        return None
    amount = [min(1.0, max(0.0, sum((p[c] - ground[c]) * (ink[c] - ground[c]) for c in range(3)) / length)) for p in pixels]
    amount = [a if a > 0.15 else 0.0 for a in amount]
    area = sum(amount)
    x = sum(a * (i % side + 0.5) for i, a in enumerate(amount)) / area / side
    y = sum(a * (i // side + 0.5) for i, a in enumerate(amount)) / area / side

    def misfit(shape):
        mean_x, mean_y, unit = unit_shape(shape)
        radius = math.sqrt(area / unit) / side
        wanted = coverage(shape, x - mean_x * radius, y - mean_y * radius, radius, side)
        return sum((a - b) ** 2 for a, b in zip(amount, wanted))

    shape = min(SHAPES_AND_SUBJECT, key=misfit)
    colour = min(COLOURS, key=lambda name: distance(COLOURS[name], ink))
    mean_x, mean_y, unit = unit_shape(shape)
    radius = math.sqrt(area / unit) / side
    place = min(PLACES, key=lambda name: math.dist(PLACES[name][0], (x - mean_x * radius, y - mean_y * radius)))
    return shape, colour, place


def said(text):
    words = text.split()
    places = {phrase: name for name, (_, phrase) in PLACES.items()}
    return (next(w for w in words if w in SHAPES_AND_SUBJECT), next(w for w in words if w in COLOURS),
            next(name for phrase, name in places.items() if phrase in text))


def judge(options):
    folder = Path(options.folder)
    records = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    wanted = [said(record["text"]) for record in records]
    if options.shuffle:
        random.Random(1).shuffle(wanted)
    seen = [look(*read_png(folder / record["file_name"])) for record in records]
    right = {"all": sum(a == b for a, b in zip(seen, wanted))}
    for index, name in enumerate(("shape", "colour", "place")):
        right[name] = sum(a is not None and a[index] == b[index] for a, b in zip(seen, wanted))
    apart = held_out()
    unseen = [(a, b) for a, b in zip(seen, wanted) if b in apart]
    result = {name: round(count / len(records), 4) for name, count in right.items()} | {"pictures": len(records)}
    if unseen:
        result |= {"held_out": round(sum(a == b for a, b in unseen) / len(unseen), 4), "held_out_pictures": len(unseen)}
    print(json.dumps(result))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run, count in (("make", make, 3000), ("subject", subject, None), ("prompts", prompts, 500), ("judge", judge, None)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        if name != "prompts":
            command.add_argument("folder")
        if count:
            command.add_argument("--count", type=int, default=count)
            command.add_argument("--seed", type=int, default=1 if name == "make" else 2)
        if name in ("make", "subject"):
            command.add_argument("--size", type=int, default=16)
        if name == "subject":
            command.add_argument("--seed", type=int, default=1)
        if name == "prompts":
            command.add_argument("--subject", action="store_true")
            command.add_argument("--held-out", action="store_true")
        if name == "judge":
            command.add_argument("--shuffle", action="store_true")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
