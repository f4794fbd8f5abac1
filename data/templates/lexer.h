#pragma once
// Splits a chat template into text and the tokens inside {{ }} and {% %}, with Jinja's white space rules as
// transformers sets them (trim_blocks, lstrip_blocks, one newline at the end dropped).
// Syntax: https://jinja.palletsprojects.com/en/stable/templates/
#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

enum class LexKind {
  Data,
  BlockBegin,
  BlockEnd,
  OutputBegin,
  OutputEnd,
  Name,
  String,
  Integer,
  Float,
  Operator,
  End
};

struct LexToken {
  LexKind kind;
  int line;          // 1-based
  std::string text;  // Data, Name, Operator, String (unescaped)
  std::int64_t integer = 0;
  double real = 0;
};

// Errors: "name:line: what". `name` names the template.
std::vector<LexToken> lex_template(const std::string& source, const std::string& name);

}  // namespace lathe
