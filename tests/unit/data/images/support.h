#pragma once
// Small folders of pictures for the tests of pictures as data.
#include <filesystem>
#include <fstream>
#include <string>

#include "data/images/picture.h"
#include "recipes/schema/recipe.h"
#include "tests/catch.h"
#include "tests/temporary_folder.h"

namespace lathe::testing {

// Every pixel (r, g, b), 8 bits.
inline Picture plain_picture(std::int64_t width, std::int64_t height, int r, int g, int b) {
  Picture picture{.width = width, .height = height, .channels = 3};
  for (std::int64_t i = 0; i < width * height; ++i)
    for (const int v : {r, g, b}) picture.values.push_back(static_cast<std::uint16_t>(257 * v));
  return picture;
}

inline void write_plain(const std::string& path, std::int64_t width, std::int64_t height, int r, int g,
                        int b) {
  write_text(path, encode_png(plain_picture(width, height, r, g, b)));
}

inline SourceSection pictures_in(const std::string& path, const std::string& glob = "") {
  SourceSection section;
  section.path = path;
  section.glob = glob;
  return section;
}

inline SourceSection drawn(std::int64_t count, const std::string& name = "") {
  SourceSection section;
  section.generate = "shapes";
  section.count = count;
  section.name = name;
  return section;
}

// Reads `train`, with shards below `folder`.
inline Recipe picture_recipe(const TemporaryFolder& folder, const SourceSection& train, std::int64_t side) {
  Recipe recipe;
  recipe.name = "pictures";
  recipe.directory = folder / "runs/pictures";
  recipe.data.train = {train};
  recipe.data.resolution = {side};
  return recipe;
}

}  // namespace lathe::testing
