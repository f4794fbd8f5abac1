#include "data/tokenizers/sentencepiece_trainer.h"

#include <sentencepiece_trainer.h>

#include <unordered_map>

#include "data/tokenizers/isolated.h"
#include "data/tokenizers/load.h"
#include "data/tokenizers/sentencepiece_model.h"

namespace lathe {
namespace {

constexpr std::size_t kSentenceBytes = 1 << 16;
constexpr std::size_t kReserved = 258;  // unknown, end, and a piece for each byte

// Documents cut after line ends into sentences of bounded length, line ends kept. The trainer skips whole
// sentences that hold NUL or its own marks U+2581 and U+2585, so those characters are left out; they are
// encoded as bytes.
class Sentences : public sentencepiece::SentenceIterator {
 public:
  Sentences(DocumentStream& documents, std::string first)
      : documents_(documents), sentence_(std::move(first)) {
    documents_.reset();
  }
  bool done() const override { return done_; }
  void Next() override {
    do {
      if (at_ == text_.size()) {
        at_ = 0;
        text_.clear();
        if (!documents_.next(text_)) {
          done_ = true;
          return;
        }
      }
      take();
    } while (sentence_.empty());
  }
  const std::string& value() const override { return sentence_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  void take() {
    std::size_t end = text_.size();
    if (end - at_ > kSentenceBytes) {
      const std::size_t newline = text_.rfind('\n', at_ + kSentenceBytes - 1);
      end = newline != text_.npos && newline >= at_ ? newline + 1 : at_ + kSentenceBytes;
      while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
    }
    sentence_.clear();
    for (std::size_t i = at_; i < end;) {
      if (text_[i] == '\0') {
        ++i;
      } else if (text_.compare(i, 3, "\xE2\x96\x81") == 0 || text_.compare(i, 3, "\xE2\x96\x85") == 0) {
        i += 3;
      } else {
        sentence_.push_back(text_[i++]);
      }
    }
    at_ = end;
  }

  DocumentStream& documents_;
  std::string sentence_, text_;
  std::size_t at_ = 0;
  bool done_ = false;
};

// Every visible character of ASCII once, so that each has a piece: else a text like <0x41> could come out as
// a byte's.
std::string visible_ascii() {
  std::string characters;
  for (char c = '!'; c <= '~'; ++c) characters += {c, ' '};
  return characters;
}

std::unordered_map<std::string, std::string> trainer_options(const TokenizerTraining& options) {
  return {{"model_type", options.kind},
          {"vocab_size", std::to_string(options.vocab_size)},
          {"normalization_rule_name", "identity"},
          {"add_dummy_prefix", "false"},
          {"remove_extra_whitespaces", "false"},
          {"byte_fallback", "true"},
          {"allow_whitespace_only_pieces", "true"},
          {"character_coverage", "1.0"},
          {"max_sentence_length", std::to_string(8 * kSentenceBytes)},
          {"hard_vocab_limit", options.kind == "unigram" ? "false" : "true"},
          {"num_threads", "1"},  // sums of floats depend on how many there are
          {"unk_id", "0"},
          {"eos_id", "1"},
          {"eos_piece", options.eos},
          {"bos_id", "-1"},
          {"pad_id", "-1"},
          {"minloglevel", "3"}};
}

}  // namespace

std::unique_ptr<Tokenizer> train_sentencepiece(DocumentStream& documents, const TokenizerTraining& options) {
  if (options.vocab_size <= kReserved) {
    fail_usage("a SentencePiece tokenizer needs vocab_size above ", kReserved, ", found ",
               options.vocab_size);
  }
  const std::string what =
      cat("SentencePiece cannot train a ", options.kind, " tokenizer of ", options.vocab_size,
          " pieces on these documents (every character needs a piece; byte_bpe does without)");
  // The library ends the program where its own checks fail.
  std::string content = run_isolated(what, [&] {
    Sentences sentences(documents, visible_ascii());
    std::string trained;
    const auto status =
        sentencepiece::SentencePieceTrainer::Train(trainer_options(options), &sentences, &trained);
    require(status.ok(), what, ": ", status.ToString());
    return trained;
  });
  const SentencePieceModel model = parse_sentencepiece(content, "the trained tokenizer");
  Companions companions;
  const std::string config = Json{
      {"tokenizer_class", "PreTrainedTokenizerFast"},
      {"add_prefix_space", false},
      {"clean_up_tokenization_spaces", false},
      {"eos_token", options.eos},
      {"pad_token", options.eos},
      {"unk_token", "<unk>"}}.dump(2);
  companions.config = parse_json(config, "tokenizer_config.json");
  companions.files = {{"tokenizer_config.json", config + "\n"}, {"tokenizer.model", std::move(content)}};
  return tokenizer_from_json(sentencepiece_json(model, {}, {}, true), companions, "the trained tokenizer");
}

}  // namespace lathe
