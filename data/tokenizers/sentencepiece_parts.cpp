#include <algorithm>
#include <limits>
#include <optional>

#include "data/tokenizers/bpe_model.h"
#include "data/tokenizers/charsmap.h"
#include "data/tokenizers/sentencepiece_model.h"
#include "data/tokenizers/unicode_class.h"
#include "data/tokenizers/unigram_model.h"
#include "data/tokenizers/word_model.h"

namespace lathe {
namespace {

constexpr std::string_view kMark = "\xE2\x96\x81";  // U+2581 stands for a space

// SentencePiece's own normalization: longest rules of the charsmap, runs of spaces, the leading mark.
class SentencePieceNormalizer : public Normalizer {
 public:
  SentencePieceNormalizer(const SentencePieceModel& model, ByteTrie user_defined, const std::string& where)
      : dummy_prefix_(model.add_dummy_prefix && !model.whitespace_suffix),
        dummy_suffix_(model.add_dummy_prefix && model.whitespace_suffix),
        single_spaces_(model.remove_extra_whitespaces),
        user_defined_(std::move(user_defined)) {
    if (!model.charsmap.empty()) charsmap_.emplace(model.charsmap, where);
  }

  AlignedText apply(AlignedText text) const override {
    const std::string_view view = text.view();
    AlignedText out = AlignedText::changed(text);
    std::size_t at = 0;
    if (single_spaces_) {
      while (at < view.size()) {
        const Step step = look(view, at);
        if (step.normal != " ") break;
        at += step.length;
      }
    }
    if (at == view.size()) return out;
    const std::size_t start = text.origin(at, at).begin;
    if (dummy_prefix_) out.append(kMark, {start, start});
    bool after_space = single_spaces_;
    while (at < view.size()) {
      const Step step = look(view, at);
      std::string_view normal = step.normal;
      while (after_space && !normal.empty() && normal.front() == ' ') normal.remove_prefix(1);
      append(text, at, step.length, normal, out);
      if (!normal.empty()) after_space = single_spaces_ && normal.back() == ' ';
      at += step.length;
    }
    std::size_t end = out.size();
    while (single_spaces_ && end >= kMark.size() &&
           out.view().substr(end - kMark.size(), kMark.size()) == kMark) {
      end -= kMark.size();
    }
    if (end < out.size()) out = out.slice(0, end);
    if (dummy_suffix_) {
      const std::size_t last = text.origin(view.size() - 1, view.size()).end;
      out.append(kMark, {last, last});
    }
    return out;
  }

 private:
  struct Step {
    std::size_t length;
    std::string_view normal;
  };
  Step look(std::string_view text, std::size_t at) const {
    if (const auto match = user_defined_.longest(text, at)) {
      return {match->end - at, text.substr(at, match->end - at)};
    }
    if (charsmap_) {
      if (const auto rule = charsmap_->longest(text.substr(at))) return {rule->length, rule->normal};
    }
    const std::size_t length = scan_utf8(text, at).length;
    return {length, text.substr(at, length)};
  }
  static void append(const AlignedText& text, std::size_t at, std::size_t length, std::string_view normal,
                     AlignedText& out) {
    const bool same = normal.data() == text.view().data() + at && normal.size() == length;
    for (std::size_t i = 0; i < normal.size(); ++i) {
      const Span from = same ? text.origin(at + i, at + i + 1) : text.origin(at, at + length);
      out.append(normal[i] == ' ' ? kMark : normal.substr(i, 1), from);
    }
  }

  bool dummy_prefix_, dummy_suffix_, single_spaces_;
  ByteTrie user_defined_;
  std::optional<Charsmap> charsmap_;
};

ByteTrie user_defined(const SentencePieceModel& model) {
  std::vector<std::pair<std::string, std::uint32_t>> entries;
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type == PieceType::UserDefined) entries.emplace_back(model.pieces[id].text, id);
  }
  return ByteTrie(std::move(entries));
}

std::unique_ptr<TokenModel> make_bpe(const SentencePieceModel& model, Vocabulary vocabulary,
                                     std::optional<TokenId> unk) {
  MergeTable table;
  std::uint32_t rank = 0;
  float score = 0;
  bool first = true;
  for (const PieceMerge& merge :
       piece_merges(model)) {  // pieces of equal score merge from left to right: one rank
    if (!first && merge.score != score) ++rank;
    first = false;
    score = merge.score;
    table.insert(merge.left, merge.right, {rank, merge.id});
  }
  BpeOptions options;
  options.bytes = false;
  options.byte_fallback = model.byte_fallback;
  options.fuse_unk = true;
  options.unk = unk;
  options.whole_symbols = user_defined(model);
  return std::make_unique<BpeModel>(std::move(vocabulary), std::move(table), std::move(options));
}

