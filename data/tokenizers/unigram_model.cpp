#include "data/tokenizers/unigram_model.h"

#include <algorithm>
#include <limits>

#include "data/tokenizers/unicode_class.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr TokenId kUnknown = std::numeric_limits<TokenId>::max();  // on the path; not an id
constexpr double kRestart = 100000;  // of SentencePiece 0.2, found by comparing long texts

template <class Real>
struct Node {  // the best path that ends at a byte
  Real score = 0;
  std::uint32_t begin = 0;
  TokenId id = kUnknown;
  bool reached = false;
  void offer(Real candidate, std::uint32_t from, TokenId token) {
    if (reached && !(candidate > score)) return;
    *this = {candidate, from, token, true};
  }
};

}  // namespace

UnigramModel::UnigramModel(Vocabulary vocabulary, std::vector<double> scores, UnigramOptions options)
    : TokenModel(std::move(vocabulary)),
      scores_(std::move(scores)),
      options_(std::move(options)),
      fallback_(byte_fallback_ids(vocabulary_)) {
  std::vector<std::pair<std::string, std::uint32_t>> entries;
  if (options_.matched.empty()) {
    for (const auto& [text, id] : vocabulary_.index()) entries.emplace_back(text, id);
  } else {
    for (const TokenId id : options_.matched) entries.emplace_back(vocabulary_.text(id), id);
  }
  trie_ = ByteTrie(std::move(entries));
  for (const auto& id : fallback_) all_bytes_ = all_bytes_ && id.has_value();
}

template <class Real>
void UnigramModel::best_path(std::string_view piece, std::vector<Symbol>& path) const {
  std::vector<Node<Real>> nodes(piece.size() + 1);
  const Real unk_score = static_cast<Real>(options_.unk_score);
  std::size_t reached = 0;
  for (std::size_t at = 0; at < piece.size();) {
    // Float sums of long texts grow coarse and make ties of what is none: where every path passes, a large
    // one begins anew.
    const bool every_path = reached <= at;
    if (options_.single_precision && every_path && nodes[at].score < -kRestart) nodes[at].score = 0;
    const Real so_far = nodes[at].score;
    const auto begin = static_cast<std::uint32_t>(at);
    const std::size_t character_end = at + scan_utf8(piece, at).length;
    bool covered = false;
    trie_.each_prefix(piece, at, [&](std::size_t end, TokenId id) {
      nodes[end].offer(so_far + static_cast<Real>(scores_[id]), begin, id);
      covered = covered || end == character_end;
      reached = std::max(reached, end);
    });
    if (!covered) nodes[character_end].offer(so_far + unk_score, begin, kUnknown);
    reached = std::max(reached, character_end);
    at = character_end;
  }
  for (std::size_t end = piece.size(); end > 0; end = nodes[end].begin) {
    path.push_back({nodes[end].id, nodes[end].begin, static_cast<std::uint32_t>(end)});
  }
  std::reverse(path.begin(), path.end());
}

void UnigramModel::push_unknown(std::string_view piece, const Symbol& symbol,
                                std::vector<Symbol>& out) const {
  if (options_.byte_fallback && all_bytes_) {
    for (std::uint32_t i = symbol.begin; i < symbol.end; ++i) {
      out.push_back({*fallback_[static_cast<unsigned char>(piece[i])], i, i + 1});
    }
  } else if (options_.unk) {
    const bool joins = !out.empty() && out.back().id == *options_.unk && out.back().end == symbol.begin;
    if (joins) {
      out.back().end = symbol.end;
    } else {
      out.push_back({*options_.unk, symbol.begin, symbol.end});
    }
  }
}

void UnigramModel::tokenize(std::string_view piece, std::vector<Symbol>& out) const {
  require(piece.size() < kUnknown, "one piece of text has ", piece.size(),
          " bytes; split it into documents below 4 GiB");
  std::vector<Symbol> path, tokens;
  if (options_.single_precision) {
    best_path<float>(piece, path);
  } else {
    best_path<double>(piece, path);
  }
  for (const Symbol& symbol : path) {
    if (symbol.id == kUnknown || symbol.id == options_.unk) {
      push_unknown(piece, symbol, tokens);
    } else {
      tokens.push_back(symbol);
    }
  }
  out.insert(out.end(), tokens.begin(), tokens.end());
}

}  // namespace lathe
