#include "data/tokenizers/charsmap.h"

#include <algorithm>
#include <cstring>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::uint32_t read_u32(std::string_view bytes, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + i]));
  };
  return byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
}

// The fields of a unit.
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
std::uint32_t label(std::uint32_t unit) { return unit & (0x80000000u | 0xFFu); }
std::uint32_t offset(std::uint32_t unit) { return (unit >> 10) << ((unit & 1u << 9) >> 6); }
std::uint32_t leaf_value(std::uint32_t unit) { return unit & 0x7FFFFFFFu; }

}  // namespace

Charsmap::Charsmap(std::string_view blob, const std::string& where) {
  require(blob.size() >= 4, where, ": precompiled_charsmap has ", blob.size(), " bytes; wanted at least 4");
  const std::size_t size = read_u32(blob, 0);
  require(size % 4 == 0 && size <= blob.size() - 4, where, ": precompiled_charsmap: its trie of ", size,
          " bytes does not fit in ", blob.size());
  for (std::size_t at = 4; at < 4 + size; at += 4) units_.push_back(read_u32(blob, at));
  forms_ = blob.substr(4 + size);
}

template <class Sink>
void Charsmap::walk(std::string_view text, Sink&& sink) const {
  if (units_.empty()) return;
  std::size_t node = offset(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size() || label(units_[node]) != byte) return;
    const std::uint32_t unit = units_[node];
    node ^= offset(unit);
    if (node >= units_.size()) return;
    if (has_leaf(unit) && !sink(Rule{i + 1, normal_form(leaf_value(units_[node]))})) return;
  }
}

std::string_view Charsmap::normal_form(std::uint32_t at) const {
  if (at >= forms_.size()) return {};
  const std::size_t end = forms_.find('\0', at);
  return std::string_view(forms_).substr(at, end == std::string::npos ? std::string::npos : end - at);
}

std::optional<Charsmap::Rule> Charsmap::shortest(std::string_view text) const {
  std::optional<Rule> found;
  walk(text, [&](const Rule& rule) {
    found = rule;
    return false;
  });
  return found;
}

std::optional<Charsmap::Rule> Charsmap::longest(std::string_view text) const {
  std::optional<Rule> found;
  walk(text, [&](const Rule& rule) {
    found = rule;
    return true;
  });
  return found;
}

std::string decode_base64(std::string_view text, const std::string& where) {
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  for (const char c : text) {
    const char* digit = c == '\0' ? nullptr : std::strchr(kDigits, c);
    require(digit != nullptr, where, ": '", c, "' is not base64");
    bits = bits << 6 | static_cast<std::uint32_t>(digit - kDigits);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count & 0xFF));
  }
  return bytes;
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t bits = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    for (std::size_t i = 0; i < 3; ++i)
      bits = bits << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i) text.push_back(i <= count ? kDigits[bits >> (18 - 6 * i) & 63] : '=');
  }
  return text;
}

}  // namespace lathe
