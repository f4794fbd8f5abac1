#include "data/tokenizers/splitting.h"

#include <algorithm>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

void merge_with_previous(const std::vector<Part>& parts, std::vector<Span>& spans) {
  bool previous_match = false;
  for (const Part& part : parts) {
    if (part.match && !previous_match && !spans.empty()) {
      spans.back().end = part.end;
    } else {
      spans.push_back({part.begin, part.end});
    }
    previous_match = part.match;
  }
}

void merge_with_next(const std::vector<Part>& parts, std::vector<Span>& spans) {
  bool next_match = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->match && !next_match && !spans.empty()) {
      spans.back().begin = part->begin;
    } else {
      spans.push_back({part->begin, part->end});
    }
    next_match = part->match;
  }
  std::reverse(spans.begin(), spans.end());
}

}  // namespace

SplitBehavior split_behavior(const std::string& name, const std::string& where) {
  if (name == "Removed") return SplitBehavior::Removed;
  if (name == "Isolated") return SplitBehavior::Isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::MergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::MergedWithNext;
  if (name == "Contiguous") return SplitBehavior::Contiguous;
  fail(where, ": split behavior '", name, "' is unknown; known are Removed, Isolated, MergedWithPrevious, ",
       "MergedWithNext, Contiguous");
}

std::vector<Part> with_gaps(const std::vector<Span>& matches, std::size_t size) {
  std::vector<Part> parts;
  std::size_t at = 0;
  for (const Span& match : matches) {
    if (match.begin > at) parts.push_back({at, match.begin, false});
    parts.push_back({match.begin, match.end, true});
    at = match.end;
  }
  if (at < size) parts.push_back({at, size, false});
  return parts;
}

void arrange(const std::vector<Part>& parts, SplitBehavior behavior, std::size_t base,
             std::vector<Span>& pieces) {
  std::vector<Span> spans;
  bool last_match = false;
  switch (behavior) {
    case SplitBehavior::Removed:
      for (const Part& part : parts) {
        if (!part.match) spans.push_back({part.begin, part.end});
      }
      break;
    case SplitBehavior::Isolated:
      for (const Part& part : parts) spans.push_back({part.begin, part.end});
      break;
    case SplitBehavior::Contiguous:
      for (const Part& part : parts) {
        if (!spans.empty() && part.match == last_match) {
          spans.back().end = part.end;
        } else {
          spans.push_back({part.begin, part.end});
        }
        last_match = part.match;
      }
      break;
    case SplitBehavior::MergedWithPrevious:
      merge_with_previous(parts, spans);
      break;
    case SplitBehavior::MergedWithNext:
      merge_with_next(parts, spans);
      break;
  }
  for (const Span& span : spans) {
    if (span.begin < span.end) pieces.push_back({base + span.begin, base + span.end});
  }
}

}  // namespace lathe
