#include "data/templates/fill_in_middle.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "data/io/hash.h"
#include "data/io/utf8.h"
#include "data/random/philox.h"
#include "data/templates/marked_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::array<std::array<const char*, 3>, 6> kNames = {{
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},
    {"<PRE>", "<SUF>", "<MID>"},
    {"\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"},
    {"[PREFIX]", "[SUFFIX]", "[MIDDLE]"},
}};

// Left in a row for the three markers, EOS, and what cutting words in two adds.
constexpr std::size_t kFimRoom = 16;

struct Part {
  TokenId id;
  std::string piece;
  bool middle;
};

class Parts {
 public:
  explicit Parts(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  void token(TokenId id, bool middle = false) { parts.push_back({id, tokenizer_.token_text(id), middle}); }
  void text(const std::string& text, bool middle = false) {
    const Encoding encoded = tokenizer_.encode(text);
    for (std::size_t i = 0; i < encoded.ids.size(); ++i) {
      parts.push_back(
          {encoded.ids[i], text.substr(encoded.begin[i], encoded.end[i] - encoded.begin[i]), middle});
    }
  }
  std::vector<Part> parts;

 private:
  const Tokenizer& tokenizer_;
};

Parts before_middle(const std::string& prefix, const std::string& suffix, const FimTokens& tokens,
                    const Tokenizer& tokenizer, FimOrder order) {
  Parts out(tokenizer);
  out.token(tokens.prefix);
  if (order == FimOrder::PrefixSuffixMiddle) out.text(prefix);
  out.token(tokens.suffix);
  out.text(suffix);
  out.token(tokens.middle);
  if (order == FimOrder::SuffixPrefixMiddle) out.text(prefix);
  return out;
}

Parts parts_of_split(const std::string& text, const FimSplit& split, const FimTokens& tokens,
                     const Tokenizer& tokenizer) {
  const auto between = [&](std::size_t at) {
    return at <= text.size() && (at == text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80);
  };
  require(split.begin <= split.end && between(split.begin) && between(split.end), "a split at ", split.begin,
          " and ", split.end, " does not cut a text of ", text.size(), " bytes between characters");
  const auto eos = tokenizer.special().eos;
  require(eos.has_value(), "the tokenizer names no end-of-text token (eos_token)");
  Parts all =
      before_middle(text.substr(0, split.begin), text.substr(split.end), tokens, tokenizer, split.order);
  all.text(text.substr(split.begin, split.end - split.begin), true);
  all.token(*eos, true);
  return all;
}

std::vector<TokenId> ids_of_split(const std::string& text, const FimSplit& split, const FimTokens& tokens,
                                  const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  for (const Part& part : parts_of_split(text, split, tokens, tokenizer).parts) ids.push_back(part.id);
  return ids;
}

}  // namespace

std::optional<FimTokens> find_fim_tokens(const Tokenizer& tokenizer) {
  for (const auto& names : kNames) {
    const auto prefix = tokenizer.token_id(names[0]), suffix = tokenizer.token_id(names[1]);
    const auto middle = tokenizer.token_id(names[2]);
    if (prefix && suffix && middle) return FimTokens{*prefix, *suffix, *middle};
  }
  return std::nullopt;
}

FimSplit draw_fim_split(const std::string& text, const FimKey& key) {
  const std::vector<std::size_t> places = character_offsets(text);
  const RandomStream draw(
      {.seed = key.seed, .purpose = Purpose::FillInMiddle, .visit = key.visit, .sample = key.document});
  const auto place = [&](std::uint64_t element) {  // 64 bits by 32: even to one part in 2^32
    return places[static_cast<std::size_t>((std::uint64_t{draw.bits(element)} * places.size()) >> 32)];
  };
  FimSplit split;
  const std::size_t a = place(0), b = place(1);
  split.begin = std::min(a, b);
  split.end = std::max(a, b);
  split.order = draw.uniform(2) < key.spm_share ? FimOrder::SuffixPrefixMiddle : FimOrder::PrefixSuffixMiddle;
  return split;
}

bool takes_fim(const FimKey& key, double rate) {
  const RandomStream draw(
      {.seed = key.seed, .purpose = Purpose::FillInMiddle, .visit = key.visit, .sample = key.document});
  return draw.uniform(3) < rate;
}

std::vector<std::vector<TokenId>> fim_documents(const std::string& text, const Encoding& encoding,
                                                std::size_t length, const FimRule& rule,
                                                const Tokenizer& tokenizer) {
  const std::size_t count = encoding.ids.size(), piece = length > 2 * kFimRoom ? length - kFimRoom : length;
  std::vector<std::vector<TokenId>> documents;
  std::vector<TokenId> plain;  // of pieces that stay, so far
  const auto flush = [&] {
    if (!plain.empty()) documents.push_back(std::exchange(plain, {}));
  };
  for (std::size_t begin = 0; begin < count; begin += piece) {
    const std::size_t end = std::min(begin + piece, count);
    const std::size_t from = begin == 0 ? 0 : encoding.end[begin - 1],
                      to = end == count ? text.size() : encoding.end[end - 1];
    const std::string part = text.substr(from, to - from);
    const FimKey key{
        .seed = rule.seed, .document = xxh3(std::as_bytes(std::span(part))), .spm_share = rule.spm_rate};
    // A token may be a part of a character; such a piece stays.
    if (takes_fim(key, rule.rate) && !first_invalid_utf8(part)) {
      std::vector<TokenId> moved = ids_of_split(part, draw_fim_split(part, key), rule.tokens, tokenizer);
      if (moved.size() <= length) {
        flush();
        documents.push_back(std::move(moved));
        continue;
      }
    }
    plain.insert(plain.end(), encoding.ids.begin() + static_cast<std::ptrdiff_t>(begin),
                 encoding.ids.begin() + static_cast<std::ptrdiff_t>(end));
    if (end == count) plain.push_back(*tokenizer.special().eos);
  }
  flush();
  return documents;
}

TokenExample render_fim(const std::string& text, const FimSplit& split, const FimTokens& tokens,
                        const Tokenizer& tokenizer, LossOn loss_on) {
  Parts all = parts_of_split(text, split, tokens, tokenizer);
  TokenExample out;
  const auto push = [&](TokenId id, std::string piece, bool supervised) {
    out.ids.push_back(id);
    out.supervised.push_back(supervised ? 1 : 0);
    out.pieces.push_back(std::move(piece));
  };
  for (const TokenId id : leading_tokens(tokenizer)) push(id, tokenizer.token_text(id), false);
  for (Part& part : all.parts) push(part.id, std::move(part.piece), part.middle || loss_on == LossOn::All);
  return out;
}

std::vector<TokenId> render_fim_prompt(const std::string& prefix, const std::string& suffix,
                                       const FimTokens& tokens, const Tokenizer& tokenizer, FimOrder order) {
  std::vector<TokenId> ids = leading_tokens(tokenizer);
  for (const Part& part : before_middle(prefix, suffix, tokens, tokenizer, order).parts)
    ids.push_back(part.id);
  return ids;
}

}  // namespace lathe
