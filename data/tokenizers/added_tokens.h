#pragma once
// The "added_tokens" of tokenizer.json: texts that are found before the model sees anything. Those marked
// special are control tokens and are found only where the caller allows it.
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenizers/aligned_text.h"
#include "data/tokenizers/byte_trie.h"
#include "data/tokenizers/normalizers.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool special = false, normalized = false, lstrip = false, rstrip = false, single_word = false;
};

struct Section {  // of a text: an added token, or text in between
  std::size_t begin, end;
  const AddedToken* token = nullptr;
};

class AddedTokens {
 public:
  // `normalizer` may be null; it is applied to the content of tokens that are looked for in normalized text.
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer);
  AddedTokens(const AddedTokens&) = delete;
  AddedTokens& operator=(const AddedTokens&) = delete;

  std::vector<Section> split_raw(std::string_view text, const EncodeOptions& options) const;
  std::vector<Section> split_normalized(const AlignedText& text, const EncodeOptions& options) const;
  const AddedToken* find(TokenId id) const;
  const AddedToken* find(std::string_view content) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  std::vector<Section> split(const ByteTrie& matcher, const AlignedText& text,
                             const EncodeOptions& options) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<TokenId, std::size_t> by_id_;
  ByteTrie raw_, normalized_;
};

}  // namespace lathe
