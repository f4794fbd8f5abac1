#include "data/templates/parser.h"

namespace lathe {

void TokenReader::want_operator(const char* op) {
  if (!skip_operator(op)) error("wanted '", op, "', found ", found());
}

void TokenReader::want_name(const char* word) {
  if (!skip_name(word)) error("wanted '", word, "', found ", found());
}

std::string TokenReader::want_identifier(const char* what) {
  if (!is(LexKind::Name)) error("wanted ", what, ", found ", found());
  return take().text;
}

std::string TokenReader::found() const {
  switch (current().kind) {
    case LexKind::End:
      return "the end of the template";
    case LexKind::BlockEnd:
      return "'%}'";
    case LexKind::OutputEnd:
      return "'}}'";
    case LexKind::BlockBegin:
      return "'{%'";
    case LexKind::OutputBegin:
      return "'{{'";
    case LexKind::Data:
      return "text";
    case LexKind::String:
      return "a string";
    default:
      return "'" + current().text + "'";
  }
}

}  // namespace lathe
