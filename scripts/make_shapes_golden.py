#!/usr/bin/env python3
"""What scripts/shapes.py renders and holds out: python3 scripts/make_shapes_golden.py > tests/fixtures/pictures/shapes.json"""
import json

import shapes

CASES = [("circle", 0.28, 0.5, 0.16, "red", "black", 16), ("square", 0.72, 0.51, 0.2413, "green", "white", 16),
         ("triangle", 0.4873, 0.28, 0.2201, "blue", "white", 16), ("cross", 0.5, 0.7, 0.171, "yellow", "black", 16),
         ("circle", 0.5, 0.5, 0.25, "purple", "white", 8), ("square", 0.5, 0.5, 0.25, "red", "white", 9),
         ("triangle", 0.31, 0.53, 0.24, "green", "black", 11), ("cross", 0.7, 0.47, 0.2, "blue", "black", 12)]

renders = []
for shape, x, y, radius, ink, ground, side in CASES:
    ink, ground = shapes.COLOURS[ink], shapes.BACKGROUNDS[ground]
    pixels = [value for pixel in shapes.render(shape, x, y, radius, ink, ground, side) for value in pixel]
    renders.append({"shape": shape, "x": x, "y": y, "radius": radius, "ink": ink, "ground": ground, "side": side, "pixels": pixels})
print(json.dumps({"renders": renders, "held_out": shapes.combinations()[3::7]}))
