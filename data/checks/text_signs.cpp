#include "data/checks/text_signs.h"

#include <cstdint>
#include <cstdio>

#include "data/io/utf8.h"

namespace lathe {
namespace {

// Marks of the chat formats of today's families, wherever they stand.
constexpr std::string_view kAnywhere[] = {"<|im_start|>",
                                          "<|im_end|>",
                                          "<|endoftext|>",
                                          "<|begin_of_text|>",
                                          "<|end_of_text|>",
                                          "<|start_header_id|>",
                                          "<|end_header_id|>",
                                          "<|eot_id|>",
                                          "<|eom_id|>",
                                          "<|system|>",
                                          "<|user|>",
                                          "<|assistant|>",
                                          "<|end|>",
                                          "<start_of_turn>",
                                          "<end_of_turn>",
                                          "[INST]",
                                          "[/INST]",
                                          "<<SYS>>",
                                          "<</SYS>>",
                                          "[AVAILABLE_TOOLS]",
                                          "[TOOL_CALLS]",
                                          "<|START_OF_TURN_TOKEN|>",
                                          "<|END_OF_TURN_TOKEN|>",
                                          "<bos>",
                                          "<eos>",
                                          "[EOS]",
                                          "[BOS]"};
// Only where a line begins with them.
constexpr std::string_view kLineStart[] = {
    "### Instruction", "### Response", "### Input", "### Human", "### Assistant", "### System",
    "System:",         "SYSTEM:",      "User:",     "USER:",     "Human:",        "HUMAN:",
    "Assistant:",      "ASSISTANT:",   "Bot:",      "BOT:",      "Utilisateur :", "Utilisateur:"};

// The CP1252 byte of a character, 0 for none; Latin-1's control characters count as their bytes.
std::uint8_t cp1252_byte(char32_t c) {
  if (c >= 0x80 && c <= 0xFF) return static_cast<std::uint8_t>(c);
  constexpr char32_t kHigh[32] = {0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
                                  0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,      0x017D, 0,
                                  0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                  0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};
  for (std::uint8_t i = 0; i < 32; ++i) {
    if (kHigh[i] && kHigh[i] == c) return static_cast<std::uint8_t>(0x80 + i);
  }
  return 0;
}

// Length in bytes of a double-encoded sequence at text[at]. Only the leads that ordinary text turns into: C2
// and C3 (Latin-1 letters and signs), C5 (oe), E2 80 and E2 82 (quotes, dashes, the euro), F0 9F (emoji), EF
// BB (byte order mark); others do occur in proper text.
std::size_t double_encoded(std::string_view text, std::size_t at) {
  std::uint8_t bytes[4] = {};
  std::size_t end = at, lengths[4] = {};
  for (std::size_t i = 0; i < 4 && end < text.size(); ++i) {
    const CodePoint c = decode_utf8(text, end);
    bytes[i] = cp1252_byte(c.value);
    end += c.length;
    lengths[i] = end - at;
    if (bytes[i] == 0) break;
  }
  const auto tail = [&](std::size_t i) { return bytes[i] >= 0x80 && bytes[i] <= 0xBF; };
  if ((bytes[0] == 0xC2 || bytes[0] == 0xC3) && tail(1)) return lengths[1];
  if (bytes[0] == 0xC5 && (bytes[1] == 0x92 || bytes[1] == 0x93)) return lengths[1];
  if (bytes[0] == 0xE2 && (bytes[1] == 0x80 || bytes[1] == 0x82) && tail(2)) return lengths[2];
  if (bytes[0] == 0xEF && bytes[1] == 0xBB && bytes[2] == 0xBF) return lengths[2];
  if (bytes[0] == 0xF0 && bytes[1] == 0x9F && tail(2) && tail(3)) return lengths[3];
  return 0;
}

}  // namespace

std::optional<std::string> role_mark(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '<' || c == '[') {
      for (const auto mark : kAnywhere) {
        if (text.substr(at).starts_with(mark)) return std::string(mark);
      }
    }
    if (at > 0 && text[at - 1] != '\n') continue;
    for (const auto mark : kLineStart) {
      if (text.substr(at).starts_with(mark)) return std::string(mark);
    }
  }
  return std::nullopt;
}

std::optional<std::string> encoding_damage(std::string_view text) {
  const std::string valid = replace_invalid_utf8(text);
  for (std::size_t at = 0; at < valid.size();) {
    if ((valid[at] & 0x80) == 0) {
      ++at;
      continue;
    }
    const CodePoint c = decode_utf8(valid, at);
    if (c.value == 0xFFFD) return "U+FFFD";
    if (const std::size_t length = double_encoded(valid, at)) return valid.substr(at, length);
    if (c.value < 0xA0 && c.value != 0x85) {
      char name[16];
      std::snprintf(name, sizeof name, "U+%04X", static_cast<unsigned>(c.value));
      return name;
    }
    at += c.length;
  }
  return std::nullopt;
}

std::optional<std::string> control_character(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t' && c != '\n' && c != '\r') || byte == 0x7F) {
      char name[16];
      std::snprintf(name, sizeof name, "U+%04X", byte);
      return name;
    }
  }
  return std::nullopt;
}

}  // namespace lathe
