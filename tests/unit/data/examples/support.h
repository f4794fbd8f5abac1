#pragma once
// Helpers of the readers' tests.
#include <string>

#include "data/sources/examples.h"
#include "tests/complaints.h"
#include "tests/temporary_folder.h"

namespace lathe {

inline std::string read_error(const std::string& path, const ExampleOptions& options = {}) {
  return error_of([&] { read_examples(path, options); });
}

// kind, prompt and completion of each example in one comparable text; chats as JSON.
inline std::string summary(const ExampleSet& set) {
  std::string text;
  for (const auto& e : set.examples) {
    if (e.kind == ExampleKind::Chat) {
      text += e.messages.dump() + (e.tools.is_null() ? "" : e.tools.dump()) + "\n";
    } else {
      text += e.prompt + " -> " + e.completion + "\n";
    }
  }
  return text;
}

}  // namespace lathe
