#include "data/templates/chat_template.h"

#include <ctime>

#include "data/templates/chat_values.h"
#include "recipes/schema/error.h"

namespace lathe {

struct ChatTemplate::Parsed {
  std::string source, name;
  Body body;
};

namespace {

constexpr std::size_t kMaxSource = std::size_t{1} << 20;

std::string format_time(std::int64_t seconds, const std::string& format) {
  const std::time_t time = seconds;
  std::tm parts{};
  require(gmtime_r(&time, &parts) != nullptr, "the time ", seconds, " cannot be written as a date");
  require(format.size() < 256, "a time format of more than 255 characters");
  // A locale's own names would make the same conversation differ between machines.
  static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
  char out[2048];
  const std::size_t size = strftime_l(out, sizeof out, format.c_str(), &parts, plain);
  return {out, size};
}

std::vector<OriginRun> runs_of(const MarkedText& text) {
  std::vector<OriginRun> runs;
  for (std::size_t i = 0; i < text.runs().size(); ++i) {
    const auto& run = text.runs()[i];
    const std::size_t end = i + 1 < text.runs().size() ? text.runs()[i + 1].begin : text.size();
    const std::size_t source = run.source & ~kGeneratedBit;
    if (!runs.empty() && runs.back().source == source) {
      runs.back().length += end - run.begin;
    } else {
      runs.push_back({run.begin, end - run.begin, source});
    }
  }
  return runs;
}

std::vector<ByteRange> generated_ranges(const MarkedText& text) {
  std::vector<ByteRange> ranges;
  for (std::size_t i = 0; i < text.runs().size(); ++i) {
    const auto& run = text.runs()[i];
    if (!(run.source & kGeneratedBit)) continue;
    const std::size_t end = i + 1 < text.runs().size() ? text.runs()[i + 1].begin : text.size();
    if (!ranges.empty() && ranges.back().end == run.begin) {
      ranges.back().end = end;
    } else {
      ranges.push_back({run.begin, end});
    }
  }
  return ranges;
}

std::vector<RenderedPiece> numbered(const std::vector<OutputPiece>& pieces) {
  std::vector<RenderedPiece> out;
  for (const OutputPiece& piece : pieces) {
    out.push_back({piece.begin, static_cast<std::size_t>(piece.by->id), piece.message});
  }
  return out;
}

}  // namespace

ChatTemplate ChatTemplate::parse(std::string source, std::string name) {
  require(source.size() <= kMaxSource, name, ": a chat template of ", source.size(), " bytes; the most is ",
          kMaxSource);
  auto parsed = std::make_shared<Parsed>();
  parsed->body = parse_template(source, name);
  parsed->source = std::move(source);
  parsed->name = std::move(name);
  ChatTemplate made;
  made.parsed_ = std::move(parsed);
  return made;
}

const std::string& ChatTemplate::source() const { return parsed_->source; }
const std::string& ChatTemplate::name() const { return parsed_->name; }

RenderedChat ChatTemplate::render(const ChatInput& input) const {
  OriginTable origins;
  const auto now = [&](const std::string& format) {
    require(input.now.has_value(), "the template asks for the date with strftime_now; give it one");
    return format_time(*input.now, format);
  };
  Interpreter interpreter(
      {.name = parsed_->name, .limits = {}, .now = now, .message_of = [&](SourceId source) {
         return origins.whole_message(source);
       }});
  interpreter.define("messages", origins.list_of(prepare_messages(input.messages), OriginKind::Message));
  interpreter.define("tools", origins.list_of(input.tools, OriginKind::Tool));
  interpreter.define("documents", origins.list_of(input.documents, OriginKind::Document));
  interpreter.define("add_generation_prompt", TemplateValue::boolean(input.add_generation_prompt));
  for (const auto& [key, value] : input.variables.items()) interpreter.define(key, OriginTable::plain(value));
  const MarkedText text = interpreter.run(parsed_->body);
  RenderedChat out;
  out.text = text.bytes();
  out.runs = runs_of(text);
  out.generation = generated_ranges(text);
  out.pieces = numbered(interpreter.pieces());
  out.origins = origins.take();
  return out;
}

}  // namespace lathe
