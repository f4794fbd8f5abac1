// The methods of str. Positions and counts are characters, as in Python.
#include <unicode/uchar.h>

#include <algorithm>

#include "data/io/utf8.h"
#include "data/templates/builtins.h"
#include "data/templates/operators.h"
#include "data/templates/string_methods.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

using Method = TemplateValue (*)(const TemplateValue& self, const CallArguments& arguments);

const MarkedText& text_of(const TemplateValue& self) { return *self.as_text(); }
TemplateValue made(const TemplateValue& self, MarkedText text) {
  return TemplateValue::text(std::move(text), self.source);
}

template <TextCase to>
TemplateValue recase(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str case method", arguments, {});
  return made(self, change_case(text_of(self), to));
}

template <bool left, bool right>
TemplateValue strip(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.strip", arguments, {"chars"});
  const std::string* characters = read.given(0) ? &read.text(0).bytes() : nullptr;
  return made(self, strip_text(text_of(self), characters, {left, right}));
}

// Whether the text begins (or ends) with one of the given texts: a string or a tuple of them.
template <bool end>
TemplateValue starts(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read(end ? "str.endswith" : "str.startswith", arguments, {"prefix"});
  const std::string& text = text_of(self).bytes();
  const ListValue* several = read.value(0).as_list();
  require(!several || several->kind == Sequence::Tuple, "startswith wants a string or a tuple of strings");
  const ValueList one = several ? several->items : ValueList{read.value(0)};
  if (!several) read.text(0);
  return TemplateValue::boolean(std::any_of(one.begin(), one.end(), [&](const TemplateValue& part) {
    require(part.as_text() != nullptr, "startswith wants strings, found ", type_name(part));
    const std::string& affix = part.as_text()->bytes();
    return end ? text.ends_with(affix) : text.starts_with(affix);
  }));
}

TemplateValue replace(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.replace", arguments, {"old", "new", "count"});
  return made(self, replace_text(text_of(self), read.text(0), read.text(1), read.integer(2, -1)));
}

template <bool last>
TemplateValue find(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.find", arguments, {"sub"});
  const std::string& text = text_of(self).bytes();
  const std::size_t at = last ? text.rfind(read.text(0).bytes()) : text.find(read.text(0).bytes());
  if (at == std::string::npos) return TemplateValue::integer(-1);
  return TemplateValue::integer(
      static_cast<std::int64_t>(count_characters(std::string_view(text).substr(0, at))));
}

TemplateValue index(const TemplateValue& self, const CallArguments& arguments) {
  TemplateValue found = find<false>(self, arguments);
  require(*found.get_if<std::int64_t>() >= 0, "substring not found");
  return found;
}

TemplateValue count(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.count", arguments, {"sub"});
  const std::string &text = text_of(self).bytes(), &sub = read.text(0).bytes();
  if (sub.empty()) return TemplateValue::integer(length_of(self) + 1);
  std::int64_t found = 0;
  for (std::size_t at = text.find(sub); at != std::string::npos; at = text.find(sub, at + sub.size()))
    ++found;
  return TemplateValue::integer(found);
}

TemplateValue join(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.join", arguments, {"iterable"});
  MarkedText out;
  bool first = true;
  for (const TemplateValue& item : iterate(read.value(0))) {
    require(item.as_text() != nullptr, "str.join wants strings, found ", type_name(item));
    if (!std::exchange(first, false)) out.append(text_of(self));
    out.append(*item.as_text());
  }
  return TemplateValue::text(std::move(out));
}

template <bool end>
TemplateValue remove_affix(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read(end ? "str.removesuffix" : "str.removeprefix", arguments, {"affix"});
  const MarkedText& text = text_of(self);
  const std::string& affix = read.text(0).bytes();
  if (end ? !text.bytes().ends_with(affix) : !text.bytes().starts_with(affix)) return self;
  return made(self, end ? text.slice(0, text.size() - affix.size()) : text.slice(affix.size(), text.size()));
}

