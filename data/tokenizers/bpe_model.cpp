#include "data/tokenizers/bpe_model.h"

#include <atomic>
#include <limits>

#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/token_cache.h"
#include "data/tokenizers/unicode_class.h"

namespace lathe {
namespace {

std::uint64_t next_identity() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

std::size_t shape(bool first, bool last) { return (first ? 1u : 0u) + (last ? 2u : 0u); }

}  // namespace

BpeModel::BpeModel(Vocabulary vocabulary, MergeTable merges, BpeOptions options)
    : TokenModel(std::move(vocabulary)),
      merges_(std::move(merges)),
      options_(std::move(options)),
      identity_(next_identity()),
      fallback_ids_(byte_fallback_ids(vocabulary_)) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    for (const bool first : {false, true}) {
      for (const bool last : {false, true}) {
        byte_ids_[shape(first, last)][byte] = character_id(byte_characters()[byte], first, last);
      }
    }
  }
  learn_neighbours();
  if (!options_.bytes || !options_.ignore_merges) return;
  for (const auto& [text, id] : vocabulary_.index()) {
    if (auto raw = from_byte_alphabet(text)) whole_.emplace(std::move(*raw), id);
  }
}

void BpeModel::learn_neighbours() {
  bool fallback = options_.byte_fallback;
  for (const auto& id : fallback_ids_) fallback = fallback && id.has_value();
  const bool unknown_apart =
      fallback || !options_.unk || !options_.fuse_unk;  // else runs of unknowns are one token
  parts_ = !options_.bytes && !options_.ignore_merges && options_.continuing_prefix.empty() &&
           options_.word_suffix.empty() && options_.whole_symbols.empty() && unknown_apart;
  if (!parts_) return;
  ascii_neighbours_.resize(128 * 128);
  for (const auto& [text, id] : vocabulary_.index()) {
    char32_t previous = 0;
    for (std::size_t at = 0; at < text.size();) {
      const Scanned c = scan_utf8(text, at);
      if (at > 0) {
        neighbours_.insert(std::uint64_t{previous} << 32 | c.value);
        if (previous < 128 && c.value < 128) ascii_neighbours_[previous * 128 + c.value] = true;
      }
      previous = c.value;
      at += c.length;
    }
  }
}

std::optional<TokenId> BpeModel::character_id(std::string_view character, bool first, bool last) const {
  std::string text;
  if (!first) text = options_.continuing_prefix;
  text += character;
  if (last) text += options_.word_suffix;
  return vocabulary_.find(text);
}

std::optional<TokenId> BpeModel::whole(std::string_view piece) const {
  if (!options_.bytes) return vocabulary_.find(piece);
  const auto found = whole_.find(piece);
  if (found == whole_.end()) return std::nullopt;
  return found->second;
}

void BpeModel::byte_symbols(std::string_view piece, std::vector<Symbol>& out) const {
  for (std::uint32_t i = 0; i < piece.size(); ++i) {
    const auto byte = static_cast<unsigned char>(piece[i]);
    const auto id = byte_ids_[shape(i == 0, i + 1 == piece.size())][byte];
    if (id) {
      out.push_back({*id, i, i + 1});
    } else if (options_.unk) {
      const bool joins = options_.fuse_unk && !out.empty() && out.back().id == *options_.unk;
      if (joins) {
        out.back().end = i + 1;
      } else {
        out.push_back({*options_.unk, i, i + 1});
      }
    }
  }
}

bool BpeModel::fall_back(std::string_view character, std::uint32_t begin, std::vector<Symbol>& out) const {
  if (!options_.byte_fallback) return false;
  for (const char c : character) {
    if (!fallback_ids_[static_cast<unsigned char>(c)]) return false;
  }
  for (const char c : character) {
    out.push_back({*fallback_ids_[static_cast<unsigned char>(c)], begin, begin + 1});
    ++begin;
  }
  return true;
}

