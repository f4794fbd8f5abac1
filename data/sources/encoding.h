#pragma once
// Bytes of a file -> UTF-8. Spreadsheets still write CP1252 and UTF-16; what was found is told, never guessed
// in silence: byte order mark, else valid UTF-8, else UTF-16 by its zero bytes, else CP1252 unless ICU's
// detector is sure of another charset. Converters are ICU's. Pure functions.
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

struct DecodedText {
  std::string text;      // valid UTF-8 without byte order mark
  std::string encoding;  // "UTF-8", "UTF-8 with BOM", "UTF-16LE", "CP1252" ... as shown to the user
  std::vector<std::string> notes;
};

// `encoding`: empty, "auto" or "error" detect; "replace" is UTF-8 with U+FFFD for invalid bytes; any other is
// a charset's name as ICU knows it (utf-8, cp1252, latin1, utf-16, shift_jis ...). Error naming path, line
// and byte when the bytes are not of that charset, or when nothing fits.
DecodedText decode_text(std::string bytes, const std::string& path, const std::string& encoding = "");

}  // namespace lathe
