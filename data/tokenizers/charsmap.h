#pragma once
// SentencePiece's precompiled_charsmap: a double array trie (Aoe 1989, in darts-clone's layout) from
// character sequences to their normal forms. Every step is checked against the bounds of an untrusted file.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

class Charsmap {
 public:
  Charsmap(std::string_view blob, const std::string& where);
  struct Rule {
    std::size_t length;  // bytes of the text it stands for
    std::string_view normal;
  };
  std::optional<Rule> shortest(std::string_view text) const;
  std::optional<Rule> longest(std::string_view text) const;

 private:
  template <class Sink>
  void walk(std::string_view text, Sink&& sink) const;  // sink returns false to stop
  std::string_view normal_form(std::uint32_t offset) const;

  std::vector<std::uint32_t> units_;
  std::string forms_;  // separated by NUL
};

std::string decode_base64(std::string_view text, const std::string& where);
std::string encode_base64(std::string_view bytes);

}  // namespace lathe
