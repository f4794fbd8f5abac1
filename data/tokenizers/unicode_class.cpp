#include "data/tokenizers/unicode_class.h"

#include <unicode/uchar.h>

#include <vector>

namespace lathe {
namespace {

constexpr char32_t kCodePoints = 0x110000;

CharClass classify(char32_t c) {
  const auto code_point = static_cast<UChar32>(c);
  if (u_hasBinaryProperty(code_point, UCHAR_WHITE_SPACE)) return CharClass::Space;
  const std::uint32_t mask = U_GET_GC_MASK(code_point);
  if (mask & U_GC_L_MASK) return CharClass::Letter;
  if (mask & U_GC_N_MASK) return CharClass::Number;
  return CharClass::Other;
}

}  // namespace

const CharClass* char_classes() {
  static const std::vector<CharClass> table = [] {
    std::vector<CharClass> classes(kCodePoints);
    for (char32_t c = 0; c < kCodePoints; ++c) classes[c] = classify(c);
    return classes;
  }();
  return table.data();
}

bool is_white_space(char32_t c) { return c < kCodePoints && char_classes()[c] == CharClass::Space; }

bool is_word_character(char32_t c) {
  const std::uint32_t mask = U_GET_GC_MASK(static_cast<UChar32>(c));
  return (mask & (U_GC_L_MASK | U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0 ||
         u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_ALPHABETIC) ||
         u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_JOIN_CONTROL);
}

}  // namespace lathe
