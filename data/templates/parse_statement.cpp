#include <algorithm>
#include <initializer_list>
#include <utility>

#include "data/templates/parser.h"

namespace lathe {
namespace {

constexpr int kMaxBlocks = 100;  // of nested blocks

class StatementParser {
 public:
  explicit StatementParser(TokenReader& in) : in_(in), expressions_(in) {}

  Body document() {
    Body out = body({});
    if (!in_.is(LexKind::End)) in_.error("wanted text, found ", in_.found());
    return out;
  }

 private:
  using Names = std::initializer_list<const char*>;

  Statement make(StatementKind kind) {
    Statement made{};
    made.kind = kind;
    made.line = in_.line();
    made.id = ++statements_;
    return made;
  }

  // Statements up to "{% name" with one of `ends`, whose name is then the current token.
  Body body(Names ends) {
    if (++depth_ > kMaxBlocks) in_.error("blocks nested deeper than ", kMaxBlocks);
    const int opened = in_.line();
    Body out;
    while (!in_.is(LexKind::End)) {
      if (in_.is(LexKind::Data)) {
        Statement data = make(StatementKind::Data);
        data.text = in_.take().text;
        out.push_back(std::move(data));
      } else if (in_.is(LexKind::OutputBegin)) {
        out.push_back(output());
      } else {
        in_.take();  // {%
        for (const char* end : ends) {
          if (!in_.is_name(end)) continue;
          --depth_;
          return out;
        }
        out.push_back(statement());
      }
    }
    if (ends.size() > 0)
      in_.error("the block opened on line ", opened, " is never closed; add '{% ", *(ends.end() - 1), " %}'");
    --depth_;
    return out;
  }

  void close(const char* word) {
    in_.want_name(word);
    end_block();
  }

  void end_block() {
    if (!in_.is(LexKind::BlockEnd)) in_.error("wanted '%}', found ", in_.found());
    in_.take();
  }

  Statement output() {
    Statement made = make(StatementKind::Output);
    in_.take();
    made.expression = expressions_.tuple();
    if (!in_.is(LexKind::OutputEnd)) in_.error("wanted '}}', found ", in_.found());
    in_.take();
    return made;
  }

  Statement statement() {
    if (!in_.is(LexKind::Name)) in_.error("wanted the name of a block, found ", in_.found());
    const std::string word = in_.current().text;
    if (word == "if") return if_block();
    if (word == "for") return for_block();
    if (word == "set") return set();
    if (word == "macro") return macro();
    if (word == "call") return call_block();
    if (word == "filter") return filter_block();
    if (word == "with") return with();
    if (word == "generation") return generation();
    if (word == "break" || word == "continue") return jump(word == "break");
    if (word == "print") {
      Statement made = make(StatementKind::Output);
      in_.take();
      made.expression = expressions_.tuple();
      end_block();
      return made;
    }
    in_.error("'{% ", word, " %}' is not a block that chat templates have here");
  }

  Statement if_block() {
    Statement made = make(StatementKind::If);
    in_.take();  // if, or elif
    made.expression = expressions_.tuple({.condition = false});
    end_block();
    made.body = body({"elif", "else", "endif"});
    if (in_.is_name("elif")) {
      if (++depth_ > 2 * kMaxBlocks) in_.error("too many branches");
      made.otherwise.push_back(if_block());
      --depth_;
      return made;
    }
    if (in_.skip_name("else")) {
      end_block();
      made.otherwise = body({"endif"});
    }
    close("endif");
    return made;
  }

  Statement for_block() {
    Statement made = make(StatementKind::For);
    in_.take();
    made.target = targets(false);
    in_.want_name("in");
    made.expression = expressions_.tuple({.condition = false, .end = "recursive"});
    if (in_.skip_name("if")) made.condition = expressions_.expression();
    if (in_.is_name("recursive")) in_.error("recursive loops are not supported");
    end_block();
    ++loops_;
    made.body = body({"else", "endfor"});
    --loops_;
    if (in_.skip_name("else")) {
      end_block();
      made.otherwise = body({"endfor"});
    }
    close("endfor");
    return made;
  }

  Target target(bool attributes) {
    if (in_.skip_operator("(")) {
      Target group = targets(false);
      in_.want_operator(")");
      return group;
    }
    Target made;
    made.name = in_.want_identifier("a name to assign to");
    if (made.name == "true" || made.name == "false" || made.name == "none" || made.name == "True" ||
        made.name == "False" || made.name == "None" || made.name == "not") {
      in_.error("'", made.name, "' cannot be assigned to");
    }
    if (attributes && in_.skip_operator(".")) made.attribute = in_.want_identifier("an attribute");
    return made;
  }

