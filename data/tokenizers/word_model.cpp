#include "data/tokenizers/word_model.h"

#include <algorithm>

#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::string_view kMark = "\xE2\x96\x81";

}  // namespace

void WordModel::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  require(piece.size() < 0xFFFFFFFFU, "one piece of text has ", piece.size(),
          " bytes; split it into documents below 4 GiB");
  std::vector<Symbol> tokens;
  for (std::size_t begin = 0; begin < piece.size();) {
    const std::size_t end = std::min(piece.find(kMark, begin + 1), piece.size());
    const auto first = static_cast<std::uint32_t>(begin), last = static_cast<std::uint32_t>(end);
    const auto word = options_.words.find(piece.substr(begin, end - begin));
    if (word != options_.words.end())
      tokens.push_back({word->second, first, last});
    else
      push_unknown(piece, first, last, tokens);
    begin = end;
  }
  out.insert(out.end(), tokens.begin(), tokens.end());
}

void WordModel::push_unknown(std::string_view piece, std::uint32_t begin, std::uint32_t end,
                             std::vector<Symbol>& out) const {
  const bool joins = options_.unk && !out.empty() && out.back().id == *options_.unk;
  for (std::uint32_t i = begin; i < end && options_.byte_fallback; ++i) {
    if (const auto id = byte_ids_[static_cast<unsigned char>(piece[i])]) out.push_back({*id, i, i + 1});
  }
  if (options_.byte_fallback || !options_.unk) return;
  if (joins)
    out.back().end = end;
  else
    out.push_back({*options_.unk, begin, end});
}

}  // namespace lathe
