#pragma once
// Learns a byte-level byte pair encoding (Sennrich et al. 2016; bytes as in GPT-2).
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizers/tokenizer.h"

namespace lathe {

struct LearnedBpe {
  // In the byte alphabet: the special token if any, 256 bytes, with a suffix the same 256 at the end of a
  // word, then one a merge.
  std::vector<std::string> tokens;
  std::vector<std::pair<std::string, std::string>> merges;
};

// Hands every piece of a document to `sink`, as the model will see them. Called from several threads.
using PieceSink = std::function<void(std::string_view piece)>;
using PieceSplitter = std::function<void(const std::string& document, const PieceSink& sink)>;

struct BpeLearning {
  std::size_t vocab_size = 0;  // of LearnedBpe::tokens
  std::string special;         // id 0; empty: none
  std::string word_suffix;     // marks the last byte of a piece; empty: none
  int threads = 0;
};

// The commonest pair is merged first; among equals the one of smaller ids. Stops early when no pair occurs
// twice. The result depends on the documents alone: counts are sums and every order is fixed.
LearnedBpe learn_byte_bpe(DocumentStream& documents, const PieceSplitter& split, const BpeLearning& learning);

}  // namespace lathe
