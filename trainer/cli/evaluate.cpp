// lathe evaluate MODEL --data FILE: loss, perplexity, bits per byte, token accuracy of a text.
#include <CLI/CLI.hpp>

#include "data/io/file_system.h"
#include "data/io/utf8.h"
#include "models/decoder/weights.h"
#include "trainer/cli/command.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/machine.h"
#include "trainer/model_source.h"

namespace lathe {

namespace {

struct Arguments {
  std::string model, data, precision = "fp32";
  std::int64_t context = 0;
};

ExitCode evaluate(Context& context, const Arguments& arguments) {
  set_compute_threads(resolve_threads(0));
  const ModelSource source = resolve_model(arguments.model);
  const Bundle bundle = load_model(source);
  require(bundle.tokenizer != nullptr, source.folder, " has no tokenizer");
  const std::string text = read_file(arguments.data);
  if (const auto bad = first_invalid_utf8(text))
    fail(arguments.data, ": byte ", *bad, " is not valid UTF-8; convert the file, e.g. iconv -f CP1252 -t UTF-8");
  const auto decoder = build_decoder(bundle, arguments.precision == "bf16" ? c10::ScalarType::BFloat16 : c10::ScalarType::Float);
  const std::int64_t window = arguments.context > 0 ? arguments.context : bundle.spec.max_positions;
  const TextEvaluation result = evaluate_text(*decoder, *bundle.tokenizer, text, std::min(window, bundle.spec.max_positions));
  context.result = Json{{"model", source.description},        {"loss", result.loss},
                        {"perplexity", result.perplexity},    {"bits_per_byte", result.bits_per_byte},
                        {"token_accuracy", result.token_accuracy}, {"tokens", result.tokens},
                        {"bytes", result.bytes}};
  context.say(source.description);
  context.say(cat("loss ", result.loss, "   perplexity ", result.perplexity, "   bits per byte ", result.bits_per_byte,
                  "   token accuracy ", result.token_accuracy, "   tokens ", result.tokens, "   bytes ", result.bytes));
  return ExitCode::Done;
}

}  // namespace

void add_evaluate(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("evaluate", "loss, perplexity and bits per byte of a text file");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("MODEL", arguments->model, "a run, an export, a Hugging Face folder or a cached Hub id")->required();
  command->add_option("--data", arguments->data, "a UTF-8 text file")->required()->check(CLI::ExistingFile);
  command->add_option("--context", arguments->context, "window in tokens; default the model's");
  command->add_option("--precision", arguments->precision, "fp32 or bf16")->check(CLI::IsMember({"fp32", "bf16"}));
  command->callback([=, &run] { run = [=](Context& context) { return evaluate(context, *arguments); }; });
}

}  // namespace lathe
