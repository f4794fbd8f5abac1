#include "trainer/text/samples.h"

#include <algorithm>

#include "data/io/line_reader.h"
#include "data/io/utf8.h"
#include "models/generation/generate.h"

namespace lathe {

namespace {

constexpr std::uint64_t kPromptTokens = 48;

// Ids of the prompts; a line of evaluate.prompts each.
std::vector<std::vector<TokenId>> prompts_of(const Session& session, const TextTask& task) {
  std::vector<std::vector<TokenId>> prompts;
  if (const std::string& path = session.recipe().evaluate.prompts; !path.empty()) {
    for (const std::string& line : filled_lines(path)) prompts.push_back(task.data.tokenizer->ids(line));
    return prompts;
  }
  if (task.data.validation.empty() || !session.recipe().report.shows()) return prompts;
  const TokenShard shard(task.data.validation.front().shards.front());
  for (std::uint64_t document = 0; document < shard.documents() && prompts.empty(); ++document) {
    if (shard.document_length(document) < 2 * kPromptTokens) continue;
    std::vector<std::int32_t> tokens(kPromptTokens);
    shard.read(document, 0, tokens);
    prompts.emplace_back(tokens.begin(), tokens.end());
  }
  return prompts;
}

}  // namespace

std::vector<Sample> make_samples(Session& session, const TextTask& task) {
  const Tokenizer& tokenizer = *task.data.tokenizer;
  GenerationOptions options;
  options.max_tokens = session.recipe().evaluate.sample_tokens;
  options.seed = static_cast<std::uint64_t>(session.recipe().train.seed);
  if (session.recipe().model.path.empty()) {  // a young model's likeliest words go round in circles
    options.temperature = 0.7;
    options.top_p = 0.9;
  }
  if (tokenizer.special().eos) options.stop_ids.push_back(*tokenizer.special().eos);
  std::vector<Sample> samples;
  for (const auto& prompt : prompts_of(session, task)) {
    const Generated generated = generate_tokens(*task.model, prompt, options);
    samples.push_back({replace_invalid_utf8(tokenizer.decode(prompt)),
                       replace_invalid_utf8(tokenizer.decode(generated.tokens))});
  }
  return samples;
}

}  // namespace lathe
