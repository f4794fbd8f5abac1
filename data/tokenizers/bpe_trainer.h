#pragma once
// Learns a byte-level byte pair encoding (Sennrich et al. 2016; bytes as in GPT-2).
#include <string>
#include <utility>
#include <vector>

#include "data/tokenizers/patterns.h"
#include "data/tokenizers/tokenizer.h"

namespace lathe {

struct LearnedBpe {
  std::vector<std::string> tokens;  // in the byte alphabet: the special token, 256 bytes, then one a merge
  std::vector<std::pair<std::string, std::string>> merges;
};

// The commonest pair is merged first; among equals the one of smaller ids. Stops early when no pair occurs
// twice. The result depends on the documents alone: counts are sums and every order is fixed.
LearnedBpe learn_byte_bpe(DocumentStream& documents, KnownPattern pattern, std::size_t vocab_size,
                          const std::string& special, int threads);

}  // namespace lathe
