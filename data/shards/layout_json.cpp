// ShardLayout as JSON, for the pipe from the process that read it.
#include "data/shards/layout.h"

namespace lathe {
namespace {

template <class Layout, class Visit>
void each_array(Layout& layout, const Visit& visit) {
  visit("tokens", layout.tokens);
  visit("doc_offsets", layout.doc_offsets);
  visit("doc_sources", layout.doc_sources);
  visit("rows", layout.rows);
  visit("row_offsets", layout.row_offsets);
  visit("block_hashes", layout.block_hashes);
  visit("supervised", layout.supervised);
}

template <class Layout, class Visit>
void each_value(Layout& layout, const Visit& visit) {
  visit("file_size", layout.file_size);
  visit("version", layout.version);
  visit("vocab_size", layout.vocab_size);
  visit("sequence_length", layout.sequence_length);
  visit("index_hash", layout.index_hash);
  visit("format", layout.format);
  visit("tokenizer_sha256", layout.tokenizer_sha256);
  visit("source_sha256", layout.source_sha256);
  visit("settings", layout.settings);
  visit("ledger", layout.ledger);
}

}  // namespace

Json layout_to_json(const ShardLayout& layout) {
  Json json = Json::object();
  each_array(layout, [&](const char* name, const ArrayPlace& place) {
    json[name] = Json::array({place.offset, place.count, place.width});
  });
  each_value(layout, [&](const char* name, const auto& value) { json[name] = value; });
  return json;
}

ShardLayout layout_from_json(const Json& json, const std::string& path) {
  ShardLayout layout;
  each_array(layout, [&](const char* name, ArrayPlace& place) {
    const auto values = json_get<std::vector<std::uint64_t>>(json, name, path);
    require(values.size() == 3, path, ": the answer about '", name, "' is not whole");
    place = {values[0], values[1], values[2]};
  });
  each_value(layout, [&](const char* name, auto& value) {
    value = json_get<std::decay_t<decltype(value)>>(json, name, path);
  });
  return layout;
}

}  // namespace lathe