// -1: text on the left, 1: on the right, 0: in the middle.
template <int side>
TemplateValue pad(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.ljust", arguments, {"width", "fillchar"});
  const std::int64_t width = (read.value(0), read.integer(0, 0)), size = length_of(self);
  const std::string fill = read.text_or(1, " ");
  require(count_characters(fill) == 1, "the fill must be one character");
  require(width <= static_cast<std::int64_t>(kMaxTextBytes), "a width of more than ", kMaxTextBytes);
  const std::int64_t room = std::max<std::int64_t>(width - size, 0);
  const std::int64_t left = side < 0 ? 0 : side > 0 ? room : room / 2 + (room & width & 1);
  MarkedText out;
  for (std::int64_t i = 0; i < left; ++i) out.append(fill, kTemplateSource);
  out.append(text_of(self));
  for (std::int64_t i = left; i < room; ++i) out.append(fill, kTemplateSource);
  return made(self, std::move(out));
}

// Whether every character is of a kind, and there is one.
template <UBool (*kind)(UChar32)>
TemplateValue all_are(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.is...", arguments, {});
  const std::string& text = text_of(self).bytes();
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    if (!kind(static_cast<UChar32>(c.value))) return TemplateValue::boolean(false);
    i += c.length;
  }
  return TemplateValue::boolean(!text.empty());
}
UBool is_space(UChar32 c) { return is_python_space(static_cast<char32_t>(c)); }

template <bool upper>
TemplateValue is_case(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.isupper", arguments, {});
  bool cased = false;
  const std::string& text = text_of(self).bytes();
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    const auto value = static_cast<UChar32>(c.value);
    if (upper ? u_isULowercase(value) || u_istitle(value) : u_isUUppercase(value) || u_istitle(value)) {
      return TemplateValue::boolean(false);
    }
    cased |= u_isULowercase(value) || u_isUUppercase(value);
    i += c.length;
  }
  return TemplateValue::boolean(cased);
}

constexpr std::pair<const char*, Method> kMethods[] = {
    {"upper", recase<TextCase::Upper>},
    {"lower", recase<TextCase::Lower>},
    {"title", recase<TextCase::Title>},
    {"capitalize", recase<TextCase::Capitalize>},
    {"strip", strip<true, true>},
    {"lstrip", strip<true, false>},
    {"rstrip", strip<false, true>},
    {"startswith", starts<false>},
    {"endswith", starts<true>},
    {"replace", replace},
    {"split", string_split},
    {"rsplit", string_rsplit},
    {"splitlines", string_splitlines},
    {"partition", string_partition},
    {"rpartition", string_rpartition},
    {"find", find<false>},
    {"rfind", find<true>},
    {"index", index},
    {"count", count},
    {"join", join},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"ljust", pad<-1>},
    {"rjust", pad<1>},
    {"center", pad<0>},
    {"isdigit", all_are<u_isdigit>},
    {"isdecimal", all_are<u_isdigit>},
    {"isalpha", all_are<u_isalpha>},
    {"isalnum", all_are<u_isalnum>},
    {"isspace", all_are<is_space>},
    {"isupper", is_case<true>},
    {"islower", is_case<false>},
    {"format", string_format},
};

constexpr const char* kLacking[] = {"casefold",     "encode",    "expandtabs",  "format_map", "isascii",
                                    "isidentifier", "isnumeric", "isprintable", "istitle",    "maketrans",
                                    "rindex",       "swapcase",  "translate",   "zfill"};

}  // namespace

std::optional<TemplateValue> find_string_method(const TemplateValue& value, const std::string& name) {
  for (const auto& [known, method] : kMethods) {
    if (name != known) continue;
    return TemplateValue::function({name,
                                    [value, call = method](Interpreter&, const CallArguments& arguments) {
                                      return call(value, arguments);
                                    },
                                    {}});
  }
  for (const char* lacking : kLacking)
    require(name != lacking, "the string method '", name, "' is not supported");
  return std::nullopt;
}

}  // namespace lathe