void BpeModel::character_symbols(std::string_view piece, std::vector<Symbol>& out) const {
  bool last_unknown = false;
  const bool plain = options_.continuing_prefix.empty() && options_.word_suffix.empty();
  for (std::size_t at = 0; at < piece.size();) {
    if (const auto symbol = options_.whole_symbols.longest(piece, at)) {
      out.push_back({symbol->value, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(symbol->end)});
      at = symbol->end;
      last_unknown = false;
      continue;
    }
    const std::size_t length = scan_utf8(piece, at).length;
    const std::string_view character = piece.substr(at, length);
    const auto begin = static_cast<std::uint32_t>(at), end = static_cast<std::uint32_t>(at + length);
    const auto id =
        plain ? vocabulary_.find(character) : character_id(character, at == 0, end == piece.size());
    at = end;
    const bool was_unknown = std::exchange(last_unknown, false);
    if (id) {
      out.push_back({*id, begin, end});
    } else if (!fall_back(character, begin, out) && options_.unk) {
      last_unknown = true;
      if (was_unknown && options_.fuse_unk) {
        out.back().end = end;
      } else {
        out.push_back({*options_.unk, begin, end});
      }
    }
  }
}

void BpeModel::tokenize_uncached(std::string_view piece, std::vector<Symbol>& out) const {
  thread_local std::vector<Symbol> symbols;
  symbols.clear();
  if (options_.bytes) {
    byte_symbols(piece, symbols);
  } else {
    character_symbols(piece, symbols);
  }
  merge_symbols(merges_, symbols);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

void BpeModel::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  if (piece.empty()) return;
  require(piece.size() < std::numeric_limits<std::uint32_t>::max(), "one piece of text has ", piece.size(),
          " bytes; split it into documents below 4 GiB");
  if (options_.ignore_merges) {
    if (const auto id = whole(piece)) {
      out.push_back({*id, 0, static_cast<std::uint32_t>(piece.size())});
      return;
    }
  }
  if (!parts_) return tokenize_part(piece, out);
  std::size_t begin = 0;
  Scanned previous = scan_utf8(piece, 0);
  for (std::size_t at = previous.length; at <= piece.size();) {
    const bool end = at == piece.size();
    const Scanned c = end ? Scanned{0, 1} : scan_utf8(piece, at);
    const bool together =
        !end && (previous.value < 128 && c.value < 128
                     ? ascii_neighbours_[previous.value * 128 + c.value]
                     : neighbours_.count(std::uint64_t{previous.value} << 32 | c.value) > 0);
    if (!together) {
      const std::size_t first = out.size();
      tokenize_part(piece.substr(begin, at - begin), out);
      for (std::size_t i = first; i < out.size(); ++i) {
        out[i].begin += static_cast<std::uint32_t>(begin);
        out[i].end += static_cast<std::uint32_t>(begin);
      }
      begin = at;
    }
    previous = c;
    at += c.length;
  }
}

void BpeModel::tokenize_part(std::string_view piece, std::vector<Symbol>& out) const {
  if (piece.size() > TokenCache::kMaxBytes) return tokenize_uncached(piece, out);
  TokenCache::Slot& slot = TokenCache::slot(identity_, piece);
  if (!slot.holds(piece)) {
    std::vector<Symbol> symbols;
    tokenize_uncached(piece, symbols);
    const bool contiguous = [&] {
      std::uint32_t at = 0;
      for (const Symbol& s : symbols) {
        if (s.begin != at) return false;
        at = s.end;
      }
      return true;
    }();
    if (symbols.size() > TokenCache::kMaxTokens || !contiguous) {
      out.insert(out.end(), symbols.begin(), symbols.end());
      return;
    }
    slot.store(piece, symbols);
  }
  for (std::uint32_t i = 0, at = 0; i < slot.count; at = slot.ends[i++])
    out.push_back({slot.ids[i], at, slot.ends[i]});
}

}  // namespace lathe
