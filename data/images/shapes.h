#pragma once
// A world of captioned pictures with exact rules, so that whether a model learned it can be judged without a
// model: a shape, its colour, place and size, and a background. The rules, names and numbers are those of
// scripts/shapes.py, which judges the pictures. A picture is a function of its seed and number alone.
// Thread-safe; the same pixels on every machine.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/images/picture.h"

namespace lathe {

struct ShapeCombination {
  std::string shape, colour, place;
  bool operator==(const ShapeCombination&) const = default;
};

// All 100, in the order of the lists: shape, then colour, then place.
std::vector<ShapeCombination> shape_combinations();
// Every 7th, from the fourth on: never drawn, for questions about what was never seen.
std::vector<ShapeCombination> held_out_shapes();

struct DrawnShape {
  ShapeCombination what;
  std::string size, ground;         // small | large; black | white
  double x = 0, y = 0, radius = 0;  // centre and radius in units of the side
  std::string caption;              // "a [size ]<colour> <shape> <place>[ on <ground>]"
};

// Pictures of different worlds are independent.
DrawnShape draw_shape(std::uint64_t seed, std::uint64_t index, std::uint32_t world = 0);

struct ShapeRender {
  std::string shape;  // circle, square, triangle, cross
  double x = 0, y = 0, radius = 0;
  std::array<int, 3> ink{}, ground{};  // 0 .. 255
};

// side x side pixels of RGB: the mean of 4 x 4 samples a pixel, rounded to 8 bits. Error for an unknown
// shape.
Picture render_shape(const ShapeRender& render, std::int64_t side);
Picture render_shape(const DrawnShape& drawn, std::int64_t side);

}  // namespace lathe
