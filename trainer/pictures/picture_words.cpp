// What a run of pictures says of itself.
#include <algorithm>
#include <set>

#include "checkpoints/bundle/fingerprint.h"
#include "data/io/shell_word.h"
#include "recipes/schema/scalars.h"
#include "trainer/pictures/picture_plan.h"
#include "trainer/pictures/picture_report.h"
#include "trainer/pictures/picture_task.h"
#include "trainer/report/format.h"
#include "trainer/session.h"

namespace lathe {

namespace {

// "30 layers (28 linear, 2 convolutions), 4 of them in the text encoder"
std::string layers_text(PictureModel plan, const std::vector<std::string>& modules) {
  const std::set<std::string> adapted(modules.begin(), modules.end());
  std::size_t convolutions = 0, text = 0;
  for (const PictureModel::Part& part : plan.parts())
    for (const ParameterInfo& info : part.parameters) {
      const std::string name = part.prefix + info.name.substr(0, info.name.rfind('.'));
      if (!info.name.ends_with(".weight") || adapted.count(name) == 0) continue;
      convolutions += info.shape.size() == 4 ? 1 : 0;
      text += part.prefix == kTextEncoderPart ? 1 : 0;
    }
  return cat(modules.size(), convolutions > 0 ? " layers (" : " linear layers",
             convolutions > 0
                 ? cat(modules.size() - convolutions, " linear, ", convolutions, " convolutions)")
                 : std::string(),
             text > 0 ? cat(", ", text, " of them in the text encoder") : std::string());
}

// A line for each set of which files are not learned from: who asked for 500 pictures may have 50.
std::vector<std::string> left_out_lines(const Json& ledger, const std::string& run) {
  constexpr std::size_t kNamed = 5;
  std::vector<std::string> lines;
  for (const Json& set : ledger) {
    if (!set.contains("left_out") || set["left_out"].empty()) continue;
    const Json& files = set["left_out"];
    std::string names;
    for (std::size_t i = 0; i < files.size() && i < kNamed; ++i)
      names += cat(i ? "; " : "", files[i]["name"].get<std::string>(), " (",
                   files[i]["reason"].get<std::string>(), ")");
    const std::size_t more = files.size() - std::min(files.size(), kNamed);
    lines.push_back(
        cat("warning: ", files.size(), " file(s) of '", set.value("set", ""), "' are left out: ", names,
            more > 0 ? cat(" and ", more, " more, all in ", run, "/report.html at the end") : ""));
  }
  return lines;
}

}  // namespace

void PictureTask::say_data(const Session& session, bool strict, const Say& say, const Say& warn) const {
  for (const std::string& note : data.notes) say("note: " + printable(note));
  for (const std::string& note : data.notes)
    if (strict) warn("note: " + printable(note));
  if (!strict)
    for (const std::string& line : left_out_lines(data.ledger, session.run.path)) warn(printable(line));
  if (!unplanned_.empty()) say("note: memory is not told beforehand: " + unplanned_);
  if (strict && !data.notes.empty())
    fail("the pictures were not all in order (--strict); nothing was trained");
}

std::vector<std::string> PictureTask::opening_lines(const Session& session) const {
  std::uint64_t held = 0;
  for (const PictureSet& set : data.validation) held += set.pictures;
  std::vector<std::string> lines{
      cat("data: ", data.train.pictures, " pictures of ", data.width, " x ", data.height, " x ",
          data.channels, ", ", held, " held out"),
      plan.vae ? cat("model: Stable Diffusion's UNet, ",
                     format_count(static_cast<double>(count_parameters(plan).transformer)), " parameters",
                     plan.fills_in() ? ", which fills in masked pictures" : "",
                     adapter && session.recipe().adapter.text_encoder
                         ? "; its VAE stays as it is"
                         : "; its text encoder and its VAE stay as they are")
      : !plan.by_text()
          ? cat("model: ", plan.unet ? "unet2d, " : "dit, ", format_count(static_cast<double>(parameters())),
                " parameters, ",
                plan.classes.empty() ? std::string("no") : std::to_string(plan.classes.size()), " classes")
          : cat("model: sd3, ", format_count(static_cast<double>(parameters())), " parameters, of them ",
                format_count(static_cast<double>(count_parameters(plan).text_encoder)),
                " in the text encoder, ", plan.tokenizer->vocab_size(), " tokens")};
  if (adapter) {
    std::int64_t trained = 0;
    for (const Parameter& parameter : session.parameters) trained += parameter.weight.numel();
    lines.push_back(cat("adapter: ", session.recipe().adapter.kind, " of rank ", adapter->rank, " on ",
                        layers_text(plan, adapter->targets), ", ", format_count(static_cast<double>(trained)),
                        " parameters trained"));
  }
  if (new_word)
    lines.push_back(cat("new word: ", new_word->settings.token, ", ", new_word->count, " x ",
                        plan.text_encoder.hidden_size, " values; the base stays as it is"));
  if (prior_)
    lines.push_back(cat("prior: ", prior_->pictures(),
                        " pictures drawn by the base stay as it predicts them, weight ", prior_->weight()));
  return lines;
}

std::string PictureTask::one_line(const EvaluationMetrics& metrics) const {
  return cat(metrics.set, " loss ", metrics.loss, metrics.grid.empty() ? "" : ", samples in " + metrics.grid);
}

Json PictureTask::evaluated(const EvaluationMetrics& metrics) const { return metrics.details; }

Json PictureTask::identity(const Session& session) const {
  Json identity{{"data_sha256", data.data_sha256},
                {plan.by_text() ? "tokenizer_sha256" : "classes",
                 plan.by_text() ? Json(plan.tokenizer->fingerprint()) : Json(plan.classes)},
                {"base", session.recipe().model.path}};
  if (const std::string& base = session.recipe().model.path; !base.empty())
    identity["base_sha256"] = model_fingerprint(resolve_model(base).folder);
  return identity;
}

std::int64_t PictureTask::parameters() const {
  const PictureParameters count = count_parameters(plan);
  return count.transformer + count.text_encoder;
}

Json PictureTask::ledger() const { return data.ledger; }
std::int64_t PictureTask::peak_memory(const Session&) const {
  return expected_ ? make_picture_plan(plan, *expected_).peak_bytes : 0;
}
void PictureTask::before_first_step(Session&, const Say&) {}
Json PictureTask::report(Session& session, const std::vector<PartResult>&, const Say& say) {
  return make_picture_report(session, *this, say);
}

std::string PictureTask::next_commands(const Session& session) const {
  const std::string run = shell_word(session.run.path);
  if (!plan.by_text())
    return cat("lathe sample ", run, plan.classes.empty() ? " --count 16" : " --count 8",
               " --output pictures");
  const bool told = session.recipe().report.shows() && !data.captions.empty();
  return cat("lathe sample ", run, " --prompt ", shell_word(told ? data.captions.front() : "a picture"),
             " --count 4 --output pictures");
}

}  // namespace lathe
