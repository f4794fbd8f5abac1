#include "checkpoints/bundle/stop_tokens.h"

#include <algorithm>

#include "data/templates/render_answers.h"
#include "data/templates/template_folder.h"

namespace lathe {

namespace {

// Adds the ids under eos_token_id, a number or a list of them.
void add_ids(const Json& object, const Bundle& bundle, std::vector<TokenId>& ids) {
  const Json value = object.is_object() ? object.value("eos_token_id", Json()) : Json();
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (!id.is_number_integer() || id < 0 || id >= bundle.spec.vocab_size) continue;
    if (std::find(ids.begin(), ids.end(), id.get<TokenId>()) == ids.end()) ids.push_back(id.get<TokenId>());
  }
}

void add_id(const std::optional<TokenId>& id, std::vector<TokenId>& ids) {
  if (id && std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
}

}  // namespace

std::optional<TokenId> turn_end_of(const Bundle& bundle) {
  if (!bundle.tokenizer) return std::nullopt;
  try {
    ChatFormat format = chat_format_of(*bundle.tokenizer);
    format.now = 0;
    return turn_end(*bundle.tokenizer, format);
  } catch (const Error&) {  // a template that is not understood is told by whoever asks with it
    return std::nullopt;
  }
}

std::vector<TokenId> stop_ids_of(const Bundle& bundle) { return stop_ids_of(bundle, turn_end_of(bundle)); }

std::vector<TokenId> stop_ids_of(const Bundle& bundle, const std::optional<TokenId>& turn_end) {
  std::vector<TokenId> ids;
  add_ids(bundle.generation_config, bundle, ids);
  add_ids(bundle.config, bundle, ids);
  if (bundle.tokenizer) add_id(bundle.tokenizer->special().eos, ids);
  add_id(turn_end, ids);
  return ids;
}

std::string stop_objection(const Bundle& bundle) {
  const std::optional<TokenId> end = turn_end_of(bundle);
  if (!end) return "";
  std::vector<TokenId> named;
  add_ids(bundle.generation_config, bundle, named);
  if (named.empty()) add_ids(bundle.config, bundle, named);
  if (std::find(named.begin(), named.end(), *end) != named.end()) return "";
  return cat("its chat template closes an answer with ", bundle.tokenizer->token_text(*end), " (", *end,
             "), which no eos_token_id names: an engine would not stop there; export it anew");
}

}  // namespace lathe
