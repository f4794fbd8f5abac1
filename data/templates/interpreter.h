#pragma once
// Runs the syntax tree of a chat template over values, as Jinja's sandbox in transformers does (undefined
// prints nothing, containers cannot be changed). One object renders once, on one thread; work, text and depth
// are bounded, so a hostile template ends in an Error.
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/templates/syntax.h"

namespace lathe {

struct TemplateLimits {
  std::uint64_t steps = 10'000'000;                // expressions evaluated, and parts of values visited
  std::uint64_t bytes = std::uint64_t{256} << 20;  // of all texts and lists made on the way
  int depth = 600;                                 // nested evaluation, macro calls included
};

// What one `{{ }}` or piece of template text wrote: where, by which statement, in the loop over which message
// (-1: none).
struct OutputPiece {
  std::size_t begin;
  const Statement* by;
  int message;
};

class Interpreter {
 public:
  struct Setting {
    const std::string& name;  // of the template, for errors
    TemplateLimits limits;
    std::function<std::string(const std::string&)> now;  // strftime of the injected clock
    std::function<int(SourceId)> message_of;             // the message a source is the whole of, or -1
  };
  explicit Interpreter(Setting setting);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void define(const std::string& name, TemplateValue value);
  // Errors: "name:line: what". raise_exception is one as well.
  MarkedText run(const Body& body);
  const std::vector<OutputPiece>& pieces() const { return pieces_; }

  // For functions, filters and tests.
  void spend(std::uint64_t steps);
  void spend_deep(const TemplateValue& value) { spend(weight_of(value)); }
  TemplateValue call(const TemplateValue& function, const CallArguments& arguments);
  TemplateValue filter(const std::string& name, const TemplateValue& value, const CallArguments& arguments);
  bool test(const std::string& name, const TemplateValue& value, const CallArguments& arguments);
  std::string now(const std::string& format) const { return setting_.now(format); }
  TemplateValue make_namespace(DictValue fields);

 private:
  struct Frame {
    std::vector<std::pair<std::string, TemplateValue>> names;
    std::shared_ptr<Frame> parent;
    const TemplateValue* find(const std::string& name) const;
    void set(const std::string& name, TemplateValue value);
  };
  using FramePtr = std::shared_ptr<Frame>;
  enum class Flow { Normal, Break, Continue };
  class Depth;
  class Scope;

  void define_globals();
  Flow execute(const Body& body);
  Flow execute(const Statement& statement);
  void write(const MarkedText& text, const Statement& by);
  MarkedText capture(const Body& body);
  Flow loop(const Statement& statement);
  bool passes(const Statement& statement, const TemplateValue& item);
  void assign(const Target& target, const TemplateValue& value);
  TemplateValue make_macro(const Statement& statement);
  TemplateValue call_macro(const Statement& statement, const FramePtr& frame, const CallArguments& arguments);
  void bind_parameters(const Statement& statement, const CallArguments& arguments);
  void call_block(const Statement& statement);

  TemplateValue evaluate(const Expression& expression);
  TemplateValue evaluate_kind(const Expression& expression);
  TemplateValue charged(TemplateValue value);
  TemplateValue look_up(const std::string& name);
  TemplateValue evaluate_call(const Expression& expression, const NamedValues& extra = {});
  TemplateValue evaluate_filter(const Expression& expression, const TemplateValue* input);
  TemplateValue evaluate_binary(const Expression& expression);
  TemplateValue evaluate_comparison(const Expression& expression);
  TemplateValue evaluate_dict(const Expression& expression);
  TemplateValue evaluate_slice(const Expression& expression);
  ValueList evaluate_all(const Expression& expression, std::size_t from);
  CallArguments evaluate_arguments(const Expression& expression);

  Setting setting_;
  std::uint64_t steps_ = 0, bytes_ = 0;
  int depth_ = 0, line_ = 1, message_ = -1;
  FramePtr frame_;
  std::vector<FramePtr> kept_;                        // frames that macros refer to
  std::vector<TemplateValue::Namespace> namespaces_;  // emptied at the end: they may hold each other
  MarkedText root_;
  MarkedText* out_ = &root_;
  std::vector<OutputPiece> pieces_;
};

}  // namespace lathe
