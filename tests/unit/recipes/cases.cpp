// Every bad recipe of tests/cases/recipes opens with the exact messages it must give (`# expect: `), and with
// the --set it is loaded with (`# set: `).
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "recipes/schema/error.h"
#include "recipes/schema/load.h"
#include "recipes/schema/yaml.h"
#include "tests/catch.h"
#include "tests/places.h"

using namespace lathe;
namespace fs = std::filesystem;

namespace {

struct Case {
  std::vector<std::string> expected, overrides;
};

Case read_case(const fs::path& file) {
  Case c;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line) && line.starts_with("# ");) {
    if (line.starts_with("# expect: ")) c.expected.push_back(line.substr(10));
    if (line.starts_with("# set: ")) c.overrides.push_back(line.substr(7));
  }
  return c;
}

}  // namespace

TEST_CASE("bad recipes give exactly the messages expected") {
  const fs::path before = fs::current_path();
  fs::current_path(fs::path(test::source_folder()) /
                   "tests/cases/recipes");  // messages name the file as it was given
  int count = 0;
  for (const auto& entry : fs::directory_iterator(".")) {
    if (entry.path().extension() != ".yaml") continue;
    const std::string file = entry.path().filename().string();
    INFO(file);
    const Case c = read_case(file);
    CHECK_FALSE(c.expected.empty());
    const LoadedRecipe loaded = load_recipe(file, c.overrides);
    std::vector<std::string> found;
    for (const RecipeProblem& problem : loaded.problems)
      found.push_back(place_text(problem.place) + ": " + problem.text);
    CHECK(found == c.expected);
    std::string all;
    for (const std::string& line : c.expected) all += (all.empty() ? "" : "\n") + line;
    try {
      throw_problems(loaded);
      FAIL_CHECK("throw_problems returned");
    } catch (const Error& error) {
      CHECK(error.what() == all);
      CHECK(error.code() == ExitCode::Usage);
    }
    ++count;
  }
  fs::current_path(before);
  REQUIRE(count > 90);
}
