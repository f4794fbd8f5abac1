// The published instruction sets in the folder beside the checkout, where it is there.
#include <filesystem>
#include <iostream>
#include <map>

#include "tests/catch.h"
#include "tests/shared_data.h"
#include "tests/unit/data/examples/support.h"

using namespace lathe;

TEST_CASE("published instruction sets are read whole") {
  const std::string folder = test::shared_data("instruct/");
  if (test::skipped_without(folder)) return;
  struct Wanted {
    std::string file, format;
    std::size_t count;
  };
  const Wanted all[] = {
      {"alpaca_en_demo.json", "alpaca", 999},
      {"identity.json", "alpaca", 91},
      {"instruction-data.json", "alpaca", 1100},
      {"instruction-data-with-preference.json", "alpaca", 1100},
      {"glaive_toolcall_en_demo.json", "sharegpt", 300},
      {"c4_demo.jsonl", "text", 300},
      {"train_ft.jsonl", "messages", 0},
      {"mlx/train.jsonl", "text", 1000},
      {"mlx/wwdc25/data/train.jsonl", "prompt_completion", 0},
  };
  for (const auto& wanted : all) {
    INFO(wanted.file);
    const auto set = read_examples(folder + wanted.file);
    CHECK(set.files[0].shape.format == wanted.format);
    if (wanted.count) CHECK(set.examples.size() == wanted.count);
  }
  CHECK(contains(read_error(folder + "dpo_en_demo.json"), "at least one assistant message"));
}
