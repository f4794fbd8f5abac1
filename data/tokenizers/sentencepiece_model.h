#pragma once
// Reads a SentencePiece .model: the protocol buffer's wire format, checked byte by byte, without the library,
// whose own parser has known holes for hostile files.
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/pipeline_tokenizer.h"

namespace lathe {

enum class PieceType { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };

struct SentencePiece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::Normal;
};

struct SentencePieceModel {
  enum class Kind { Unigram = 1, Bpe = 2, Word = 3, Char = 4 };
  Kind kind = Kind::Unigram;
  std::vector<SentencePiece> pieces;
  bool byte_fallback = false;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true;
  bool whitespace_suffix = false;  // words end in their space; the dummy space stands behind the text
  std::string charsmap;            // empty: characters stay as they are
  std::string bos = "<s>", eos = "</s>", pad = "<pad>";
};

SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& where);

// The same tokenizer from Lathe's parts; special ids are set, nothing is added around a text.
TokenizerParts sentencepiece_parts(const SentencePieceModel& model, const std::string& where);

// An equal tokenizer.json, which the tokenizers library reads (of a model of words there is none: an Error);
// `before` and `after` go into its post-processor. With `keep_mark` (identity models) the character U+2581,
// SentencePiece's mark for a space, is told from a space.
std::string sentencepiece_json(const SentencePieceModel& model, const std::vector<TokenId>& before,
                               const std::vector<TokenId>& after, bool keep_mark);

struct PieceMerge {
  TokenId left, right, id;
  float score;
};
// Every split of a piece into two pieces, the best-scored pieces first; none in a model of characters.
std::vector<PieceMerge> piece_merges(const SentencePieceModel& model);

}  // namespace lathe
