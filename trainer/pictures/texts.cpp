#include "trainer/pictures/texts.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

namespace lathe {

namespace {

constexpr std::int64_t kKeptBytes = std::int64_t{1} << 30;

}  // namespace

TextCondition TextSource::one(const std::string& caption, const Encode& encode) {
  if (const auto found = cached_.find(caption)) return *found;
  if (const auto found = kept_.find(caption); found != kept_.end()) return found->second;
  const TextCondition made = encode(caption);
  const auto bytes =
      static_cast<std::int64_t>(made.tokens.nbytes() + (made.pooled.defined() ? made.pooled.nbytes() : 0));
  if (kept_bytes_ + bytes > kKeptBytes) return made;
  kept_bytes_ += bytes;
  return kept_[caption] = made;
}

TextCondition TextSource::read(const std::vector<std::string>& captions, at::ScalarType dtype,
                               const Encode& encode) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> tokens, pooled;
  for (const std::string& caption : captions) {
    const TextCondition text = one(caption, encode);
    tokens.push_back(text.tokens.to(dtype));
    if (text.pooled.defined()) pooled.push_back(text.pooled.to(dtype));
  }
  return {at::cat(tokens), pooled.empty() ? at::Tensor() : at::cat(pooled)};
}

}  // namespace lathe
