// lathe generate MODEL --prompt TEXT: completes texts.
#include <CLI/CLI.hpp>

#include <fstream>
#include <iostream>

#include "data/io/line_reader.h"
#include "data/io/utf8.h"
#include "models/decoder/weights.h"
#include "models/generation/generate.h"
#include "trainer/cli/command.h"
#include "trainer/machine.h"
#include "trainer/model_source.h"

namespace lathe {

namespace {

struct Arguments {
  std::string model, prompt, prompts_file, output;
  bool raw = false;
  std::int64_t max_tokens = 128, top_k = 0, count = 1, seed = 17;
  double temperature = 0, top_p = 1;
  std::vector<std::string> stop;
};

std::vector<std::string> prompts_of(const Arguments& arguments) {
  if (arguments.prompts_file.empty()) return {arguments.prompt};
  std::vector<std::string> prompts;
  LineReader lines(arguments.prompts_file);
  while (const auto line = lines.next())
    if (!line->empty()) prompts.emplace_back(*line);
  require(!prompts.empty(), arguments.prompts_file, ": no prompt in it; one a line is wanted");
  return prompts;
}

// Stop ids of generation_config.json and config.json, else the tokenizer's end of text.
std::vector<TokenId> stop_ids(const Bundle& bundle) {
  std::vector<TokenId> ids;
  for (const Json* source : {&bundle.generation_config, &bundle.config}) {
    if (!source->is_object() || !source->contains("eos_token_id")) continue;
    const Json& value = source->at("eos_token_id");
    if (value.is_number_unsigned()) ids.push_back(value.get<TokenId>());
    if (value.is_array())
      for (const Json& id : value)
        if (id.is_number_unsigned()) ids.push_back(id.get<TokenId>());
    if (!ids.empty()) return ids;
  }
  if (bundle.tokenizer->special().eos) ids.push_back(*bundle.tokenizer->special().eos);
  return ids;
}

// Cuts the text at the first of the stop texts; true when one was found.
bool cut_at_stop(std::string& text, const std::vector<std::string>& stops) {
  std::size_t at = std::string::npos;
  for (const std::string& stop : stops) at = std::min(at, text.find(stop));
  if (at == std::string::npos) return false;
  text.resize(at);
  return true;
}

Json complete(const Bundle& bundle, Decoder& decoder, const std::string& prompt, const Arguments& arguments,
              std::uint64_t seed) {
  GenerationOptions options;
  options.max_tokens = arguments.max_tokens;
  options.temperature = arguments.temperature;
  options.top_k = arguments.top_k;
  options.top_p = arguments.top_p;
  options.seed = seed;
  options.stop_ids = stop_ids(bundle);
  EncodeOptions encode;
  encode.add_special = true;
  std::vector<TokenId> ids = bundle.tokenizer->encode(prompt, encode).ids;
  if (ids.empty()) {
    require(bundle.tokenizer->special().bos || bundle.tokenizer->special().eos, "an empty prompt needs a model with a BOS token");
    ids.push_back(bundle.tokenizer->special().bos.value_or(bundle.tokenizer->special().eos.value_or(0)));
  }
  std::vector<TokenId> so_far;
  const Generated generated = generate_tokens(decoder, ids, options, [&](TokenId id) {
    if (arguments.stop.empty()) return true;
    so_far.push_back(id);
    std::string text = bundle.tokenizer->decode(so_far);
    return !cut_at_stop(text, arguments.stop);
  });
  std::string text = bundle.tokenizer->decode(generated.tokens);
  const bool stopped = cut_at_stop(text, arguments.stop) || generated.stopped;
  return Json{{"prompt", prompt}, {"text", replace_invalid_utf8(text)}, {"tokens", generated.tokens}, {"stopped", stopped}};
}

ExitCode generate(Context& context, const Arguments& arguments) {
  if (arguments.prompt.empty() == arguments.prompts_file.empty()) fail_usage("give one of --prompt TEXT and --prompts FILE");
  set_compute_threads(resolve_threads(0));
  const ModelSource source = resolve_model(arguments.model);
  const Bundle bundle = load_model(source);
  require(bundle.tokenizer != nullptr, source.folder, " has no tokenizer");
  const auto decoder = build_decoder(bundle, c10::ScalarType::Float);
  context.log(source.description);
  Json results = Json::array();
  std::uint64_t seed = static_cast<std::uint64_t>(arguments.seed);
  for (const std::string& prompt : prompts_of(arguments))
    for (std::int64_t n = 0; n < arguments.count; ++n) {
      results.push_back(complete(bundle, *decoder, prompt, arguments, seed++));
      if (arguments.output.empty()) context.say(prompt + results.back().at("text").get<std::string>());
    }
  if (!arguments.output.empty()) {
    std::ofstream out(arguments.output, std::ios::binary);
    for (const Json& result : results) out << result.dump() << "\n";
    out.flush();
    require(out.good(), "could not write '", arguments.output, "'");
    context.say(cat(results.size(), " completions written to ", arguments.output));
  }
  context.result["model"] = source.description;
  context.result["completions"] = results;
  return ExitCode::Done;
}

}  // namespace

void add_generate(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("generate", "complete a prompt");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("MODEL", arguments->model, "a run, an export, a Hugging Face folder or a cached Hub id")->required();
  command->add_option("--prompt", arguments->prompt, "the text to go on from");
  command->add_option("--prompts", arguments->prompts_file, "a file of prompts, one a line")->check(CLI::ExistingFile);
  command->add_flag("--raw", arguments->raw, "no chat template (models without one need no flag)");
  command->add_option("--max-tokens", arguments->max_tokens, "at most")->check(CLI::PositiveNumber);
  command->add_option("--temperature", arguments->temperature, "0 is greedy")->check(CLI::NonNegativeNumber);
  command->add_option("--top-k", arguments->top_k, "0 is off")->check(CLI::NonNegativeNumber);
  command->add_option("--top-p", arguments->top_p, "nucleus")->check(CLI::Range(0.0, 1.0));
  command->add_option("--stop", arguments->stop, "stop before this text (repeatable)")->take_all()->expected(1);
  command->add_option("--count", arguments->count, "completions a prompt")->check(CLI::PositiveNumber);
  command->add_option("--seed", arguments->seed, "of sampling");
  command->add_option("--output", arguments->output, "a .jsonl file instead of the screen");
  command->callback([=, &run] { run = [=](Context& context) { return generate(context, *arguments); }; });
}

}  // namespace lathe
