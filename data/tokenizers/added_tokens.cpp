#include "data/tokenizers/added_tokens.h"

#include <algorithm>

#include "data/tokenizers/unicode_class.h"

namespace lathe {
namespace {

// The character that ends at `end`, and where it begins.
std::pair<char32_t, std::size_t> character_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return {scan_utf8(text, begin).value, begin};
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin > 0 && is_word_character(character_before(text, begin).first)) return false;
  return end == text.size() || !is_word_character(scan_utf8(text, end).value);
}

std::size_t spaces_before(std::string_view text, std::size_t at) {
  while (at > 0) {
    const auto [c, begin] = character_before(text, at);
    if (!is_white_space(c)) break;
    at = begin;
  }
  return at;
}

std::size_t spaces_after(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const Scanned c = scan_utf8(text, at);
    if (!is_white_space(c.value)) break;
    at += c.length;
  }
  return at;
}

// Whether a special token there is a control token: never where the text is a user's.
bool may_be_control(const EncodeOptions& options, const Span& place) {
  if (!options.parse_special) return false;
  const auto next = std::lower_bound(options.literal.begin(), options.literal.end(), place.begin,
                                     [](const ByteRange& range, std::size_t at) { return range.end <= at; });
  return next == options.literal.end() || next->begin >= place.end;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer)
    : tokens_(std::move(tokens)) {
  std::vector<std::pair<std::string, std::uint32_t>> raw, normalized;
  for (std::uint32_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    by_id_.emplace(token.id, i);
    if (!token.normalized) {
      raw.emplace_back(token.content, i);
    } else if (normalizer) {
      normalized.emplace_back(normalizer->apply(AlignedText(token.content, 0)).view(), i);
    } else {
      normalized.emplace_back(token.content, i);
    }
  }
  raw_ = ByteTrie(std::move(raw));
  normalized_ = ByteTrie(std::move(normalized));
}

std::vector<Section> AddedTokens::split(const ByteTrie& matcher, const AlignedText& aligned,
                                        const EncodeOptions& options) const {
  const std::string_view text = aligned.view();
  std::vector<Section> sections;
  std::size_t done = 0;
  for (std::size_t from = 0;;) {
    const auto match = matcher.next_longest(text, from);
    if (!match) break;
    from = match->end;
    const AddedToken& token = tokens_[match->value];
    if (token.special && !may_be_control(options, aligned.origin(match->begin, match->end))) continue;
    if (token.single_word && !stands_alone(text, match->begin, match->end)) continue;
    const std::size_t begin = std::max(token.lstrip ? spaces_before(text, match->begin) : match->begin, done);
    const std::size_t end = std::max(token.rstrip ? spaces_after(text, match->end) : match->end, begin);
    if (begin > done) sections.push_back({done, begin});
    sections.push_back({begin, end, &token});
    done = end;
    from = std::max(from, done);
  }
  if (done < text.size()) sections.push_back({done, text.size()});
  return sections;
}

std::vector<Section> AddedTokens::split_raw(std::string_view text, const EncodeOptions& options) const {
  return split(raw_, AlignedText(text, 0), options);
}

std::vector<Section> AddedTokens::split_normalized(const AlignedText& text,
                                                   const EncodeOptions& options) const {
  return split(normalized_, text, options);
}

const AddedToken* AddedTokens::find(TokenId id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  for (const AddedToken& token : tokens_) {
    if (token.content == content) return &token;
  }
  return nullptr;
}

}  // namespace lathe
