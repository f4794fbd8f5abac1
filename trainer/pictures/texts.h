#pragma once
// What a frozen text encoder makes of captions: from the cache (cached_encodings.h), or made once and kept in
// memory as far as kKeptBytes reach. Each is made by itself, so that what a network reads does not depend on
// which captions stand beside it, nor on the cache. One thread at a time.
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "trainer/pictures/cached_encodings.h"

namespace lathe {

class TextSource {
 public:
  using Encode = std::function<TextCondition(const std::string& caption)>;  // (1, L, C), (1, P)
  TextSource() = default;
  explicit TextSource(CachedTexts cached) : cached_(std::move(cached)) {}
  // (B, L, C) and (B, P) of the captions, in `dtype`; `encode` makes what is not there. No gradient.
  TextCondition read(const std::vector<std::string>& captions, at::ScalarType dtype, const Encode& encode);

 private:
  TextCondition one(const std::string& caption, const Encode& encode);

  CachedTexts cached_;
  std::unordered_map<std::string, TextCondition> kept_;
  std::int64_t kept_bytes_ = 0;
};

}  // namespace lathe
