#!/usr/bin/env python3
"""Digits as a hand would write them: strokes of our own, bent, turned, slanted and thick or thin by chance; no font.

    scripts/digits.py make FOLDER [--count 6000] [--size 16] [--seed 1]    FOLDER/<digit>/<number>.png, as many of each digit
    scripts/digits.py judge FOLDER [--size 16] [--seed 1] [--count 6000]   of `lathe sample`'s pictures: how many are the digit that
                                                                           metadata.jsonl says, and how far apart those of a digit are

`make` needs Python alone. `judge` needs torch and Pillow (the python that scripts/peers_env prints): a small convolutional network is
trained on digits of another seed than those of `make` (first judged itself on digits of a third), and looks at the pictures alone.
--seed, --size and --count are those of `make`: its pictures are made again to say how near the drawn ones are to them.
"""
import argparse
import json
import math
import random
import sys
from multiprocessing import Pool
from pathlib import Path

from shapes import write_png

BEND = 8   # points of a curve between two of its knots
# Ways of writing each digit: strokes in the unit square, x to the right, y down; "c" is a curve through its knots, "l" lines.
GLYPHS = [
    [[("c", (.5, .17), (.34, .27), (.3, .5), (.35, .74), (.5, .83), (.65, .74), (.7, .5), (.66, .27), (.5, .17))]],
    [[("l", (.5, .17), (.5, .83))], [("l", (.37, .32), (.52, .17), (.52, .83))],
     [("l", (.36, .32), (.5, .17), (.5, .83)), ("l", (.34, .83), (.66, .83))]],
    [[("c", (.31, .33), (.38, .2), (.54, .17), (.67, .27), (.64, .44), (.46, .64), (.3, .83)), ("l", (.3, .83), (.71, .83))],
     [("c", (.31, .33), (.4, .19), (.6, .19), (.67, .36), (.54, .6), (.36, .8), (.3, .78), (.4, .72), (.55, .81), (.71, .78))]],
    [[("c", (.32, .25), (.48, .16), (.66, .26), (.62, .42), (.45, .48)), ("c", (.45, .48), (.65, .53), (.7, .68), (.55, .83), (.3, .76))],
     [("l", (.31, .18), (.68, .18), (.46, .44)), ("c", (.46, .44), (.66, .5), (.69, .68), (.54, .83), (.3, .76))]],
    [[("l", (.37, .17), (.29, .56), (.72, .56)), ("l", (.61, .34), (.6, .84))],
     [("l", (.6, .84), (.6, .17), (.28, .6), (.74, .6))]],
    [[("l", (.67, .18), (.37, .18), (.34, .45)), ("c", (.34, .45), (.52, .4), (.69, .52), (.66, .73), (.48, .83), (.3, .76))]],
    [[("c", (.62, .17), (.43, .32), (.32, .56), (.37, .77), (.53, .83), (.67, .71), (.61, .55), (.46, .52), (.34, .63))]],
    [[("l", (.29, .18), (.7, .18), (.45, .83))], [("l", (.29, .18), (.7, .18), (.45, .83)), ("l", (.4, .5), (.66, .5))]],
    [[("c", (.5, .48), (.36, .39), (.36, .24), (.5, .17), (.64, .24), (.64, .39), (.5, .48), (.34, .58), (.34, .75), (.5, .83),
       (.66, .75), (.66, .58), (.5, .48))]],
    [[("c", (.65, .36), (.55, .5), (.4, .47), (.33, .33), (.43, .19), (.58, .19), (.66, .36)), ("l", (.66, .34), (.62, .83))],
     [("c", (.65, .36), (.55, .5), (.4, .47), (.33, .33), (.43, .19), (.58, .19), (.66, .36), (.66, .55), (.58, .75), (.42, .83))]],
]


def curve(knots):
    """Points of the Catmull-Rom spline through the knots."""
    ends = [knots[0], *knots, knots[-1]]
    points = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:]):
        for k in range(BEND):
            t = k / BEND
            points.append(tuple(0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t * t + (3 * q - p - 3 * r + s) * t ** 3)
                                for p, q, r, s in zip(a, b, c, d)))
    return points + [knots[-1]]


def strokes(rng, digit):
    """Segments of a digit after its own bending, size, slant and turn."""
    turn, slant = rng.gauss(0, 0.10), rng.gauss(0, 0.12)
    wide, high = rng.uniform(0.85, 1.2), rng.uniform(0.85, 1.12)
    dx, dy = rng.gauss(0, 0.03), rng.gauss(0, 0.03)
    moved = {}

    def place(point):
        if point not in moved:   # a knot that two strokes share moves once
            x, y = ((v - 0.5 + rng.gauss(0, 0.016)) * s for v, s in zip(point, (wide, high)))
            x -= slant * y
            moved[point] = (0.5 + dx + x * math.cos(turn) - y * math.sin(turn), 0.5 + dy + x * math.sin(turn) + y * math.cos(turn))
        return moved[point]

    segments = []
    for kind, *knots in rng.choice(GLYPHS[digit]):
        points = [place(knot) for knot in knots]
        points = curve(points) if kind == "c" else points
        segments += list(zip(points, points[1:]))
    return segments


