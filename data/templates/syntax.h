#pragma once
// The syntax tree of a chat template. Plain data, immutable after parsing, owned by the template.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/templates/value.h"

namespace lathe {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

enum class ExpressionKind {
  Constant,   // constant
  Name,       // name
  List,       // operands
  Tuple,      // operands
  Dict,       // operands: key, value, key, value ...
  Attribute,  // operands[0] . name
  Item,       // operands[0] [ operands[1] ]
  Slice,      // operands[0] [ operands[1] : operands[2] : operands[3] ], null where absent
  Call,       // operands[0] ( the rest, named )
  Filter,     // operands[0] | name ( the rest, named ); operands[0] is null inside {% filter %}
  Test,       // operands[0] is name ( the rest, named )
  Unary,      // name operands[0]: + - not
  Binary,     // operands[0] name operands[1]: + - * / // % ** ~ and or
  Compare,    // operands[0] names[0] operands[1] names[1] operands[2] ...
  Condition,  // operands[0] if operands[1] else operands[2], null where absent
};

struct Expression {
  ExpressionKind kind;
  int line;
  int height = 1;  // levels of the tree below and including this one
  std::string name;
  TemplateValue constant;
  std::vector<ExpressionPtr> operands;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> names;
};

struct Statement;
using Body = std::vector<Statement>;

enum class StatementKind {
  Data,
  Output,
  If,
  For,
  Set,
  SetBlock,
  Macro,
  CallBlock,
  FilterBlock,
  With,
  Generation,
  Break,
  Continue
};

// A name, ns.attribute, or several of them to unpack into.
struct Target {
  std::string name, attribute;
  std::vector<Target> parts;
};

struct MacroParameter {
  std::string name;
  ExpressionPtr fallback;  // null: undefined when not given
};

struct Statement {
  StatementKind kind;
  int line;
  int id = 0;                // its own number within the template
  std::string text;          // Data; the name of a Macro
  ExpressionPtr expression;  // Output, If's condition, For's list, Set's value, the call, the filters
  ExpressionPtr condition;   // For ... if
  Target target;             // For, Set, SetBlock
  Body body, otherwise;
  std::vector<MacroParameter> parameters;                     // Macro, CallBlock
  std::vector<std::pair<std::string, ExpressionPtr>> values;  // With
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;
};

// Errors: "name:line: what was wanted, what was found"; a construct that is not supported is one by name.
Body parse_template(const std::string& source, const std::string& name);

}  // namespace lathe
