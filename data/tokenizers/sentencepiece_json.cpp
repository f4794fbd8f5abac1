#include <algorithm>

#include "data/tokenizers/charsmap.h"
#include "data/tokenizers/normalizers.h"
#include "data/tokenizers/sentencepiece_model.h"
#include "data/tokenizers/tokenizer_json.h"

namespace lathe {
namespace {

constexpr const char* kMark = "\xE2\x96\x81";  // U+2581
// A mark in the text is written as an escape of private characters, and so is the escape itself: nothing is
// lost.
constexpr const char* kEscape = "\xF3\xB2\x96\x81";  // U+F2581
constexpr const char* kEscapedEscape = "\xF3\xB2\x96\x81\xF3\xB2\x96\x80";
constexpr const char* kEscapedMark = "\xF3\xB2\x96\x81\xF3\xB2\x96\x82";

Json replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json sequence(const char* key, Json steps) {
  Json value = {{"type", "Sequence"}};
  value[key] = std::move(steps);
  return value;
}

Json normalizer(const SentencePieceModel& model, bool keep_mark) {
  Json steps = Json::array();
  if (!model.charsmap.empty()) {
    steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(model.charsmap)}});
  }
  if (model.remove_extra_whitespaces) {
    steps.push_back({{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}});
    steps.push_back({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
  }
  if (keep_mark) {
    steps.push_back(replace(kEscape, kEscapedEscape));
    steps.push_back(replace(kMark, kEscapedMark));
  }
  if (model.add_dummy_prefix && model.whitespace_suffix) {
    steps.push_back({{"type", "Replace"}, {"pattern", {{"Regex", kEndOfText}}}, {"content", kMark}});
  } else if (model.add_dummy_prefix) {
    steps.push_back({{"type", "Prepend"}, {"prepend", kMark}});
  }
  steps.push_back(replace(" ", kMark));
  return sequence("normalizers", std::move(steps));
}

Json decoder(const SentencePieceModel& model, bool keep_mark) {
  Json steps = Json::array({replace(kMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (keep_mark) {
    steps.push_back(replace(kEscapedMark, kMark));
    steps.push_back(replace(kEscapedEscape, kEscape));
  }
  if (model.add_dummy_prefix || model.remove_extra_whitespaces) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return sequence("decoders", std::move(steps));
}

Json added_tokens(const SentencePieceModel& model) {
  Json tokens = Json::array();
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    const SentencePiece& piece = model.pieces[id];
    const bool control = piece.type == PieceType::Unknown || piece.type == PieceType::Control;
    if (!control && piece.type != PieceType::UserDefined) continue;
    tokens.push_back({{"id", id},
                      {"content", piece.text},
                      {"single_word", false},
                      {"lstrip", false},
                      {"rstrip", false},
                      {"normalized", false},
                      {"special", control}});
  }
  return tokens;
}

Json post_processor(const SentencePieceModel& model, const std::vector<TokenId>& before,
                    const std::vector<TokenId>& after) {
  if (before.empty() && after.empty()) return nullptr;
  Json single = Json::array(), tokens = Json::object();
  const auto add = [&](TokenId id) {
    const std::string& text = model.pieces[id].text;
    single.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
    tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
  };
  for (const TokenId id : before) add(id);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  for (const TokenId id : after) add(id);
  Json pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  for (const TokenId id : after)
    pair.push_back({{"SpecialToken", {{"id", model.pieces[id].text}, {"type_id", 1}}}});
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
}

std::optional<TokenId> unknown_id(const SentencePieceModel& model) {
  for (TokenId id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type == PieceType::Unknown) return id;
  }
  return std::nullopt;
}

Json bpe(const SentencePieceModel& model) {
  Json vocabulary = Json::object(), merges = Json::array();
  for (TokenId id = 0; id < model.pieces.size(); ++id) append_key(vocabulary, model.pieces[id].text, id);
  for (const PieceMerge& merge : piece_merges(model)) {
    merges.push_back(Json::array({model.pieces[merge.left].text, model.pieces[merge.right].text}));
  }
  const auto unk = unknown_id(model);
  Json value = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", unk ? Json(model.pieces[*unk].text) : Json(nullptr)},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", true},
                {"byte_fallback", model.byte_fallback},
                {"ignore_merges", false}};
  append_key(value, "vocab", std::move(vocabulary));
  append_key(value, "merges", std::move(merges));
  return value;
}

// The tokenizers library looks for every entry in the text, <0x41> and </s> too. Those that must not be found
// get a score below what any other way to cut their characters sums up to.
Json unigram(const SentencePieceModel& model) {
  double lowest = 0;
  for (const SentencePiece& piece : model.pieces) lowest = std::min(lowest, static_cast<double>(piece.score));
  Json vocabulary = Json::array();
  for (const SentencePiece& piece : model.pieces) {
    const bool found = piece.type == PieceType::Normal || piece.type == PieceType::UserDefined;
    const double hidden = static_cast<double>(piece.text.size() + 1) * (lowest - 1);
    vocabulary.push_back(Json::array({piece.text, found ? static_cast<double>(piece.score) : hidden}));
  }
  const auto unk = unknown_id(model);
  return {{"type", "Unigram"},
          {"unk_id", unk ? Json(*unk) : Json(nullptr)},
          {"vocab", vocabulary},
          {"byte_fallback", model.byte_fallback}};
}

}  // namespace

std::string sentencepiece_json(const SentencePieceModel& model, const std::vector<TokenId>& before,
                               const std::vector<TokenId>& after, bool keep_mark) {
  require(model.kind != SentencePieceModel::Kind::Word,
          "a SentencePiece model of whole words has no tokenizer.json: its "
          "unknown words side by side are one token");
  Json json = {{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", added_tokens(model)},
               {"normalizer", normalizer(model, keep_mark)},
               {"pre_tokenizer", nullptr},
               {"post_processor", post_processor(model, before, after)},
               {"decoder", decoder(model, keep_mark)}};
  append_key(json, "model", model.kind == SentencePieceModel::Kind::Unigram ? unigram(model) : bpe(model));
  return json.dump(1) + "\n";
}

}  // namespace lathe
