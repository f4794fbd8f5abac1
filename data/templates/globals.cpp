// The global functions of chat templates.
#include <memory>

#include "data/templates/builtins.h"
#include "data/templates/operators.h"
#include "data/templates/python_text.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::int64_t kMaxRange = 100'000;  // as Jinja's sandbox

TemplateValue raise_exception(Interpreter&, const CallArguments& arguments) {
  const ArgumentReader read("raise_exception", arguments, {"message"});
  fail("the template refuses this conversation: ", to_text(read.value(0)).bytes());
}

TemplateValue strftime_now(Interpreter& in, const CallArguments& arguments) {
  const ArgumentReader read("strftime_now", arguments, {"format"});
  return TemplateValue::text(in.now(read.text(0).bytes()));
}

TemplateValue range(Interpreter&, const CallArguments& arguments) {
  const ArgumentReader read("range", arguments, {"start", "stop", "step"});
  const bool one = !read.find(1);
  read.value(0);
  const std::int64_t begin = one ? 0 : read.integer(0, 0), end = read.integer(one ? 0 : 1, 0);
  const std::int64_t step = read.integer(2, 1);
  require(step != 0, "range() wants a step other than 0");
  ValueList items;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    require(static_cast<std::int64_t>(items.size()) < kMaxRange, "a range of more than ", kMaxRange,
            " numbers");
    items.push_back(TemplateValue::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  const std::string tail = step == 1 ? ")" : cat(", ", step, ")");
  return TemplateValue::list(std::move(items), Sequence::Range, cat("range(", begin, ", ", end, tail));
}

// dict(mapping or pairs, name=value ...)
DictValue dict_of(const CallArguments& arguments, const char* function) {
  require(arguments.positional.size() <= 1, function, "() takes at most one positional argument");
  DictValue made;
  if (!arguments.positional.empty()) {
    const TemplateValue& from = arguments.positional.front();
    fail_if_undefined(from);
    if (const DictValue* dict = from.as_dict()) {
      made = *dict;
    } else {
      for (const TemplateValue& pair : iterate(from)) {
        const ValueList both = iterate(pair);
        require(both.size() == 2, function, "() wants pairs, found ", both.size(), " values");
        made.set(both[0], both[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) made.set(TemplateValue::text(name), value);
  return made;
}

TemplateValue dict(Interpreter&, const CallArguments& arguments) {
  return TemplateValue::dict(dict_of(arguments, "dict"));
}

TemplateValue make_space(Interpreter& in, const CallArguments& arguments) {
  DictValue fields = dict_of(arguments, "namespace");
  for (const auto& [name, value] : fields.items) {
    require(!name.as_text() || name.as_text()->bytes().rfind('_', 0) != 0,
            "a namespace cannot store names that begin with '_'");
  }
  return in.make_namespace(std::move(fields));
}

// joiner(sep): nothing on the first call, then sep.
TemplateValue joiner(Interpreter&, const CallArguments& arguments) {
  const ArgumentReader read("joiner", arguments, {"sep"});
  const TemplateValue separator = read.find(0) ? *read.find(0) : TemplateValue::text(", ");
  auto used = std::make_shared<bool>(false);
  return TemplateValue::function({"joiner",
                                  [separator, used](Interpreter&, const CallArguments&) {
                                    if (std::exchange(*used, true)) return separator;
                                    return TemplateValue::text("");
                                  },
                                  {}});
}

// cycler(items ...): next(), reset(), current.
TemplateValue cycler(Interpreter&, const CallArguments& arguments) {
  require(!arguments.positional.empty(), "cycler() wants at least one item");
  const auto items = std::make_shared<const ValueList>(arguments.positional);
  auto at = std::make_shared<std::size_t>(0);
  const TemplateValue next = TemplateValue::function({"next",
                                                      [items, at](Interpreter&, const CallArguments&) {
                                                        const std::size_t now = *at;
                                                        *at = (now + 1) % items->size();
                                                        return (*items)[now];
                                                      },
                                                      {}});
  const TemplateValue reset = TemplateValue::function({"reset",
                                                       [at](Interpreter&, const CallArguments&) {
                                                         *at = 0;
                                                         return TemplateValue::none();
                                                       },
                                                       {}});
  CallableValue made{"cycler",
                     [](Interpreter&, const CallArguments&) -> TemplateValue {
                       fail("'Cycler' object is not callable; use .next()");
                     },
                     {}};
  made.attributes.emplace_back("next", [next] { return next; });
  made.attributes.emplace_back("reset", [reset] { return reset; });
  made.attributes.emplace_back("current", [items, at] { return (*items)[*at]; });
  return TemplateValue::function(std::move(made));
}

}  // namespace

NamedValues template_globals() {
  const auto function = [](const char* name, auto* call) {
    return TemplateValue::function({name, call, {}});
  };
  return {{"raise_exception", function("raise_exception", &raise_exception)},
          {"strftime_now", function("strftime_now", &strftime_now)},
          {"range", function("range", &range)},
          {"dict", function("dict", &dict)},
          {"namespace", function("namespace", &make_space)},
          {"joiner", function("joiner", &joiner)},
          {"cycler", function("cycler", &cycler)}};
}

}  // namespace lathe
