#include "data/tokenizers/grow.h"

#include <algorithm>

#include "data/tokenizers/load.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

Json added_token(std::size_t id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

void check_new(const Tokenizer& tokenizer, const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) fail_usage("tokenizer.add_tokens: a token is empty");
    if (const auto id = tokenizer.token_id(names[i]))
      fail_usage("tokenizer.add_tokens: '", names[i], "' is in the tokenizer already (id ", *id,
                 "); leave it out");
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) !=
        names.begin() + static_cast<std::ptrdiff_t>(i))
      fail_usage("tokenizer.add_tokens: '", names[i], "' is given twice");
  }
}

// Special tokens that only generation_config.json named would be lost with it.
void name_special_tokens(const Tokenizer& tokenizer, Json& config) {
  const SpecialTokens special = tokenizer.special();
  const auto name = [&](const char* key, const std::optional<TokenId>& id) {
    if (id && (!config.contains(key) || config[key].is_null())) config[key] = tokenizer.token_text(*id);
  };
  name("bos_token", special.bos);
  name("eos_token", special.eos);
  name("pad_token", special.pad);
  name("unk_token", special.unk);
}

}  // namespace

std::unique_ptr<Tokenizer> add_tokens(const Tokenizer& tokenizer, const std::vector<std::string>& plain,
                                      const std::vector<std::string>& control) {
  std::vector<std::string> names = plain;
  names.insert(names.end(), control.begin(), control.end());
  check_new(tokenizer, names);
  Json entries = Json::array();
  for (std::size_t i = 0; i < names.size(); ++i)
    entries.push_back(added_token(tokenizer.vocab_size() + i, names[i], i >= plain.size()));
  std::string content;
  Companions companions;
  for (TokenizerFile& file : tokenizer.files()) {
    if (file.name == "tokenizer.json") {
      Json json = parse_json(file.content, file.name, {.max_bytes = std::size_t{1} << 30});
      for (const Json& entry : entries) json["added_tokens"].push_back(entry);
      content = json.dump(2);
      continue;
    }
    if (file.name == "tokenizer_config.json") {
      companions.config = parse_json(file.content, file.name);
      name_special_tokens(tokenizer, companions.config);
      if (Json& decoder = companions.config["added_tokens_decoder"]; decoder.is_object()) {
        for (Json entry : entries) {
          const std::string id = std::to_string(entry["id"].get<std::size_t>());
          entry.erase("id");
          decoder[id] = entry;
        }
      } else {
        companions.config.erase("added_tokens_decoder");
      }
      file.content = companions.config.dump(2) + "\n";
    }
    if (file.name == "special_tokens_map.json") companions.map = parse_json(file.content, file.name);
    companions.files.push_back(std::move(file));
  }
  auto grown = tokenizer_from_json(std::move(content), companions, "tokenizer with added tokens");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string back = grown->decode({static_cast<TokenId>(tokenizer.vocab_size() + i)}, true);
    if (back != names[i])
      fail_usage("tokenizer.add_tokens: '", names[i],
                 "' would not come back as it is: a byte-level tokenizer reads letters ",
                 "with accents in an added token as single bytes; spell it in ASCII");
  }
  return grown;
}

}  // namespace lathe
