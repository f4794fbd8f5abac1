#include "data/tokenizers/bpe_trainer.h"
#include "data/tokenizers/clip.h"
#include "data/tokenizers/load.h"
#include "data/tokenizers/normalizers.h"
#include "data/tokenizers/patterns.h"
#include "data/tokenizers/pre_tokenizers.h"
#include "data/tokenizers/sentencepiece_trainer.h"
#include "data/tokenizers/tokenizer_json.h"

namespace lathe {
namespace {

constexpr std::size_t kAlphabet = 257;      // the special token and 256 bytes
constexpr std::size_t kClipAlphabet = 514;  // 256 bytes, 256 that end a word, begin and end of text

Json byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json pre_tokenizer(KnownPattern pattern) {
  if (pattern == KnownPattern::Gpt2) return byte_level(true);
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", std::string(pattern_text(pattern))}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(false)})}};
}

// Engines that know the Llama 3 pattern by name take a piece that is a token as that token; so do we then.
std::string byte_bpe_json(const LearnedBpe& learned, KnownPattern pattern) {
  Json vocabulary = Json::object(), merges = Json::array();
  for (std::size_t id = 0; id < learned.tokens.size(); ++id) append_key(vocabulary, learned.tokens[id], id);
  for (const auto& [left, right] : learned.merges) merges.push_back(Json::array({left, right}));
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", pattern != KnownPattern::Gpt2}};
  append_key(model, "vocab", std::move(vocabulary));
  append_key(model, "merges", std::move(merges));
  const Json special = {
      {"id", 0},         {"content", learned.tokens[0]}, {"single_word", false}, {"lstrip", false},
      {"rstrip", false}, {"normalized", false},          {"special", true}};
  Json json = {{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", Json::array({special})},
               {"normalizer", nullptr},
               {"pre_tokenizer", pre_tokenizer(pattern)},
               {"post_processor", byte_level(true)},
               {"decoder", byte_level(true)}};
  append_key(json, "model", std::move(model));
  return json.dump(1) + "\n";
}

std::unique_ptr<Tokenizer> train_byte_bpe(DocumentStream& documents, const TokenizerTraining& options) {
  if (options.pattern != "gpt2" && options.pattern != "llama3") {
    fail_usage("tokenizer pattern '", options.pattern, "' is unknown; known are gpt2, llama3");
  }
  const KnownPattern pattern = options.pattern == "gpt2" ? KnownPattern::Gpt2 : KnownPattern::Llama3;
  if (options.vocab_size < kAlphabet) {
    fail_usage("a byte_bpe tokenizer needs vocab_size of at least ", kAlphabet, ", found ",
               options.vocab_size);
  }
  const auto split = [pattern](const std::string& document, const PieceSink& sink) {
    const std::string_view text = document;
    split_by(pattern, text,
             [&](std::size_t begin, std::size_t end) { sink(text.substr(begin, end - begin)); });
  };
  const LearnedBpe learned = learn_byte_bpe(documents, split,
                                            {.vocab_size = options.vocab_size,
                                             .special = options.eos,
                                             .word_suffix = "",
                                             .threads = options.threads});
  const std::string config = Json{
      {"tokenizer_class", "PreTrainedTokenizerFast"},
      {"add_prefix_space", false},
      {"clean_up_tokenization_spaces", false},
      {"eos_token", options.eos},
      {"pad_token", options.eos}}.dump(2);
  Companions companions;
  companions.config = parse_json(config, "tokenizer_config.json");
  companions.files.push_back({"tokenizer_config.json", config + "\n"});
  return tokenizer_from_json(byte_bpe_json(learned, pattern), companions, "the trained tokenizer");
}

// In CLIP's order: bytes, bytes that end a word, merges, begin and end of text.
std::unique_ptr<Tokenizer> train_clip_bpe(DocumentStream& documents, const TokenizerTraining& options) {
  if (options.vocab_size < kClipAlphabet) {
    fail_usage("a clip_bpe tokenizer needs vocab_size of at least ", kClipAlphabet, ", found ",
               options.vocab_size);
  }
  if (options.eos != kClipEnd)
    fail_usage("the end token of a clip_bpe tokenizer is ", kClipEnd, ", found '", options.eos, "'");
  const auto normalizer = make_normalizer(clip_normalizer(), "clip_bpe");
  const PreTokenizerPlan plan = make_pre_tokenizer(clip_pre_tokenizer(), "clip_bpe");
  const auto split = [&](const std::string& document, const PieceSink& sink) {
    PreTokens tokens{normalizer->apply(AlignedText(document, 0)), {}};
    tokens.pieces.push_back({0, tokens.text.size()});
    for (const auto& step : plan.steps) step->apply(tokens);
    for (const Span& piece : tokens.pieces)
      sink(tokens.text.view().substr(piece.begin, piece.end - piece.begin));
  };
  const LearnedBpe learned = learn_byte_bpe(documents, split,
                                            {.vocab_size = options.vocab_size - 2,
                                             .special = "",
                                             .word_suffix = kWordSuffix,
                                             .threads = options.threads});
  Json vocabulary = Json::object(), merges = Json::array();
  for (std::size_t id = 0; id < learned.tokens.size(); ++id) append_key(vocabulary, learned.tokens[id], id);
  append_key(vocabulary, kClipBegin, learned.tokens.size());
  append_key(vocabulary, kClipEnd, learned.tokens.size() + 1);
  for (const auto& [left, right] : learned.merges) merges.push_back(Json::array({left, right}));
  return tokenizer_from_json(
      clip_tokenizer_json(std::move(vocabulary), std::move(merges), kClipEnd, "the trained tokenizer"),
      clip_companions(options.model_max_length), "the trained tokenizer");
}

class Texts : public DocumentStream {
 public:
  explicit Texts(const std::vector<std::string>& texts) : texts_(texts) {}
  bool next(std::string& text) override {
    if (at_ == texts_.size()) return false;
    text = texts_[at_++];
    return true;
  }
  void reset() override { at_ = 0; }

 private:
  const std::vector<std::string>& texts_;
  std::size_t at_ = 0;
};

}  // namespace

std::unique_ptr<Tokenizer> train_tokenizer(DocumentStream& documents, const TokenizerTraining& options) {
  if (options.eos.empty()) fail_usage("a tokenizer needs the text of its end token; 'eos' is empty");
  if (options.kind == "byte_bpe") return train_byte_bpe(documents, options);
  if (options.kind == "bpe" || options.kind == "unigram") return train_sentencepiece(documents, options);
  if (options.kind == "clip_bpe") return train_clip_bpe(documents, options);
  fail_usage("tokenizer kind '", options.kind, "' is unknown; known are byte_bpe, bpe, unigram, clip_bpe");
}

std::shared_ptr<const Tokenizer> train_tokenizer(const std::vector<std::string>& texts,
                                                 const TokenizerTraining& options) {
  Texts documents(texts);
  return train_tokenizer(documents, options);
}

}  // namespace lathe
