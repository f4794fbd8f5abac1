#include "trainer/export_reference.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/topk.h>

#include <cmath>

#include "data/io/utf8.h"
#include "models/generation/generate.h"
#include "recipes/schema/error.h"

namespace lathe {

namespace {

constexpr std::int64_t kTop = 20, kGreedy = 16;

Batch row_of(const Sequences& sequences) {
  Batch batch;
  batch.rows = 1;
  for (const std::vector<TokenId>& ids : sequences) {
    const auto length = static_cast<std::int32_t>(ids.size());
    batch.stretches.push_back({static_cast<std::int32_t>(batch.length), length, batch.stretches.size(), 0});
    batch.length += length;
    for (std::int32_t i = 0; i < length; ++i) {
      batch.tokens.push_back(static_cast<std::int32_t>(ids[static_cast<std::size_t>(i)]));
      batch.targets.push_back(kIgnoreTarget);
      batch.positions.push_back(i);
    }
  }
  return batch;
}

// Angles of these follow the longest document of a batch.
bool angles_follow_length(const DecoderSpec& spec) {
  const auto follows = [](const RotarySpec& rotary) {
    return rotary.scaling == RotaryScaling::Dynamic || rotary.scaling == RotaryScaling::LongRope;
  };
  return follows(spec.rotary) || (spec.local_rotary && follows(*spec.local_rotary));
}

std::vector<TokenId> greedy(Decoder& decoder, const std::vector<TokenId>& ids) {
  GenerationOptions options;
  options.max_tokens =
      std::min(kGreedy, decoder.spec().max_positions - static_cast<std::int64_t>(ids.size()));
  return generate_tokens(decoder, ids, options).tokens;
}

// A prompt of reference.json and the tokens that followed it.
struct Continued {
  std::vector<TokenId> ids, greedy;
  std::vector<TokenId>
      sequence;  // what is computed again: ids, and what followed but for the last where angles allow it
};
Continued continued_prompt(const Json& entry, const Bundle& bundle, const std::string& where) {
  Continued prompt{json_get<std::vector<TokenId>>(entry, "ids", where),
                   json_get<std::vector<TokenId>>(entry, "greedy", where),
                   {}};
  require(!prompt.ids.empty(), where, ": a prompt has no ids");
  prompt.sequence = prompt.ids;
  prompt.sequence.insert(prompt.sequence.end(), prompt.greedy.begin(), prompt.greedy.end());
  for (TokenId id : prompt.sequence)
    require(static_cast<std::int64_t>(id) < bundle.spec.vocab_size, where, ": token id ", id,
            " is beyond the vocabulary");
  prompt.sequence.resize(angles_follow_length(bundle.spec) || prompt.greedy.empty()
                             ? prompt.ids.size()
                             : prompt.sequence.size() - 1);
  return prompt;
}

// Each token that followed must have the largest logit after those before it, or one that equals it as
// closely as logits must.
bool follows_greedily(const Continued& prompt, const at::Tensor& logits) {
  for (std::size_t k = 0; k < prompt.greedy.size(); ++k) {
    const at::Tensor row = logits[static_cast<std::int64_t>(prompt.ids.size() + k) - 1];
    const double largest = row.max().item<double>();
    const double chosen = row[static_cast<std::int64_t>(prompt.greedy[k])].item<double>();
    if (!(chosen >= largest - Verification::tolerance(row.abs().max().item<double>()))) return false;
  }
  return true;
}

void compare_prompt(const Json& entry, const Continued& prompt, const at::Tensor& computed,
                    const std::string& where, Verification& verification) {
  const at::Tensor logits = computed.narrow(0, 0, static_cast<std::int64_t>(prompt.ids.size()));
  verification.largest_logit = std::max(verification.largest_logit, logits.abs().max().item<double>());
  const Json& top = entry.at("top");
  require(top.size() == prompt.ids.size(), where, ": as many rows of logits as ids are wanted, found ",
          top.size());
  for (std::size_t position = 0; position < top.size(); ++position)
    for (const Json& pair : top.at(position)) {
      const auto id = pair.at(0).get<std::int64_t>();
      require(id >= 0 && id < logits.size(1), where, ": token id ", id, " is beyond the vocabulary");
      const double found = logits[static_cast<std::int64_t>(position)][id].item<double>();
      const double difference = std::abs(found - pair.at(1).get<double>());
      verification.max_error =
          std::isfinite(difference) ? std::max(verification.max_error, difference) : INFINITY;
    }
}

// A text that was cut by tokens may end within a character, which JSON does not hold.
std::string whole_characters(const std::string& text) {
  const std::size_t whole = first_invalid_utf8(text).value_or(text.size());
  return text.size() - whole < 4 ? text.substr(0, whole) : replace_invalid_utf8(text);
}

}  // namespace

void each_logits(Decoder& decoder, const Sequences& sequences, const LogitsUse& use) {
  const at::NoGradGuard no_grad;
  const bool apart = angles_follow_length(decoder.spec());
  for (std::size_t first = 0; first < sequences.size();) {
    const std::size_t last = apart ? first + 1 : sequences.size();
    const auto from = [&](std::size_t i) { return sequences.begin() + static_cast<std::ptrdiff_t>(i); };
    const at::Tensor hidden = decoder.forward(decoder_input(row_of({from(first), from(last)})));
    for (std::int64_t begin = 0; first < last; ++first) {
      const auto length = static_cast<std::int64_t>(sequences[first].size());
      use(first, decoder.logits(hidden.narrow(0, begin, length)));
      begin += length;
    }
  }
}

Prompts prompts_of(const Bundle& bundle, const std::vector<std::string>& texts) {
  const auto most = static_cast<std::size_t>(std::min(kReferencePositions, bundle.spec.max_positions / 2));
  Prompts prompts;
  for (const std::string& given : texts) {
    const std::string text = whole_characters(given);
    std::vector<TokenId> ids = bundle.tokenizer->ids(text);
    if (ids.size() > most) ids.resize(most);
    if (ids.empty()) continue;
    prompts.texts.push_back(text);
    prompts.ids.push_back(std::move(ids));
  }
  return prompts;
}

Json make_reference(const Bundle& bundle, Decoder& decoder, const std::string& dtype,
                    const Prompts& prompts) {
  Json reference =
      Json{{"format", "lathe-reference"}, {"version", 1}, {"dtype", dtype}, {"computed_in", "F32"}};
  reference["prompts"] = Json::array();
  each_logits(decoder, prompts.ids, [&](std::size_t i, const at::Tensor& logits) {
    const std::vector<TokenId>& ids = prompts.ids[i];
    const auto [values, indices] = at::topk(logits, std::min(kTop, logits.size(1)), 1);
    Json entry = Json{{"text", replace_invalid_utf8(bundle.tokenizer->decode(ids, true))}, {"ids", ids}};
    entry["whole_text"] = prompts.texts[i];
    entry["whole_ids"] = bundle.tokenizer->ids(prompts.texts[i]);
    entry["largest_logit"] = logits.abs().max().item<double>();
    entry["top"] = Json::array();
    for (std::int64_t position = 0; position < logits.size(0); ++position) {
      Json row = Json::array();
      for (std::int64_t k = 0; k < values.size(1); ++k)
        row.push_back(
            Json::array({indices[position][k].item<std::int64_t>(), values[position][k].item<double>()}));
      entry["top"].push_back(row);
    }
    entry["greedy"] = greedy(decoder, ids);
    reference["prompts"].push_back(entry);
  });
  return reference;
}

Verification compare_reference(const Json& reference, const Bundle& bundle, Decoder& decoder,
                               const std::string& where) {
  Verification verification;
  const Json entries = json_get<Json>(reference, "prompts", where);
  std::vector<Continued> prompts;
  Sequences sequences;
  for (const Json& entry : entries) {
    prompts.push_back(continued_prompt(entry, bundle, where));
    sequences.push_back(prompts.back().sequence);
    if (bundle.tokenizer->ids(json_get<std::string>(entry, "whole_text", where)) !=
        json_get<std::vector<TokenId>>(entry, "whole_ids", where))
      verification.same_ids = false;
  }
  each_logits(decoder, sequences, [&](std::size_t i, const at::Tensor& logits) {
    compare_prompt(entries[i], prompts[i], logits, where, verification);
    const bool same = angles_follow_length(bundle.spec) ? greedy(decoder, prompts[i].ids) == prompts[i].greedy
                                                        : follows_greedily(prompts[i], logits);
    verification.same_tokens = verification.same_tokens && same;
  });
  return verification;
}

Json Verification::to_json() const {
  Json json{{"passed", passed()},   {"max_error", max_error},     {"largest_logit", largest_logit},
            {"same_ids", same_ids}, {"same_tokens", same_tokens}, {"tolerance", tolerance()}};
  if (rounding_error) json["rounding_error"] = *rounding_error;
  if (quantization_error) json["quantization_error"] = *quantization_error;
  if (!damaged.empty()) json["damaged"] = damaged;
  if (!endless.empty()) json["endless"] = endless;
  return json;
}

}  // namespace lathe
