#include "data/tokenizers/token_model.h"

#include <cstdio>

namespace lathe {

constexpr TokenId kMaxTokenId = TokenId{1} << 24;

void Vocabulary::add(std::string text, TokenId id, const std::string& where) {
  require(id < kMaxTokenId, where, ": token '", text, "' has id ", id, ", larger than any vocabulary (",
          kMaxTokenId, ")");
  require(!has(id), where, ": id ", id, " is given to two tokens");
  require(index_.emplace(text, id).second, where, ": token '", text, "' has two ids");
  if (id >= texts_.size()) {
    texts_.resize(id + 1);
    present_.resize(id + 1);
  }
  texts_[id] = std::move(text);
  present_[id] = true;
}

std::optional<TokenId> Vocabulary::find(std::string_view text) const {
  const auto found = index_.find(text);
  if (found == index_.end()) return std::nullopt;
  return found->second;
}

ByteIds byte_fallback_ids(const Vocabulary& vocabulary) {
  ByteIds ids;
  for (unsigned byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    ids[byte] = vocabulary.find(text);
  }
  return ids;
}

}  // namespace lathe
