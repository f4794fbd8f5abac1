#pragma once
// What preview shows of a diffusion recipe.
#include <string>

#include "recipes/schema/recipe.h"
#include "trainer/cli/command.h"

namespace lathe {

struct PicturePreview {
  std::int64_t count = 16;
  std::string output;   // of the contact sheet; empty: preview.png beside the shards
  bool strict = false;  // notes are an error
};

// The notes on the data, a line for each of the first rows as the loader gives them (name, size, variant,
// caption), and one PNG with those pictures, what a mask leaves out in grey.
ExitCode preview_pictures(Context& context, const Recipe& recipe, const PicturePreview& options);

}  // namespace lathe
