// The procedural world beside scripts/shapes.py: the same rules, the same pixels, judged by it.
#include <cstdio>
#include <set>

#include "data/images/shapes.h"
#include "data/io/json.h"
#include "tests/places.h"
#include "tests/unit/data/images/support.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

// Output of a program that must end well.
std::string run(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[256];
  while (std::fgets(buffer, sizeof buffer, pipe)) out += buffer;
  REQUIRE(::pclose(pipe) == 0);
  return out;
}

}  // namespace

TEST_CASE("a shape is rendered as scripts/shapes.py renders it, pixel by pixel") {
  const Json goldens = read_json(test::source_folder() + "/tests/fixtures/pictures/shapes.json");
  CHECK(goldens.at("renders").size() == 8);
  for (const Json& golden : goldens.at("renders")) {
    INFO(golden.at("shape") << " " << golden.at("side"));
    const ShapeRender what{.shape = golden.at("shape"),
                           .x = golden.at("x"),
                           .y = golden.at("y"),
                           .radius = golden.at("radius"),
                           .ink = golden.at("ink"),
                           .ground = golden.at("ground")};
    const Picture picture = render_shape(what, golden.at("side"));
    std::vector<int> values;
    for (const std::uint16_t v : picture.values) values.push_back(v / 257);
    CHECK(values == golden.at("pixels").get<std::vector<int>>());
  }
  CHECK_THROWS_WITH(render_shape({.shape = "star", .radius = 1}, 8), contains_text("star"));
}

TEST_CASE("held out are the combinations that scripts/shapes.py holds out") {
  const Json goldens = read_json(test::source_folder() + "/tests/fixtures/pictures/shapes.json");
  const auto held = held_out_shapes();
  REQUIRE(held.size() == goldens.at("held_out").size());
  for (std::size_t i = 0; i < held.size(); ++i)
    CHECK(Json{held[i].shape, held[i].colour, held[i].place} == goldens.at("held_out")[i]);
}

TEST_CASE(
    "the Python judge finds 99.5 % of a thousand drawn pictures right, and none is of a held-out "
    "combination") {
  const TemporaryFolder folder;
  std::string lines, first;
  std::set<std::string> captions;
  const auto held = held_out_shapes();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const DrawnShape drawn = draw_shape(17, i);
    CHECK(std::find(held.begin(), held.end(), drawn.what) == held.end());
    const std::string name = std::to_string(i) + ".png";
    write_text(folder / name, encode_png(render_shape(drawn, 16)));
    lines += Json{{"file_name", name}, {"text", drawn.caption}}.dump() + "\n";
    captions.insert(drawn.caption);
    if (i == 199) first = lines;
  }
  write_text(folder / "metadata.jsonl", lines);
  CHECK(captions.size() > 400);
  const std::string judge = "python3 " + test::source_folder() + "/scripts/shapes.py judge " + folder.path();
  const Json right = parse_json(run(judge), "judge");
  CHECK(right.at("pictures") == 1000);
  CHECK(right.at("all").get<double>() >= 0.995);
  CHECK_FALSE(right.contains("held_out"));
  write_text(folder / "metadata.jsonl", first);
  const Json shuffled = parse_json(run(judge + " --shuffle"), "judge");
  CHECK(shuffled.at("pictures") == 200);
  CHECK(shuffled.at("all").get<double>() < 0.06);
}

TEST_CASE("a drawn picture is a function of seed, number and world, and every choice is made evenly") {
  CHECK(draw_shape(17, 5).caption == draw_shape(17, 5).caption);
  CHECK(render_shape(draw_shape(17, 5), 16).values == render_shape(draw_shape(17, 5), 16).values);
  int same_seed = 0, same_world = 0, small = 0, black = 0, said = 0;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const DrawnShape drawn = draw_shape(17, i);
    same_seed += drawn.x == draw_shape(18, i).x ? 1 : 0;
    same_world += drawn.x == draw_shape(17, i, 1).x ? 1 : 0;
    small += drawn.size == "small" ? 1 : 0;
    black += drawn.ground == "black" ? 1 : 0;
    said += drawn.caption.find(" on " + drawn.ground) != std::string::npos ? 1 : 0;
    CHECK(drawn.radius >= 0.16 * 0.93);
    CHECK(drawn.radius <= 0.24 * 1.07);
  }
  CHECK(same_seed == 0);
  CHECK(same_world == 0);
  for (const int count : {small, black, said}) CHECK(std::abs(count - 1000) < 100);  // 4.5 deviations
}
