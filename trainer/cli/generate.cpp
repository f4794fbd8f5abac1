// lathe generate MODEL --prompt TEXT: completes or answers texts.
#include <fstream>
#include <optional>

#include "data/io/line_reader.h"
#include "data/templates/fill_in_middle.h"
#include "trainer/cli/command.h"
#include "trainer/cli/respond.h"

namespace lathe {

namespace {

struct Arguments {
  std::optional<std::string> prompt;
  std::string model, prompts_file, system, suffix, output;
  bool raw = false;
  std::int64_t count = 1;
  ResponseOptions response;
};

std::vector<std::string> prompts_of(const Arguments& arguments) {
  if (arguments.prompts_file.empty()) return {whole_text("--prompt", *arguments.prompt)};
  std::vector<std::string> prompts = filled_lines(arguments.prompts_file);
  require(!prompts.empty(), arguments.prompts_file, ": no prompt in it; one a line is wanted");
  for (const std::string& prompt : prompts) whole_text(arguments.prompts_file, prompt);
  return prompts;
}

// Through the model's own template when it has one, or as a run without one was asked in its conversations.
bool is_templated(const Responder& responder, const Arguments& arguments) {
  const bool talks = responder.form && responder.form->kind == ExampleKind::Chat;
  return (responder.format.chat_template.has_value() || talks) && !arguments.raw && arguments.suffix.empty();
}

// --raw completes the text as it is, --suffix fills in before another.
std::vector<TokenId> ids_of(const Responder& responder, const std::string& prompt,
                            const Arguments& arguments) {
  const bool templated = is_templated(responder, arguments);
  if (!arguments.system.empty() && !templated)
    fail_usage("--system wants a model with a chat template, and neither --raw nor --suffix");
  if (!arguments.suffix.empty()) {
    const Tokenizer& tokenizer = *responder.bundle.tokenizer;
    const auto tokens = find_fim_tokens(tokenizer);
    if (!tokens)
      fail_usage("--suffix wants a model with fill-in-the-middle tokens, and ", responder.description,
                 " has none");
    return render_fim_prompt(prompt, arguments.suffix, *tokens, tokenizer, FimOrder::PrefixSuffixMiddle);
  }
  if (!templated)
    return asks_plainly(responder) && !arguments.raw ? prompt_ids(responder, prompt)
                                                     : raw_ids(responder, prompt);
  Json messages = Json::array();
  if (!arguments.system.empty()) messages.push_back({{"role", "system"}, {"content", arguments.system}});
  messages.push_back({{"role", "user"}, {"content", prompt}});
  return question_ids(responder, messages);
}

ExitCode generate(Context& context, const Arguments& arguments) {
  if (arguments.prompt && arguments.prompt->empty())
    fail_usage("--prompt is empty; give it the text to go on from");
  if (arguments.prompt.has_value() == !arguments.prompts_file.empty())
    fail_usage("give one of --prompt TEXT and --prompts FILE");
  check_response_options(arguments.response);
  if (arguments.count > 1 && arguments.response.temperature == 0)
    fail_usage("--count ", arguments.count, ": --temperature 0, the default, gives one text ",
               arguments.count, " times; add e.g. --temperature 0.8");
  const std::vector<std::string> prompts = prompts_of(arguments);
  whole_text("--system", arguments.system);
  whole_text("--suffix", arguments.suffix);
  const Responder responder = load_responder(arguments.model);
  const bool templated = is_templated(responder, arguments);
  context.log(responder.description + (templated ? ", its own chat template (--raw switches it off)" : ""));
  if (responder.form && !arguments.raw && arguments.suffix.empty() && !responder.form->describe().empty())
    context.log(responder.form->describe() + " (--raw: as it is)");
  Json results = Json::array();
  std::uint64_t sample = 0;
  for (const std::string& prompt : prompts) {
    const std::vector<TokenId> ids = ids_of(responder, prompt, arguments);
    for (std::int64_t n = 0; n < arguments.count; ++n) {
      const Response response = respond(responder, ids, arguments.response, sample++);
      results.push_back({{"prompt", prompt},
                         {"text", response.text},
                         {"tokens", response.tokens},
                         {"stopped", response.stopped}});
      if (arguments.output.empty()) context.say((templated ? "" : prompt) + response.text + arguments.suffix);
    }
  }
  if (!arguments.output.empty()) {
    std::ofstream out(arguments.output, std::ios::binary);
    for (const Json& result : results) out << result.dump() << "\n";
    out.flush();
    require(out.good(), "could not write '", arguments.output, "'");
    context.say(cat(results.size(), " completions written to ", arguments.output));
  }
  context.result["model"] = responder.description;
  context.result["completions"] = results;
  return ExitCode::Done;
}

}  // namespace

void add_generate(const Command& program) {
  const Command command = program.command("generate", "complete or answer a prompt");
  auto arguments = std::make_shared<Arguments>();
  command
      .option("MODEL", arguments->model,
              "a run, an export, an adapter, a Hugging Face folder or a cached Hub id")
      .required();
  command.option("--prompt", arguments->prompt, "the text to go on from, or the question");
  command.option("--prompts", arguments->prompts_file, "a file of prompts, one a line").existing_file();
  command.option("--system", arguments->system, "the system message of a model with a chat template");
  command.option("--suffix", arguments->suffix, "what follows: a code model fills in the middle");
  command.flag("--raw", arguments->raw, "no chat template: the text is completed as it is");
  command.option("--count", arguments->count, "completions a prompt").at_least_one();
  command.option("--output", arguments->output, "a .jsonl file instead of the screen");
  add_response_options(command, arguments->response);
  command.runs([=](Context& context) { return generate(context, *arguments); });
}

}  // namespace lathe
