// lathe evaluate MODEL --data FILE: loss, perplexity, bits per byte, token accuracy of a text; with --metrics
// the file holds examples, whose answers are generated and scored.
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/io/file_system.h"
#include "data/io/utf8.h"
#include "data/metrics/metric.h"
#include "data/sources/example_text.h"
#include "data/templates/template_folder.h"
#include "models/objectives/causal_lm.h"
#include "trainer/cli/command.h"
#include "trainer/evaluate/answers.h"
#include "trainer/evaluate/evaluate.h"
#include "trainer/evaluate/example_batch.h"
#include "trainer/machine.h"
#include "trainer/read_model.h"
#include "trainer/text/asked_form.h"

namespace lathe {

namespace {

struct Arguments {
  std::string model, data, precision = "fp32", output;
  std::vector<std::string> metrics;
  std::int64_t context = 0;
};

// Mean loss of what an assistant must say, in tokens of all examples.
double answers_loss(Decoder& decoder, const Tokenizer& tokenizer, const ChatFormat& format,
                    const std::vector<Example>& examples) {
  const at::NoGradGuard no_grad;
  double loss = 0, count = 0;
  for (const Example& example : examples) {
    Batch batch;
    append_example(batch, render_example(example, tokenizer, format, LossOn::Completion));
    const ObjectiveValue value = causal_lm_loss(decoder, batch, {});
    loss += value.sum.item<double>();
    count += static_cast<double>(value.count);
  }
  return loss / std::max(1.0, count);
}

ExitCode evaluate_examples(Context& context, const Arguments& arguments, const ModelSource& source,
                           const Bundle& bundle, Decoder& decoder) {
  for (const std::string& name : arguments.metrics)
    find_metric(name);  // a wrong name is told before the work
  const ExampleSet set = read_as_asked(arguments.data, asked_form(source));
  if (const std::string lack = lack_of_choices(arguments.metrics, set.examples); !lack.empty())
    fail_usage("--metrics: ", lack);
  for (const ExampleFile& file : set.files) context.log(describe(file));
  for (const std::string& note : set.notes) context.log("note: " + note);
  ChatFormat format = read_chat_format(source.folder);
  if (!format.chat_template) format = chat_format_of(*bundle.tokenizer);
  format.now = 0;
  const std::vector<TokenAnswer> wanted = render_answers(set.examples, *bundle.tokenizer, format);
  AnswerOptions options;
  options.max_tokens = std::min(answer_limit(wanted), bundle.spec.max_positions / 2);
  options.generate =
      !arguments.output.empty() ||
      std::any_of(arguments.metrics.begin(), arguments.metrics.end(),
                  [](const std::string& name) { return find_metric(name).predicts == Predicts::Text; });
  const std::vector<Answer> answers =
      answer_examples(decoder, *bundle.tokenizer, format, set.examples, options);
  std::vector<std::string> references;
  for (const TokenAnswer& answer : wanted) references.push_back(answer.text);
  context.result = Json{{"model", source.description},
                        {"examples", answers.size()},
                        {"loss", answers_loss(decoder, *bundle.tokenizer, format, set.examples)}};
  context.say(cat(source.description, "\nloss of the answers ", context.result["loss"].get<double>()));
  for (const std::string& name : arguments.metrics) {
    const MetricResult result =
        evaluate_metric(name, predictions_of(find_metric(name), answers), references, 17);
    context.result["metrics"][name] = {
        {"score", result.score}, {"low", result.interval.low}, {"high", result.interval.high}};
    context.say(cat(name, " ", result.score, " (95 %: ", result.interval.low, " to ", result.interval.high,
                    ", n = ", answers.size(), ")"));
  }
  if (!arguments.output.empty()) {
    std::string lines;
    for (std::size_t i = 0; i < answers.size(); ++i)
      lines += Json{{"origin", set.examples[i].origin},
                    {"prompt", asked_text(set.examples[i])},
                    {"reference", references[i]},
                    {"answer", answers[i].text},
                    {"stopped", answers[i].stopped},
                    {"choice", answers[i].choice},
                    {"choice_per_byte", answers[i].choice_per_byte},
                    {"log_probabilities", answers[i].log_probabilities}}
                   .dump(-1, ' ', false, Json::error_handler_t::replace) +
               "\n";
    write_file_atomically(arguments.output, lines);
    context.say("answers written to " + arguments.output);
  }
  return ExitCode::Done;
}

ExitCode evaluate(Context& context, const Arguments& arguments) {
  if (arguments.metrics.empty() && !arguments.output.empty())
    fail_usage("--output holds answers, which --metrics asks for; add e.g. --metrics exact_match");
  set_compute_threads(resolve_threads(0));
  const ModelSource source = resolve_model(arguments.model);
  const auto [bundle, decoder] = read_model(
      source,
      frozen_storage(arguments.precision == "bf16" ? c10::ScalarType::BFloat16 : c10::ScalarType::Float));
  require_tokenizer(bundle);
  if (!arguments.metrics.empty()) return evaluate_examples(context, arguments, source, bundle, *decoder);
  const std::string text = read_file(arguments.data);
  if (text.starts_with("\x1f\x8b")) fail_usage(arguments.data, ": a gzip file; gunzip it first");
  if (const auto bad = first_invalid_utf8(text))
    fail(arguments.data, ": byte ", *bad,
         " is not valid UTF-8; convert the file, e.g. iconv -f CP1252 -t UTF-8");
  const std::int64_t positions = bundle.spec.max_positions,
                     window = arguments.context > 0 ? arguments.context : positions;
  if (window > positions)
    fail_usage("--context ", window, ": ", source.description, " has positions for ", positions, " tokens");
  const TextEvaluation result = evaluate_text(*decoder, *bundle.tokenizer, text, window);
  context.result = Json{{"model", source.description},
                        {"loss", result.loss},
                        {"perplexity", result.perplexity},
                        {"bits_per_byte", result.bits_per_byte},
                        {"token_accuracy", result.token_accuracy},
                        {"tokens", result.tokens},
                        {"bytes", result.bytes}};
  context.say(source.description);
  context.say(cat("loss ", result.loss, "   perplexity ", result.perplexity, "   bits per byte ",
                  result.bits_per_byte, "   token accuracy ", result.token_accuracy, "   tokens ",
                  result.tokens, "   bytes ", result.bytes));
  return ExitCode::Done;
}

}  // namespace

void add_evaluate(const Command& program) {
  const Command command = program.command("evaluate", "loss, perplexity and bits per byte of a text file");
  auto arguments = std::make_shared<Arguments>();
  command.option("MODEL", arguments->model, "a run, an export, a Hugging Face folder or a cached Hub id")
      .required();
  command
      .option("--metrics", arguments->metrics,
              "--data holds examples: generate answers and score them (exact_match, chrf ...)")
      .separated_by(',');
  command.option("--output", arguments->output, "with --metrics: a .jsonl file of the answers");
  command.option("--data", arguments->data, "a UTF-8 text file, or with --metrics a file of examples")
      .required()
      .existing_file();
  command.option("--context", arguments->context, "window in tokens; default the model's")
      .between(2, std::int64_t{1} << 40);
  command.option("--precision", arguments->precision, "fp32 or bf16").one_of({"fp32", "bf16"});
  command.runs([=](Context& context) { return evaluate(context, *arguments); });
}

}  // namespace lathe
