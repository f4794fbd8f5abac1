#pragma once
// Text <-> value for recipe scalars, the same in every locale (from_chars, to_chars). Decimal only: `010`,
// `0x10`, `5m`, `1,5`, `.inf` are refused with a hint that says how to write what was meant.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lathe {

template <class T>
struct Scalar {
  std::optional<T> value;
  std::string hint;  // when there is no value: what to do, or empty
};

constexpr char kOnlyFinite[] = "only finite numbers";

// `300`, `10_000`, `10e9` (exact), `-1`.
Scalar<std::int64_t> parse_integer(const std::string& text);
// `1e-3`, `0.1`, `300`; finite.
Scalar<double> parse_number(const std::string& text);
// `true` and `false` alone.
Scalar<bool> parse_bool(const std::string& text);

// Shortest text that parse_number reads back to the same value.
std::string number_text(double value);
// "1 to 1000000000".
std::string limits_text(double min, double max);
// Without control characters: what a file says goes to a terminal.
std::string printable(const std::string& text);
// A YAML scalar that reads back as this text: plain where that is safe, else double-quoted.
std::string yaml_scalar(const std::string& text);
std::string yaml_quoted(const std::string& text);

// The candidate a typing error away from `word`, or "".
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);
// " (did you mean 'x'?)" or "".
std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates);
// "a, b or c".
std::string one_of(const std::vector<std::string>& words);

}  // namespace lathe
