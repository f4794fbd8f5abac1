// A SentencePiece .model: the wire format of its protocol buffer, then the tokenizer made of it.
#include <cstdint>
#include <cstring>

#include "data/tokenizers/load.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {

void use_tokenizer(const Tokenizer& tokenizer);  // target_tokenizer_json.cpp

namespace {

void run(std::string_view bytes) {
  use_tokenizer(*tokenizer_from_sentencepiece(std::string(bytes), {}, "fuzz"));
}

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7F) | 0x80);
  return out + static_cast<char>(value);
}
std::string bytes_field(unsigned number, const std::string& content) {
  return varint(number << 3 | 2) + varint(content.size()) + content;
}
std::string number_field(unsigned number, std::uint64_t value) { return varint(number << 3) + varint(value); }
std::string piece(const std::string& text, float score, unsigned type) {
  std::string bits(4, '\0');
  std::memcpy(bits.data(), &score, 4);
  return bytes_field(1, bytes_field(1, text) + varint(2 << 3 | 5) + bits + number_field(3, type));
}

std::string model(unsigned kind, bool fallback, const std::string& normalizer) {
  std::string out = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3);
  if (fallback) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      const char* digits = "0123456789ABCDEF";
      out += piece(std::string("<0x") + digits[byte >> 4] + digits[byte & 15] + ">", 0, 6);
    }
  }
  const char* pieces[] = {"\xE2\x96\x81",   "a",  "b",   "ab", "st", "s", "t", "o", "p",
                          "\xE2\x96\x81st", "op", "stop"};
  float score = -1;
  for (const char* text : pieces) out += piece(text, score -= 0.5f, 1);
  out += piece("user", 0, 4) + (kind == 1 ? piece("unused", -3, 5) : "");
  return out + bytes_field(2, number_field(3, kind) + number_field(35, fallback)) +
         bytes_field(3, normalizer);
}

std::vector<std::string> seeds() {
  const std::string identity = number_field(3, 1) + number_field(4, 0) + number_field(5, 1);
  // A trie of four units that maps 'A' to "a": root, the label's unit with a leaf, the leaf.
  const std::string map = std::string("\x10\0\0\0", 4) + std::string(16, '\x01') + std::string("a\0", 2);
  return {model(1, true, identity),
          model(2, true, identity),
          model(1, false, number_field(3, 0) + number_field(4, 1)),
          model(2, false, bytes_field(2, map) + number_field(3, 1)),
          bytes_field(1, std::string("\x0a\xff\xff\xff\xff\x0f", 6)),  // a piece longer than the file
          std::string(20, '\xff'),
          "\x0a",
          ""};
}

}  // namespace

Target sentencepiece_target() {
  return {"sentencepiece",
          run,
          seeds,
          {varint(UINT64_MAX), varint(1u << 31), varint(0x7FFFFFFF), std::string("\0\0\xC0\x7F", 4),
           std::string("\0\0\x80\xFF", 4), piece("a", -1, 1), piece("x", 0, 4), number_field(3, 1),
           number_field(3, 2), number_field(35, 0)},
          60000};
}

}  // namespace lathe::fuzz