  Target targets(bool attributes) {
    if (++depth_ > 2 * kMaxBlocks) in_.error("targets nested too deep");
    Target first = target(attributes);
    --depth_;
    if (!in_.is_operator(",")) return first;
    Target made;
    made.parts.push_back(std::move(first));
    while (in_.skip_operator(",")) {
      if (!in_.is(LexKind::Name) && !in_.is_operator("(")) break;
      if (in_.is_name("in")) break;
      made.parts.push_back(target(attributes));
    }
    return made;
  }

  Statement set() {
    Statement made = make(StatementKind::Set);
    in_.take();
    made.target = targets(true);
    if (in_.skip_operator("=")) {
      made.expression = expressions_.tuple();
      end_block();
      return made;
    }
    made.kind = StatementKind::SetBlock;
    if (in_.skip_operator("|")) made.expression = expressions_.filters(nullptr);
    end_block();
    made.body = inner({"endset"});
    close("endset");
    return made;
  }

  // A body that is a function of its own: loops outside do not count for break.
  Body inner(Names ends) {
    const int loops = std::exchange(loops_, 0);
    Body out = body(ends);
    loops_ = loops;
    return out;
  }

  void parameters(Statement& made) {
    in_.want_operator("(");
    while (!in_.is_operator(")")) {
      if (!made.parameters.empty()) in_.want_operator(",");
      MacroParameter parameter;
      parameter.name = in_.want_identifier("the name of a parameter");
      if (in_.skip_operator("=")) {
        parameter.fallback = expressions_.expression();
      } else if (!made.parameters.empty() && made.parameters.back().fallback) {
        in_.error("parameter '", parameter.name, "' without a default follows one with");
      }
      made.parameters.push_back(std::move(parameter));
    }
    in_.want_operator(")");
  }

  void macro_body(Statement& made, const char* end) {
    const bool varargs = std::exchange(expressions_.uses_varargs, false);
    const bool kwargs = std::exchange(expressions_.uses_kwargs, false);
    const bool caller = std::exchange(expressions_.uses_caller, false);
    made.body = inner({end});
    close(end);
    made.takes_varargs = std::exchange(expressions_.uses_varargs, varargs);
    made.takes_kwargs = std::exchange(expressions_.uses_kwargs, kwargs);
    made.takes_caller = std::exchange(expressions_.uses_caller, caller);
  }

  Statement macro() {
    Statement made = make(StatementKind::Macro);
    in_.take();
    made.text = in_.want_identifier("the name of the macro");
    parameters(made);
    end_block();
    macro_body(made, "endmacro");
    return made;
  }

  Statement call_block() {
    Statement made = make(StatementKind::CallBlock);
    made.text = "caller";
    in_.take();
    if (in_.is_operator("(")) parameters(made);
    made.expression = expressions_.expression();
    if (made.expression->kind != ExpressionKind::Call) in_.error("'{% call %}' wants a call");
    end_block();
    macro_body(made, "endcall");
    return made;
  }

  Statement filter_block() {
    Statement made = make(StatementKind::FilterBlock);
    in_.take();
    made.expression = expressions_.filters(nullptr);
    end_block();
    made.body = inner({"endfilter"});
    close("endfilter");
    return made;
  }

  Statement with() {
    Statement made = make(StatementKind::With);
    in_.take();
    while (!in_.is(LexKind::BlockEnd)) {
      if (!made.values.empty()) in_.want_operator(",");
      std::string name = in_.want_identifier("a name");
      in_.want_operator("=");
      made.values.emplace_back(std::move(name), expressions_.expression());
    }
    end_block();
    made.body = body({"endwith"});
    close("endwith");
    return made;
  }

  Statement generation() {
    Statement made = make(StatementKind::Generation);
    in_.take();
    end_block();
    made.body = inner({"endgeneration"});
    close("endgeneration");
    return made;
  }

  Statement jump(bool is_break) {
    Statement made = make(is_break ? StatementKind::Break : StatementKind::Continue);
    if (loops_ == 0) in_.error("'{% ", in_.current().text, " %}' outside of a loop");
    in_.take();
    end_block();
    return made;
  }

  TokenReader& in_;
  ExpressionParser expressions_;
  int depth_ = 0, loops_ = 0, statements_ = 0;
};

}  // namespace

Body parse_template(const std::string& source, const std::string& name) {
  TokenReader tokens(lex_template(source, name), name);
  return StatementParser(tokens).document();
}

}  // namespace lathe
