#include "recipes/schema/rules.h"

#include <algorithm>

namespace lathe {

bool Rules::sound(std::initializer_list<const char*> keys) const {
  return std::none_of(keys.begin(), keys.end(), [&](const char* key) {
    const std::string below = std::string(key);
    return std::any_of(context_.broken.begin(), context_.broken.end(), [&](const std::string& broken) {
      return broken.empty() || broken == below || broken.starts_with(below + ".") ||
             broken.starts_with(below + "[") || below.starts_with(broken + ".");
    });
  });
}

Place Rules::place(std::initializer_list<const char*> keys) const {
  for (const char* key : keys)
    if (given(key)) return place(key);
  return place(*(keys.end() - 1));
}

void Rules::note(const std::string& key, const std::string& text) {
  notes_.push_back(cat("note: ", source_text(place(key)), ": '", key, "' ", text));
}

bool Rules::has_validation() const {
  const ValidationSection& v = r_.data.validation;
  return v.share > 0 || v.folds.folds > 0 || !v.sets.empty();
}

bool draws_by_class(const std::string& family) { return family == "unet2d" || family == "dit"; }

}  // namespace lathe
