#pragma once
// The pre-tokenizer patterns of GPT-2, Llama 3 and Qwen 2 as hand-written scanners, equal to the regular
// expressions (tests/unit/data/tokenizers/patterns_test.cpp) and an order of magnitude faster.
#include <cstddef>
#include <optional>
#include <string_view>

namespace lathe {

enum class KnownPattern { Gpt2, Llama3, Qwen2 };

std::string_view pattern_text(KnownPattern pattern);  // the regular expression, as published
std::optional<KnownPattern> known_pattern(std::string_view regex);

// End of the match that starts at `at` < text.size(). The patterns leave no gaps: matches cover the whole
// text.
std::size_t match_end(KnownPattern pattern, std::string_view text, std::size_t at);

template <class Sink>
void split_by(KnownPattern pattern, std::string_view text, Sink&& sink) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = match_end(pattern, text, at);
    sink(at, end);
    at = end;
  }
}

}  // namespace lathe
