#include "data/templates/chat_values.h"

#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr int kMaxNesting = 150;

TemplateValue scalar_of(const Json& value, SourceId source) {
  switch (value.type()) {
    case Json::value_t::null:
      return {NoneValue{}, source};
    case Json::value_t::boolean:
      return {value.get<bool>(), source};
    case Json::value_t::number_integer:
      return {value.get<std::int64_t>(), source};
    case Json::value_t::number_unsigned:
      require(value.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX), "the integer ",
              value.dump(), " is beyond 64 bits; write it as a string");
      return {value.get<std::int64_t>(), source};
    case Json::value_t::number_float:
      return {value.get<double>(), source};
    default:
      return TemplateValue::text(MarkedText(value.get_ref<const std::string&>(), source), source);
  }
}

}  // namespace

SourceId OriginTable::add(const Origin& origin) {
  require(origins_.size() < kMaxWeight, "a conversation of more than ", kMaxWeight, " values");
  origins_.push_back(origin);
  return static_cast<SourceId>(origins_.size() - 1);
}

TemplateValue OriginTable::value_of(const Json& value, const Origin& origin, int depth) {
  require(depth < kMaxNesting, "a conversation nested deeper than ", kMaxNesting);
  const SourceId source = origin.kind == OriginKind::Template ? kTemplateSource : add(origin);
  Origin part = origin;
  if (value.is_array()) {
    ValueList items;
    for (std::size_t i = 0; i < value.size(); ++i) {
      part.path = cat(origin.path, "[", i, "]");
      items.push_back(value_of(value[i], part, depth + 1));
    }
    TemplateValue list = TemplateValue::list(std::move(items));
    list.source = source;
    return list;
  }
  if (!value.is_object()) return scalar_of(value, source);
  DictValue dict;
  for (const auto& [key, item] : value.items()) {
    part.path = origin.path.empty() ? key : origin.path + "." + key;
    TemplateValue made = value_of(item, part, depth + 1);
    const SourceId from = made.source;
    dict.items.emplace_back(TemplateValue::text(MarkedText(key, from), from), std::move(made));
  }
  return TemplateValue::dict(std::move(dict), source);
}

TemplateValue OriginTable::list_of(const Json& list, OriginKind kind) {
  if (list.is_null()) return TemplateValue::none();
  const char* what = kind == OriginKind::Message ? "messages"
                     : kind == OriginKind::Tool  ? "tools"
                                                 : "documents";
  require(list.is_array(), "'", what, "' is not a list");
  ValueList items;
  for (std::size_t i = 0; i < list.size(); ++i) {
    require(list[i].is_object(), what, "[", i, "] is not an object");
    items.push_back(value_of(list[i], {kind, i, {}}, 0));
  }
  return TemplateValue::list(std::move(items));
}

TemplateValue OriginTable::plain(const Json& value) {
  OriginTable table;
  return table.value_of(value, {}, 0);
}

int OriginTable::whole_message(SourceId source) const {
  const Origin& origin = origins_[source & ~kGeneratedBit];
  return origin.kind == OriginKind::Message && origin.path.empty() ? static_cast<int>(origin.index) : -1;
}

Json prepare_messages(const Json& messages) {
  if (!messages.is_array()) return messages;
  Json out = Json::array();
  for (const Json& message : messages) {
    if (!message.is_object()) {
      out.push_back(message);
      continue;
    }
    Json kept = Json::object();
    Json reasoning;
    for (const char* key : {"reasoning_content", "thinking", "reasoning"}) {
      if (reasoning.is_null() && message.contains(key)) reasoning = message[key];
    }
    if (!reasoning.is_null() && (!message.contains("thinking") || message["thinking"].is_null())) {
      kept["thinking"] = reasoning;
    }
    for (const auto& [key, value] : message.items()) {
      if (!value.is_null()) kept[key] = value;
    }
    if (!reasoning.is_null()) kept["reasoning_content"] = reasoning;
    out.push_back(std::move(kept));
  }
  return out;
}

}  // namespace lathe