def distance_to(px, py, segment):
    (ax, ay), (bx, by) = segment
    ux, uy = bx - ax, by - ay
    length = ux * ux + uy * uy
    t = max(0.0, min(1.0, ((px - ax) * ux + (py - ay) * uy) / length)) if length > 0 else 0.0
    return math.hypot(px - ax - t * ux, py - ay - t * uy)


def render(digit, seed, side):
    """Grey values of side x side, row by row: light ink on dark ground."""
    rng = random.Random(f"{seed} {digit}")
    segments = strokes(rng, digit)
    radius, edge, ink, ground = rng.uniform(0.035, 0.065), 0.75 / side, rng.uniform(215, 255), rng.uniform(0, 18)
    reach, nearest = radius + edge, [math.inf] * (side * side)
    for segment in segments:   # pixels that it can cover
        columns, rows = (range(max(0, math.floor((min(values) - reach) * side)), min(side, math.ceil((max(values) + reach) * side)))
                         for values in zip(*segment))
        for row in rows:
            for column in columns:
                away = distance_to((column + 0.5) / side, (row + 0.5) / side, segment)
                nearest[row * side + column] = min(nearest[row * side + column], away)
    values = []
    for away in nearest:
        cover = max(0.0, min(1.0, 0.5 + (radius - away) / (2 * edge)))
        values.append(round(max(0, min(255, ground + (ink - ground) * cover + rng.gauss(0, 3)))))
    return values


def render_one(job):
    return render(*job)


def digits(count, seed, side):
    """`count` digits, of each as many: [(digit, values)]."""
    jobs = [(i % 10, f"{seed}/{i}", side) for i in range(count)]
    with Pool() as pool:
        return [(job[0], values) for job, values in zip(jobs, pool.imap(render_one, jobs, chunksize=100))]


def make(options):
    folder = Path(options.folder)
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
    for index, (digit, values) in enumerate(digits(options.count, options.seed, options.size)):
        write_png(folder / str(digit) / f"{index:05}.png", [(value,) * 3 for value in values], options.size)
    print(f"{options.count} digits of {options.size} x {options.size} in {folder}")


def tensors(pairs, side):
    import torch
    labels = torch.tensor([digit for digit, _ in pairs])
    return torch.tensor([values for _, values in pairs], dtype=torch.float32).view(-1, 1, side, side) / 127.5 - 1, labels


def train_judge(pictures, labels):
    import torch
    from torch import nn
    with torch.random.fork_rng():
        torch.manual_seed(0)
        side = pictures.shape[-1] // 4
        judge = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                              nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * side * side, 64), nn.ReLU(), nn.Linear(64, 10))
        optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3)
        for _ in range(8):
            for rows in torch.randperm(len(labels)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(judge(pictures[rows]), labels[rows]).backward()
                optimizer.step()
    return judge


def drawn_pictures(folder, side):
    """What metadata.jsonl names: pictures as -1 .. 1, and the digits they were asked to be."""
    from PIL import Image
    pairs = []
    for line in (folder / "metadata.jsonl").read_text().splitlines():
        record = json.loads(line)
        with Image.open(folder / record["file_name"]) as picture:
            grey = picture.convert("L")
            if grey.size != (side, side):
                sys.exit(f"{folder / record['file_name']}: wanted {side} x {side}, found {grey.size}")
            pairs.append((int(record["text"]), list(grey.tobytes())))
    return tensors(pairs, side)


def spread(pictures, labels):
    """Mean distance of two pictures of the same digit, digit by digit."""
    import torch
    return torch.stack([torch.pdist(pictures[labels == digit].flatten(1)).mean() for digit in range(10)])


def judge(options):
    import torch
    side, seed = options.size, options.seed
    pictures, labels = drawn_pictures(Path(options.folder), side)
    learned = tensors(digits(options.count, f"{seed}-judge", side), side)
    held_out = tensors(digits(2000, f"{seed}-held-out", side), side)
    model = train_judge(*learned)
    with torch.no_grad():
        right = lambda pair: (model(pair[0]).argmax(1) == pair[1])
        each = right((pictures, labels))
        known = tensors(digits(options.count, seed, side), side)[0].flatten(1)
        nearest = lambda some: torch.cdist(some.flatten(1), known).min(1).values.mean().item()
        ratios = spread(pictures, labels) / spread(*held_out)
        print(json.dumps({
            "pictures": len(labels), "right": each.float().mean().item(), "judge_on_real": right(held_out).float().mean().item(),
            "right_by_digit": {str(d): round(each[labels == d].float().mean().item(), 4) for d in range(10)},
            "diversity": ratios.mean().item(), "smallest_diversity": ratios.min().item(), "largest_diversity": ratios.max().item(),
            "nearest_training_picture": nearest(pictures) / nearest(held_out[0])}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, action in (("make", make), ("judge", judge)):
        command = commands.add_parser(name)
        command.add_argument("folder")
        command.add_argument("--count", type=int, default=6000)
        command.add_argument("--size", type=int, default=16)
        command.add_argument("--seed", default="1")
        command.set_defaults(action=action)
    options = parser.parse_args()
    options.action(options)


if __name__ == "__main__":
    main()
