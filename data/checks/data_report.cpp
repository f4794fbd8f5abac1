#include "data/checks/data_report.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "data/checks/comparisons.h"
#include "data/checks/personal.h"
#include "data/checks/text_signs.h"
#include "data/sources/example_text.h"

namespace lathe {
namespace {

Folded fold(const DataReportInput& input) {
  Folded all;
  all.train = input.train.size();
  for (const auto* set : {&input.train, &input.validation}) {
    for (const auto& example : *set) {
      all.examples.push_back(&example);
      all.asked.push_back(fold_text(asked_text(example)));
      all.answer.push_back(fold_text(answer_text(example)));
      all.whole.push_back(all.asked.back() + "\n" + all.answer.back());
    }
  }
  return all;
}

void measure_lengths(const DataReportInput& input, const Folded& all, DataReport& report,
                     std::vector<Finding>& out) {
  if (!input.measure || all.examples.empty()) return;
  Finding finding{.kind = "over_length",
                  .severity = Severity::Error,
                  .count = 0,
                  .says = cat("longer than the ", input.limit,
                              " tokens that the model sees; shorten it, raise "
                              "data.sequence_length, or set data.overlength"),
                  .origins = {}};
  Finding joined{
      .kind = "joined_answer",
      .severity = Severity::Note,
      .count = 0,
      .says =
          "the tokenizer would write the answer's beginning in one token with the template text before "
          "it (a space, a new line); the answer is kept apart, as it is when an engine asks. A base "
          "knows the joined form better: let the generation prompt end before that character",
      .origins = {}};
  Finding stuck{
      .kind = "joined_answer",
      .severity = Severity::Warning,
      .count = 0,
      .says =
          "the tokenizer writes the answer's beginning in one token with the template text before it, so "
          "that an engine, which asks with that text alone, sees other tokens than training: let the "
          "generation prompt end before that character",
      .origins = {}};
  std::vector<std::size_t> lengths;
  for (const Example* example : all.examples) {
    const Measured measured = input.measure(*example);
    lengths.push_back(measured.tokens);
    if (measured.joined > 0) note(measured.apart ? joined : stuck, example->origin);
    if (input.limit && lengths.back() > input.limit)
      note(finding, cat(example->origin, " (", lengths.back(), ")"));
  }
  std::sort(lengths.begin(), lengths.end());
  report.lengths = {lengths.front(), lengths[lengths.size() / 2], lengths.back(), input.limit};
  for (Finding* each : {&finding, &joined, &stuck}) out.push_back(std::move(*each));
}

// A chat whose turns before the answers say nothing.
bool asks_nothing(const Example& example) {
  return example.kind == ExampleKind::Chat &&
         std::none_of(example.messages.begin(), example.messages.end(), [](const Json& message) {
           const std::string role = message.value("role", std::string());
           const auto content = message.find("content");
           if (role == "assistant" || role == "system" || content == message.end()) return false;
           return content->is_string()
                      ? content->get_ref<const std::string&>().find_first_not_of(" \t\r\n") !=
                            std::string::npos
                      : !content->empty();
         });
}

// What spreadsheets and programs write where an answer is missing. "none" and "-" may be labels.
bool is_placeholder(const std::string& folded_answer) {
  constexpr std::string_view kPlaceholders[] = {"null",  "nan",     "n/a",  "#n/a", "<na>", "undefined",
                                                "#ref!", "#value!", "todo", "tbd",  "fixme"};
  return std::find(std::begin(kPlaceholders), std::end(kPlaceholders), folded_answer) !=
         std::end(kPlaceholders);
}

void find_empty(const Folded& all, std::vector<Finding>& out) {
  Finding empty{.kind = "empty",
                .severity = Severity::Error,
                .count = 0,
                .says = "the answer, or the question, has no text; fill it in or delete the example",
                .origins = {}};
  Finding space{
      .kind = "trailing_space",
      .severity = Severity::Note,
      .count = 0,
      .says =
          "the prompt ends in a space; most tokenizers join it to the next word, so that the answer begins "
          "with tokens it would not have in use: move the space",
      .origins = {}};
  Finding placeholder{
      .kind = "placeholder",
      .severity = Severity::Warning,
      .count = 0,
      .says =
          "the answer only says that one is missing; fill it in or delete the example, unless it "
          "is what the model should say",
      .origins = {}};
  for (std::size_t i = 0; i < all.examples.size(); ++i) {
    const Example& example = *all.examples[i];
    if (is_placeholder(all.answer[i]))
      note(placeholder, cat(example.origin, " (", answer_text(example), ")"));
    if (all.answer[i].empty() || asks_nothing(example) ||
        (example.kind != ExampleKind::Text && all.asked[i].empty())) {
      note(empty, example.origin);
    }
    if (example.kind == ExampleKind::PromptCompletion && example.prompt.ends_with(' '))
      note(space, example.origin);
  }
  out.push_back(std::move(empty));
  out.push_back(std::move(placeholder));
  out.push_back(std::move(space));
}

using Sign = std::optional<std::string> (*)(std::string_view);

void find_signs(const Folded& all, Sign sign, Finding finding, std::vector<Finding>& out) {
  for (const Example* example : all.examples) {
    std::string seen;
    visit_texts(*example, [&](const std::string& place, std::string_view text) {
      if (!seen.empty()) return;
      if (const auto found = sign(text)) seen = cat(example->origin, " (", place, ": ", *found, ")");
    });
    if (!seen.empty()) note(finding, seen);
  }
  out.push_back(std::move(finding));
}

struct PersonalKind {
  std::string_view kind, says;
  Severity severity;
};
constexpr PersonalKind kPersonal[] = {
    {"private_key", "a private key; a tuned model can repeat it: remove it and replace the key",
     Severity::Error},
    {"api_key", "an access key of a service; a tuned model can repeat it: remove it and replace the key",
     Severity::Error},
    {"password", "a password; a tuned model can repeat it: remove it and change the password",
     Severity::Error},
    {"card", "a payment card's number; a tuned model can repeat it: remove it", Severity::Error},
    {"iban", "a bank account's number; a tuned model can repeat it: replace it by a placeholder",
     Severity::Warning},
    {"nir", "a French social security number; a tuned model can repeat it: replace it by a placeholder",
     Severity::Warning},
    {"phone", "a telephone number; a tuned model can repeat it: replace private ones by a placeholder",
     Severity::Warning},
    {"email", "an e-mail address; a tuned model can repeat it: replace private ones by a placeholder",
     Severity::Warning},
    {"siret", "a French company's number (public, but it names one)", Severity::Note},
};

void find_personal_data(const Folded& all, std::vector<Finding>& out) {
  std::map<std::string_view, Finding> findings;
  for (const Example* example : all.examples) {
    std::set<std::string_view> counted;
    visit_texts(*example, [&](const std::string& place, std::string_view text) {
      for (const auto& match : find_personal(text)) {
        if (!counted.insert(match.kind).second) continue;
        note(findings[match.kind], cat(example->origin, " (", place, ": ", match.masked, ")"));
      }
    });
  }
  for (const auto& kind : kPersonal) {
    const auto found = findings.find(kind.kind);
    if (found == findings.end()) continue;
    found->second.kind = kind.kind;
    found->second.says = kind.says;
    found->second.severity = kind.severity;
    out.push_back(std::move(found->second));
  }
}

}  // namespace

bool DataReport::has(Severity severity) const {
  return std::any_of(findings.begin(), findings.end(),
                     [&](const Finding& f) { return f.severity == severity; });
}

std::vector<bool> leaked_examples(const std::vector<Example>& train, const std::vector<Example>& validation) {
  std::vector<bool> leaked;
  for (const auto& twin : twins_in_training(fold({train, validation}))) leaked.push_back(twin.has_value());
  return leaked;
}

DataReport data_report(const DataReportInput& input) {
  DataReport report;
  report.train = input.train.size();
  report.validation = input.validation.size();
  std::vector<Finding>& out = report.findings;
  const Folded all = fold(input);
  measure_lengths(input, all, report, out);
  find_empty(all, out);
  for (auto& finding : compare_examples(all)) out.push_back(std::move(finding));
  find_signs(all, role_mark,
             {.kind = "role_mark",
              .severity = Severity::Warning,
              .count = 0,
              .says = "a text holds what looks like another turn of a chat; the model would learn to write "
                      "it: remove it, "
                      "or give the turns as messages",
              .origins = {}},
             out);
  find_signs(
      all, encoding_damage,
      {.kind = "encoding",
       .severity = Severity::Warning,
       .count = 0,
       .says = "characters that a wrong charset left behind; the model would learn them: repair the source",
       .origins = {}},
      out);
  find_signs(all, control_character,
             {.kind = "control_character",
              .severity = Severity::Warning,
              .count = 0,
              .says = "an invisible control character; remove it",
              .origins = {}},
             out);
  find_personal_data(all, out);
  std::erase_if(out, [](const Finding& finding) { return finding.count == 0; });
  std::stable_sort(out.begin(), out.end(),
                   [](const Finding& a, const Finding& b) { return a.severity < b.severity; });
  return report;
}

void add_finding(DataReport& report, const std::string& kind, const std::string& says,
                 const std::vector<std::string>& origins) {
  if (origins.empty()) return;
  Finding finding{.kind = kind, .severity = Severity::Warning, .count = 0, .says = says, .origins = {}};
  for (const std::string& origin : origins) note(finding, origin);
  const auto place = std::find_if(report.findings.begin(), report.findings.end(),
                                  [](const Finding& other) { return other.severity == Severity::Note; });
  report.findings.insert(place, std::move(finding));
}

}  // namespace lathe
