#pragma once
// Text <-> token ids, with the bytes that every id came from. Implementations are immutable after loading and
// safe to use from several threads. Input is UTF-8 (checked by sources); decode(encode(x)) == x for
// tokenizers Lathe trains, but for clip_bpe, which is lossy by design and for text encoders of pictures only.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/io/json.h"

namespace lathe {

using TokenId = std::uint32_t;

struct ByteRange {
  std::size_t begin = 0, end = 0;
};

struct EncodeOptions {
  bool add_special = false;    // what the tokenizer's own post-processor adds (BOS, EOS)
  bool parse_special = false;  // special tokens written in the text become control ids; off for user text
  // With parse_special: a special token that touches one of these bytes stays text. Sorted, apart from each
  // other.
  std::span<const ByteRange> literal = {};
};

struct Encoding {
  std::vector<TokenId> ids;
  std::vector<std::size_t> begin, end;  // bytes of the text; empty range for added tokens
};

struct SpecialTokens {
  std::optional<TokenId> bos, eos, pad, unk;
};

struct TokenizerFile {  // what an exporter writes beside the weights
  std::string name, content;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual Encoding encode(std::string_view text, const EncodeOptions& options = {}) const = 0;
  // Bytes of the ids; control tokens are left out unless keep_special.
  virtual std::string decode(const std::vector<TokenId>& ids, bool keep_special = false) const = 0;
  virtual std::size_t vocab_size() const = 0;  // largest id + 1
  virtual SpecialTokens special() const = 0;
  virtual bool is_special(TokenId id) const = 0;
  virtual std::string token_text(TokenId id) const = 0;  // as stored, for display and tables
  virtual std::optional<TokenId> token_id(std::string_view text) const = 0;
  // The files of this tokenizer: always tokenizer.json and tokenizer_config.json, also tokenizer.model when
  // it has one.
  virtual std::vector<TokenizerFile> files() const = 0;
  // SHA-256 over files(): changes when any id could change.
  std::string fingerprint() const;
  // encode(text).ids, without the memory for the bytes that they came from.
  virtual std::vector<TokenId> ids(std::string_view text) const { return encode(text).ids; }
};

// tokenizer.json, a folder with one (and tokenizer_config.json, special_tokens_map.json), or a SentencePiece
// .model. A construct that would change ids and is not supported is an Error by name.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

struct TokenizerTraining {
  std::string kind = "byte_bpe";  // byte_bpe | bpe | unigram | clip_bpe
  std::size_t vocab_size = 8192;  // with special tokens
  std::string pattern = "gpt2";   // byte_bpe: gpt2 | llama3
  int threads = 0;
  std::string eos = "<|endoftext|>";
  std::size_t model_max_length = 77;  // clip_bpe: told to engines in tokenizer_config.json
};

// Documents are visited through `next`, which returns false at the end; it may be called again from the start
// via reset.
class DocumentStream {
 public:
  virtual ~DocumentStream() = default;
  virtual bool next(std::string& text) = 0;
  virtual void reset() = 0;
};

// Deterministic: the result depends on the documents, not on threads.
std::unique_ptr<Tokenizer> train_tokenizer(DocumentStream& documents, const TokenizerTraining& options);
// The same on texts at hand, such as captions. With {.kind = "clip_bpe", .vocab_size = 600}: special().bos,
// .eos and .pad are set (pad is eos), encode with add_special gives begin, text, end; prompt_ids (clip.h)
// pads and cuts a row. The vocabulary (512 bytes, merges, 2 special tokens) is smaller than asked for where
// no more pair occurs twice.
std::shared_ptr<const Tokenizer> train_tokenizer(const std::vector<std::string>& texts,
                                                 const TokenizerTraining& options);

}  // namespace lathe
