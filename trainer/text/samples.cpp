#include "trainer/text/samples.h"

#include <algorithm>

#include "data/io/line_reader.h"
#include "data/io/utf8.h"
#include "data/templates/render_answers.h"
#include "models/generation/generate.h"
#include "trainer/text/asked_form.h"

namespace lathe {

namespace {

constexpr std::uint64_t kPromptTokens = 48;

// How the examples of a run of tuning ask; text that is only gone on from has no form.
AskedForm form_of(const Session& session, const TextTask& task) {
  AskedForm form;
  form.kind = task.tuning() ? usual_kind(task.data.tuning->train) : ExampleKind::Text;
  if (task.tuning()) form.prompt_template = prompt_template_of(session.recipe(), *task.data.tuning);
  return form;
}

std::vector<TokenId> ids_of(const std::string& line, const AskedForm& form, const TextTask& task,
                            const std::string& origin) {
  if (form.kind == ExampleKind::Text) return task.data.tokenizer->ids(line);
  Example example;
  example.kind = form.kind;
  example.origin = origin;
  if (form.kind == ExampleKind::Chat)
    example.messages = Json::array({{{"role", "user"}, {"content", form.prompt(line)}}});
  else
    example.prompt = form.prompt(line);
  return render_prompt(example, *task.data.tokenizer, task.data.tuning->format).ids;
}

// What the model's context holds of a prompt beside an answer: the last of it, half of the context at least.
std::vector<TokenId> cut_to_context(std::vector<TokenId> ids, const Session& session, const TextTask& task) {
  const std::int64_t context = task.plan.spec.max_positions;
  if (context <= 0) return ids;
  const auto room = static_cast<std::size_t>(
      std::max<std::int64_t>(1, context - std::min(session.recipe().evaluate.sample_tokens, context / 2)));
  if (ids.size() > room) ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(room));
  return ids;
}

// Ids of the prompts; a line of evaluate.prompts each.
std::vector<std::vector<TokenId>> prompts_of(const Session& session, const TextTask& task) {
  std::vector<std::vector<TokenId>> prompts;
  if (!session.recipe().report.shows()) return prompts;  // an answer may be a training text
  if (const std::string& path = session.recipe().evaluate.prompts; !path.empty()) {
    const AskedForm form = form_of(session, task);
    for (const std::string& line : filled_lines(path)) prompts.push_back(ids_of(line, form, task, path));
    return prompts;
  }
  if (task.data.validation.empty()) return prompts;
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
  if (task.tuning())
    options.stop_ids = stop_tokens(tokenizer, task.data.tuning->format);
  else if (tokenizer.special().eos)
    options.stop_ids.push_back(*tokenizer.special().eos);
  std::vector<Sample> samples;
  for (const auto& asked : prompts_of(session, task)) {
    const std::vector<TokenId> prompt = cut_to_context(asked, session, task);
    const Generated generated = generate_tokens(*task.model, prompt, options);
    samples.push_back({replace_invalid_utf8(tokenizer.decode(prompt)),
                       replace_invalid_utf8(tokenizer.decode(generated.tokens))});
  }
  return samples;
}

}  // namespace lathe
