#include "data/shards/shard.h"

namespace lathe {
namespace {

// One list of the fields for writing, reading and adding.
template <class Ledger, class Visit>
void each_field(Ledger& ledger, const Visit& visit) {
  visit("documents_read", ledger.documents_read);
  visit("documents_kept", ledger.documents_kept);
  visit("documents_duplicate", ledger.documents_duplicate);
  visit("documents_dropped", ledger.documents_dropped);
  visit("documents_cut", ledger.documents_cut);
  visit("bytes_read", ledger.bytes_read);
  visit("bytes_kept", ledger.bytes_kept);
  visit("tokens_read", ledger.tokens_read);
  visit("tokens_kept", ledger.tokens_kept);
  visit("tokens_truncated", ledger.tokens_truncated);
  visit("tokens_dropped", ledger.tokens_dropped);
  visit("rows", ledger.rows);
  visit("row_tokens", ledger.row_tokens);
  visit("padded", ledger.padded);
}

}  // namespace

Json TokenLedger::to_json() const {
  Json json = Json::object();
  each_field(*this, [&](const char* name, std::uint64_t value) { json[name] = value; });
  return json;
}

TokenLedger TokenLedger::from_json(const Json& json, const std::string& where) {
  TokenLedger ledger;
  each_field(ledger, [&](const char* name, std::uint64_t& value) {
    const bool absent = json.is_object() && !json.contains(name);
    if (absent && name == std::string_view("documents_cut"))
      return;  // a shard written before there was such a count
    // nlohmann turns -1 and 1.5 into numbers silently; a ledger holds counts.
    if (!json.is_object() || !json.contains(name) || !json.at(name).is_number_unsigned()) {
      fail(where, ": '", name, "' is not a count");
    }
    value = json.at(name).get<std::uint64_t>();
  });
  return ledger;
}

TokenLedger& TokenLedger::operator+=(const TokenLedger& other) {
  std::vector<std::uint64_t> values;
  each_field(other, [&](const char*, std::uint64_t value) { values.push_back(value); });
  std::size_t i = 0;
  each_field(*this, [&](const char*, std::uint64_t& value) { value += values[i++]; });
  return *this;
}

}  // namespace lathe
