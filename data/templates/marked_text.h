#pragma once
// Text whose every byte remembers where it came from: the template, or a field of a message, tool or
// document. Loss masks and control tokens are decided by these origins, so they survive trim, slice, replace,
// case and concatenation. Positions are bytes of UTF-8; functions that count characters as Python does say
// so. Values, no shared state.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/io/utf8.h"

namespace lathe {

// Index into a rendering's table of origins. 0 is the template itself; kGeneratedBit marks `{% generation
// %}`.
using SourceId = std::uint32_t;
constexpr SourceId kTemplateSource = 0;
constexpr std::size_t kMaxTextBytes = std::size_t{64} << 20;  // of one text; more is an Error
constexpr SourceId kGeneratedBit = SourceId{1} << 31;

class MarkedText {
 public:
  struct Run {  // from `begin` to the next run
    std::size_t begin;
    SourceId source;
  };

  MarkedText() = default;
  explicit MarkedText(std::string_view text, SourceId source = kTemplateSource) { append(text, source); }

  const std::string& bytes() const { return bytes_; }
  const std::vector<Run>& runs() const { return runs_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  SourceId source_at(std::size_t at) const;  // that of the nearest byte when `at` is the end

  void append(std::string_view text, SourceId source);
  void append(const MarkedText& text) { append(text, 0, text.size()); }
  void append(const MarkedText& text, std::size_t begin, std::size_t end);
  MarkedText slice(std::size_t begin, std::size_t end) const;
  void mark_generated();

 private:
  std::string bytes_;
  std::vector<Run> runs_;
};

// Byte offsets of the characters, and the end: n + 1 entries.
std::vector<std::size_t> character_offsets(std::string_view text);

// str.strip and its halves: white space, or any character of *characters.
struct StripSides {
  bool left = true, right = true;
};
MarkedText strip_text(const MarkedText& text, const std::string* characters, StripSides sides = {});
// str.replace; count < 0 means all. An empty `old` matches between characters, as in Python.
MarkedText replace_text(const MarkedText& text, const MarkedText& old, const MarkedText& with,
                        std::int64_t count);
enum class TextCase { Upper, Lower, Title, Capitalize };
// str.upper, lower, title, capitalize with Unicode's full mappings.
MarkedText change_case(const MarkedText& text, TextCase to);

}  // namespace lathe
