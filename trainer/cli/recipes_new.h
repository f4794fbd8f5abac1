#pragma once
// lathe recipes new: a commented recipe written from a look at a base and at examples.
#include <cstdint>
#include <string>
#include <vector>

#include "trainer/cli/command.h"

namespace lathe {

constexpr std::int64_t kFullTuningBelow = 20'000'000;  // parameters: all weights are cheap to train

struct NewRecipe {
  std::string
      model;  // a run, a Hugging Face or diffusers folder, a cached Hub id; empty: from scratch
  std::string data;  // a file or a folder of examples, or a folder of pictures
  std::string output = "recipe.yaml";
  std::vector<std::string> columns;  // "prompt=frage": which column is what, where their names do not tell
};

// Reads the base's config and tokenizer and every example (or picture), then writes `output`, which passes
// `lathe check`. Errors: a base or data that cannot be read, an example the base's template refuses, an
// output that exists.
ExitCode write_new_recipe(Context& context, const NewRecipe& wanted);

}  // namespace lathe