std::unique_ptr<TokenModel> make_unigram(const SentencePieceModel& model, Vocabulary vocabulary,
                                         std::optional<TokenId> unk) {
  constexpr float kUnknownPenalty = 10;
  float lowest = std::numeric_limits<float>::max(), highest = std::numeric_limits<float>::lowest();
  for (const SentencePiece& piece : model.pieces) {
    if (piece.type != PieceType::Normal) continue;
    lowest = std::min(lowest, piece.score);
    highest = std::max(highest, piece.score);
  }
  UnigramOptions options;
  std::vector<double> scores;
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    const SentencePiece& piece = model.pieces[id];
    const bool user = piece.type == PieceType::UserDefined;  // as good as its characters at the best score
    scores.push_back(user ? static_cast<double>(static_cast<float>(piece.text.size()) * highest) - 0.1
                          : static_cast<double>(piece.score));
    if (user || piece.type == PieceType::Normal) options.matched.push_back(id);
  }
  options.unk = unk;
  options.byte_fallback = model.byte_fallback;
  options.single_precision = true;
  options.unk_score = static_cast<double>(lowest - kUnknownPenalty);
  return std::make_unique<UnigramModel>(std::move(vocabulary), std::move(scores), std::move(options));
}

std::unique_ptr<TokenModel> make_words(const SentencePieceModel& model, Vocabulary vocabulary,
                                       std::optional<TokenId> unk) {
  WordOptions options{{}, unk, model.byte_fallback};
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    const PieceType type = model.pieces[id].type;
    if (type == PieceType::Normal || type == PieceType::UserDefined)
      options.words.emplace(model.pieces[id].text, id);
  }
  return std::make_unique<WordModel>(std::move(vocabulary), std::move(options));
}

}  // namespace

std::vector<PieceMerge> piece_merges(const SentencePieceModel& model) {
  if (model.kind == SentencePieceModel::Kind::Char) return {};
  std::unordered_map<std::string_view, TokenId> ids;
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type == PieceType::Normal) ids.emplace(model.pieces[id].text, id);
  }
  std::vector<PieceMerge> merges;
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    const SentencePiece& piece = model.pieces[id];
    if (piece.type != PieceType::Normal) continue;
    const std::string_view text = piece.text;
    for (std::size_t cut = scan_utf8(text, 0).length; cut < text.size(); cut += scan_utf8(text, cut).length) {
      const auto left = ids.find(text.substr(0, cut)), right = ids.find(text.substr(cut));
      if (left != ids.end() && right != ids.end())
        merges.push_back({left->second, right->second, id, piece.score});
    }
  }
  // Among the splits of one piece the longer left part first: what a scan from the left would find in a long
  // run.
  const auto left_bytes = [&](const PieceMerge& merge) { return model.pieces[merge.left].text.size(); };
  std::stable_sort(merges.begin(), merges.end(), [&](const PieceMerge& a, const PieceMerge& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.id == b.id && left_bytes(a) > left_bytes(b);
  });
  return merges;
}

TokenizerParts sentencepiece_parts(const SentencePieceModel& model, const std::string& where) {
  TokenizerParts parts;
  Vocabulary vocabulary;
  std::optional<TokenId> unk;
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    const SentencePiece& piece = model.pieces[id];
    vocabulary.add(piece.text, id, where);
    if (piece.type == PieceType::Unknown) unk = id;
    if (piece.type != PieceType::Unknown && piece.type != PieceType::Control) continue;
    AddedToken token;
    token.id = id;
    token.content = piece.text;
    token.special = true;
    parts.added.push_back(std::move(token));
    if (piece.type == PieceType::Control && piece.text == model.bos) parts.special.bos = id;
    if (piece.type == PieceType::Control && piece.text == model.eos) parts.special.eos = id;
    if (piece.type == PieceType::Control && piece.text == model.pad) parts.special.pad = id;
  }
  parts.special.unk = unk;
  parts.normalizer = std::make_unique<SentencePieceNormalizer>(model, user_defined(model), where);
  switch (model.kind) {
    case SentencePieceModel::Kind::Unigram:
      parts.model = make_unigram(model, std::move(vocabulary), unk);
      break;
    case SentencePieceModel::Kind::Word:
      parts.model = make_words(model, std::move(vocabulary), unk);
      break;
    default:
      parts.model = make_bpe(model, std::move(vocabulary), unk);
  }
  Json steps = Json::array({{{"type", "Replace"}, {"pattern", {{"String", kMark}}}, {"content", " "}},
                            {{"type", "ByteFallback"}},
                            {{"type", "Fuse"}}});
  if (model.add_dummy_prefix || model.remove_extra_whitespaces) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  parts.decoder = make_decoder({{"type", "Sequence"}, {"decoders", steps}}, "", where);
  return parts;
}

}  // namespace lathe
