// The methods of str that take it apart or fill it in.
#include <algorithm>

#include "data/io/utf8.h"
#include "data/templates/builtins.h"
#include "data/templates/python_text.h"
#include "data/templates/string_methods.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

// Splits at runs of white space; the part left when the limit is met keeps its outer space.
ValueList split_space(const MarkedText& text, std::int64_t limit, bool from_right) {
  const std::vector<std::size_t> at = character_offsets(text.bytes());
  const auto space = [&](std::size_t i) { return is_python_space(decode_utf8(text.bytes(), at[i]).value); };
  ValueList parts;
  std::size_t begin = 0, end = at.size() - 1;
  const auto take = [&](std::size_t from, std::size_t to) {
    parts.push_back(TemplateValue::text(text.slice(at[from], at[to])));
  };
  while (true) {
    while (begin < end && space(from_right ? end - 1 : begin)) from_right ? --end : ++begin;
    if (begin == end) break;
    if (limit >= 0 && static_cast<std::int64_t>(parts.size()) == limit) {
      take(begin, end);
      break;
    }
    std::size_t edge = from_right ? end : begin;
    if (from_right) {
      while (edge > begin && !space(edge - 1)) --edge;
      take(edge, end);
      end = edge;
    } else {
      while (edge < end && !space(edge)) ++edge;
      take(begin, edge);
      begin = edge;
    }
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

ValueList split_by(const MarkedText& text, const std::string& separator, std::int64_t limit,
                   bool from_right) {
  require(!separator.empty(), "empty separator");
  ValueList parts;
  std::size_t begin = 0, end = text.size();
  while (limit < 0 || static_cast<std::int64_t>(parts.size()) < limit) {
    std::size_t found = std::string::npos;
    if (!from_right) {
      found = text.bytes().find(separator, begin);
    } else if (end >= separator.size()) {
      found = text.bytes().rfind(separator, end - separator.size());
    }
    if (found == std::string::npos) break;
    parts.push_back(TemplateValue::text(from_right ? text.slice(found + separator.size(), end)
                                                   : text.slice(begin, found)));
    (from_right ? end : begin) = from_right ? found : found + separator.size();
  }
  parts.push_back(TemplateValue::text(text.slice(begin, end)));
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

template <bool from_right>
TemplateValue split(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.split", arguments, {"sep", "maxsplit"});
  const std::int64_t limit = read.integer(1, -1);
  return TemplateValue::list(read.given(0)
                                 ? split_by(*self.as_text(), read.text(0).bytes(), limit, from_right)
                                 : split_space(*self.as_text(), limit, from_right));
}

template <bool last>
TemplateValue partition(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.partition", arguments, {"sep"});
  const MarkedText &text = *self.as_text(), &separator = read.text(0);
  require(!separator.empty(), "empty separator");
  const std::size_t found =
      last ? text.bytes().rfind(separator.bytes()) : text.bytes().find(separator.bytes());
  ValueList parts(3, TemplateValue::text(""));
  if (found == std::string::npos) {
    parts[last ? 2 : 0] = self;
  } else {
    parts[0] = TemplateValue::text(text.slice(0, found), self.source);
    parts[1] = TemplateValue::text(text.slice(found, found + separator.size()), self.source);
    parts[2] = TemplateValue::text(text.slice(found + separator.size(), text.size()), self.source);
  }
  return TemplateValue::list(std::move(parts), Sequence::Tuple);
}

}  // namespace

TemplateValue string_split(const TemplateValue& self, const CallArguments& arguments) {
  return split<false>(self, arguments);
}
TemplateValue string_rsplit(const TemplateValue& self, const CallArguments& arguments) {
  return split<true>(self, arguments);
}
TemplateValue string_partition(const TemplateValue& self, const CallArguments& arguments) {
  return partition<false>(self, arguments);
}
TemplateValue string_rpartition(const TemplateValue& self, const CallArguments& arguments) {
  return partition<true>(self, arguments);
}

TemplateValue string_splitlines(const TemplateValue& self, const CallArguments& arguments) {
  const ArgumentReader read("str.splitlines", arguments, {"keepends"});
  const MarkedText& text = *self.as_text();
  ValueList lines;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text.bytes(), i);
    const bool end = (c.value >= 10 && c.value <= 13) || (c.value >= 0x1C && c.value <= 0x1E) ||
                     c.value == 0x85 || c.value == 0x2028 || c.value == 0x2029;
    std::size_t next = i + c.length;
    if (c.value == 13 && next < text.size() && text.bytes()[next] == '\n') ++next;
    if (end) {
      lines.push_back(TemplateValue::text(text.slice(begin, read.truth_of(0, false) ? next : i)));
      begin = next;
    }
    i = next;
  }
  if (begin < text.size()) lines.push_back(TemplateValue::text(text.slice(begin, text.size())));
  return TemplateValue::list(std::move(lines));
}

// str.format with {}, {0} and {name}; attributes, conversions and format specs are not supported.
TemplateValue string_format(const TemplateValue& self, const CallArguments& arguments) {
  const MarkedText& text = *self.as_text();
  const std::string& bytes = text.bytes();
  MarkedText out;
  std::size_t next = 0;
  bool counted = false, numbered = false;
  for (std::size_t i = 0; i < bytes.size();) {
    const std::size_t brace = std::min(bytes.find_first_of("{}", i), bytes.size());
    out.append(text, i, brace);
    if (brace == bytes.size()) break;
    if (brace + 1 < bytes.size() && bytes[brace + 1] == bytes[brace]) {
      out.append(text, brace, brace + 1);
      i = brace + 2;
      continue;
    }
    const std::size_t end = bytes[brace] == '{' ? bytes.find('}', brace) : std::string::npos;
    require(end != std::string::npos, "a single '", bytes[brace], "' in a format string");
    const std::string name = bytes.substr(brace + 1, end - brace - 1);
    require(name.find_first_of(".[!:{") == name.npos, "str.format: '{", name, "}' is not supported");
    const bool number = name.find_first_not_of("0123456789") == name.npos && name.size() < 6;
    const TemplateValue* value = nullptr;
    if (number) {
      (name.empty() ? counted : numbered) = true;
      require(!(counted && numbered), "str.format: {} and {0} cannot be mixed");
      const std::size_t at = name.empty() ? next++ : std::stoul(name);
      if (at < arguments.positional.size()) value = &arguments.positional[at];
    }
    for (const auto& named : arguments.named) {
      if (named.first == name) value = &named.second;
    }
    require(value != nullptr, "str.format: nothing is given for '{", name, "}'");
    out.append(to_text(*value));
    i = end + 1;
  }
  return TemplateValue::text(std::move(out));
}

}  // namespace lathe
