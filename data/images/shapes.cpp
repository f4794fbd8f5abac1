#include "data/images/shapes.h"

#include <algorithm>
#include <cmath>

#include "data/random/philox.h"
#include "recipes/schema/error.h"

// A fused multiply-add would move the edge of a shape from machine to machine.
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

namespace lathe {
namespace {

struct Named {
  const char* name;
  std::array<int, 3> value;
};
constexpr std::array<Named, 5> kColours = {{{"red", {220, 30, 30}},
                                            {"green", {30, 180, 50}},
                                            {"blue", {40, 70, 230}},
                                            {"yellow", {240, 220, 40}},
                                            {"purple", {160, 40, 190}}}};
constexpr std::array<Named, 2> kGrounds = {{{"black", {0, 0, 0}}, {"white", {255, 255, 255}}}};

struct Place {
  const char *name, *phrase;
  double x, y;  // centre in units of the side
};
constexpr std::array<Place, 5> kPlaces = {{{"left", "on the left", 0.28, 0.5},
                                           {"right", "on the right", 0.72, 0.5},
                                           {"top", "at the top", 0.5, 0.28},
                                           {"bottom", "at the bottom", 0.5, 0.72},
                                           {"centre", "in the centre", 0.5, 0.5}}};
struct Size {
  const char* name;
  double radius;
};
constexpr std::array<Size, 2> kSizes = {{{"small", 0.16}, {"large", 0.24}}};
constexpr int kGrid = 4;  // samples a side of a pixel

// Whether (x, y) lies in a shape of radius 1 around the origin; y grows downwards.
using Inside = bool (*)(double x, double y);
struct Shape {
  const char* name;
  Inside inside;
};
constexpr std::array<Shape, 4> kShapes = {
    {{"circle", [](double x, double y) { return x * x + y * y <= 1; }},
     {"square", [](double x, double y) { return std::max(std::fabs(x), std::fabs(y)) <= 0.86; }},
     {"triangle", [](double x, double y) { return -1 <= y && y <= 0.8 && std::fabs(x) <= (y + 1) * 0.61; }},
     {"cross", [](double x, double y) {
        return std::max(std::fabs(x), std::fabs(y)) <= 1 && std::min(std::fabs(x), std::fabs(y)) <= 0.34;
      }}}};

template <class List>
const auto& named(const List& list, const std::string& name) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& item) { return item.name == name; });
  require(found != list.end(), "there is no '", name, "' in the world of shapes");
  return *found;
}

// What each random number of a picture decides; never renumber: pictures depend on it.
enum Draw : std::uint64_t { kCombination, kSize, kGround, kShiftX, kShiftY, kRadius, kSaySize, kSayGround };

const std::vector<ShapeCombination>& drawn_combinations() {
  static const std::vector<ShapeCombination> allowed = [] {
    const auto held = held_out_shapes();
    auto all = shape_combinations();
    std::erase_if(all, [&](const auto& c) { return std::find(held.begin(), held.end(), c) != held.end(); });
    return all;
  }();
  return allowed;
}

}  // namespace

std::vector<ShapeCombination> shape_combinations() {
  std::vector<ShapeCombination> all;
  for (const Shape& shape : kShapes)
    for (const Named& colour : kColours)
      for (const Place& place : kPlaces) all.push_back({shape.name, colour.name, place.name});
  return all;
}

std::vector<ShapeCombination> held_out_shapes() {
  const auto all = shape_combinations();
  std::vector<ShapeCombination> held;
  for (std::size_t i = 3; i < all.size(); i += 7) held.push_back(all[i]);
  return held;
}

DrawnShape draw_shape(std::uint64_t seed, std::uint64_t index, std::uint32_t world) {
  const RandomStream random({.seed = seed, .purpose = Purpose::Generate, .site = world, .sample = index});
  const auto choose = [&](Draw draw, std::size_t count) {
    return static_cast<std::size_t>((std::uint64_t{random.bits(draw)} * count) >> 32);
  };
  const auto between = [&](Draw draw, double low, double high) {
    return low + (high - low) * random.uniform(draw);
  };
  DrawnShape drawn;
  drawn.what = drawn_combinations()[choose(kCombination, drawn_combinations().size())];
  const Size& size = kSizes[choose(kSize, kSizes.size())];
  const Named& ground = kGrounds[choose(kGround, kGrounds.size())];
  const Place& place = named(kPlaces, drawn.what.place);
  drawn.size = size.name;
  drawn.ground = ground.name;
  drawn.x = place.x + between(kShiftX, -0.05, 0.05);
  drawn.y = place.y + between(kShiftY, -0.05, 0.05);
  drawn.radius = size.radius * between(kRadius, 0.93, 1.07);
  drawn.caption =
      cat("a ", choose(kSaySize, 2) == 0 ? drawn.size + " " : "", drawn.what.colour, " ", drawn.what.shape,
          " ", place.phrase, choose(kSayGround, 2) == 0 ? " on " + drawn.ground : "");
  return drawn;
}

Picture render_shape(const ShapeRender& render, std::int64_t side) {
  const Inside inside = named(kShapes, render.shape).inside;
  Picture picture{.width = side, .height = side, .channels = 3};
  picture.values.reserve(static_cast<std::size_t>(3 * side * side));
  const auto at = [&](std::int64_t pixel, int step, double centre) {
    return ((static_cast<double>(pixel) + (step + 0.5) / kGrid) / static_cast<double>(side) - centre) /
           render.radius;
  };
  for (std::int64_t row = 0; row < side; ++row) {
    for (std::int64_t column = 0; column < side; ++column) {
      int hits = 0;
      for (int v = 0; v < kGrid; ++v)
        for (int u = 0; u < kGrid; ++u) hits += inside(at(column, u, render.x), at(row, v, render.y)) ? 1 : 0;
      const double ink = hits / static_cast<double>(kGrid * kGrid);
      for (std::size_t c = 0; c < 3; ++c) {
        const double value =
            std::nearbyint(render.ink[c] * ink + render.ground[c] * (1 - ink));  // halves to even
        picture.values.push_back(static_cast<std::uint16_t>(257 * static_cast<int>(value)));
      }
    }
  }
  return picture;
}

Picture render_shape(const DrawnShape& drawn, std::int64_t side) {
  return render_shape({.shape = drawn.what.shape,
                       .x = drawn.x,
                       .y = drawn.y,
                       .radius = drawn.radius,
                       .ink = named(kColours, drawn.what.colour).value,
                       .ground = named(kGrounds, drawn.ground).value},
                      side);
}

}  // namespace lathe
