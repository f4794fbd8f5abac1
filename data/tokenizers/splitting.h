#pragma once
// What becomes of the matches of a splitting pattern (tokenizer.json: "behavior").
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/aligned_text.h"

namespace lathe {

enum class SplitBehavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };

SplitBehavior split_behavior(const std::string& name, const std::string& where);

struct Part {
  std::size_t begin, end;
  bool match;
};

// Matches, in order and without overlap, together with the gaps between them, covering [0, size).
std::vector<Part> with_gaps(const std::vector<Span>& matches, std::size_t size);
// Appends the pieces that remain, shifted by `base`; empty ones are left out.
void arrange(const std::vector<Part>& parts, SplitBehavior behavior, std::size_t base,
             std::vector<Span>& pieces);

}  // namespace lathe
