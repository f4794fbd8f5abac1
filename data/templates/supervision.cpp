#include "data/templates/supervision.h"

#include <algorithm>
#include <optional>

#include "recipes/schema/error.h"

namespace lathe {
namespace {

// What one message said within a stretch of the text.
struct Said {
  std::size_t first = std::string::npos, last = 0;  // bytes [first, last)
  bool role = false;                                // its role was written, before that
  bool calls = false;                               // a part of it is no plain text field
  bool empty() const { return first == std::string::npos; }
};

bool is_call(const Origin& origin) { return origin.path.rfind("tool_calls", 0) == 0; }

class Supervisor {
 public:
  Supervisor(const RenderedChat& chat, const std::string& header, const std::vector<SpecialPlace>& specials)
      : chat_(chat), header_(header), specials_(specials) {}

  void turn(std::size_t message) {
    const std::vector<ByteRange> stretches = stretches_of(message);
    std::vector<ByteRange> speaking;
    for (const ByteRange& stretch : stretches) {
      if (!said_within(stretch, message).empty()) speaking.push_back(stretch);
    }
    bool found = false;
    for (const ByteRange& stretch : speaking.empty() ? stretches : speaking)
      found |= looped_turn(message, stretch);
    if (!found) loose_turn(message);
  }

  void generated(const ByteRange& block) {
    const ByteRange stretch = stretch_around(block);
    add(block);
    if (has_header(stretch) && stretch.begin + header_.size() <= block.begin)
      openings_.push_back(stretch.begin + header_.size());
    const Said said = said_within(block, std::nullopt);
    close(said.empty() ? block.begin : said.last, {block.begin, std::max(block.end, stretch.end)}, block.end);
  }

  ByteRange stretch_around(const ByteRange& block) const {
    for (std::size_t i = 0; i < chat_.origins.size(); ++i) {
      if (chat_.origins[i].kind != OriginKind::Message || !chat_.origins[i].path.empty()) continue;
      for (const ByteRange& stretch : stretches_of(chat_.origins[i].index)) {
        if (stretch.begin <= block.begin && block.end <= stretch.end) return stretch;
      }
    }
    return block;
  }

  Supervision take() {
    Supervision out;
    std::sort(ranges_.begin(), ranges_.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
    for (const ByteRange& range : ranges_) {
      if (!out.ranges.empty() && range.begin <= out.ranges.back().end) {
        out.ranges.back().end = std::max(out.ranges.back().end, range.end);
      } else {
        out.ranges.push_back(range);
      }
    }
    for (auto* places : {&stops_, &openings_}) {
      std::sort(places->begin(), places->end());
      places->erase(std::unique(places->begin(), places->end()), places->end());
    }
    out.missing_stops = std::move(stops_);
    out.openings = std::move(openings_);
    return out;
  }

  // Where the loop over the messages stood at this one.
  std::vector<ByteRange> stretches_of(std::size_t message) const {
    std::vector<ByteRange> out;
    for (std::size_t i = 0; i < chat_.pieces.size(); ++i) {
      if (chat_.pieces[i].message != static_cast<int>(message)) continue;
      const std::size_t end = i + 1 < chat_.pieces.size() ? chat_.pieces[i + 1].begin : chat_.text.size();
      if (!out.empty() && out.back().end == chat_.pieces[i].begin) {
        out.back().end = end;
      } else {
        out.push_back({chat_.pieces[i].begin, end});
      }
    }
    return out;
  }

 private:
  void add(const ByteRange& range) {
    if (range.begin < range.end) ranges_.push_back(range);
  }

  // The part of `within` that a message said; any message when none is given.
  Said said_within(const ByteRange& within, std::optional<std::size_t> message) const {
    Said said;
    for (const OriginRun& run : chat_.runs) {
      const std::size_t begin = std::max(run.begin, within.begin),
                        end = std::min(run.begin + run.length, within.end);
      const Origin& origin = chat_.origins[run.source];
      if (begin >= end || origin.kind != OriginKind::Message || (message && origin.index != *message))
        continue;
      if (!is_said(origin)) {
        said.role |= said.empty();
        continue;
      }
      said.first = std::min(said.first, begin);
      said.last = std::max(said.last, end);
      said.calls |= is_call(origin);
    }
    return said;
  }

  bool blank(std::size_t begin, std::size_t end) const {
    return std::all_of(chat_.text.begin() + static_cast<std::ptrdiff_t>(begin),
                       chat_.text.begin() + static_cast<std::ptrdiff_t>(end),
                       [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; });
  }

  bool has_header(const ByteRange& stretch) const {
    return stretch.begin + header_.size() <= stretch.end &&
           chat_.text.compare(stretch.begin, header_.size(), header_) == 0;
  }

  // Where the header of the turn ends and the answer begins.
  std::optional<std::size_t> answer_begin(const ByteRange& stretch, const Said& said) const {
    const std::size_t after = stretch.begin + header_.size();
    const std::size_t first = said.empty() ? stretch.end : said.first;
    if (!header_.empty()) {
      if (after <= first && has_header(stretch)) return after;
      return said.empty() ? std::nullopt : std::optional(said.first);
    }
    if (said.empty()) return said.role ? std::nullopt : std::optional(stretch.begin);
    if (!said.role && (said.calls || blank(stretch.begin, said.first))) return stretch.begin;
    return said.first;
  }

  bool looped_turn(std::size_t message, const ByteRange& stretch) {
    const Said said = said_within(stretch, message);
    const std::optional<std::size_t> begin = answer_begin(stretch, said);
    if (!begin) return false;
    if (has_header(stretch) && *begin == stretch.begin + header_.size()) openings_.push_back(*begin);
    const std::size_t last = said.empty() ? *begin : said.last;
    add({*begin, last});
    close(last, stretch, last);
    return true;
  }

  // A template that does not loop over the messages themselves: from the first to the last character said.
  void loose_turn(std::size_t message) {
    const Said said = said_within({0, chat_.text.size()}, message);
    if (said.empty()) return;
    add({said.first, said.last});
    std::size_t end = chat_.text.size();
    for (const OriginRun& run : chat_.runs) {
      const Origin& origin = chat_.origins[run.source];
      if (run.begin >= said.last && origin.kind == OriginKind::Message && origin.index != message) {
        end = std::min(end, run.begin);
      }
    }
    close(said.last, {said.first, end}, said.last);
  }

  // Trains on what follows the last character said, up to the stop token; `covered` is trained already.
  void close(std::size_t last, const ByteRange& turn, std::size_t covered) {
    for (const SpecialPlace& special : specials_) {
      if (special.begin < last) continue;
      if (special.end <= turn.end) return add({std::min(last, covered), special.end});
      if (special.ends_text && nobody_speaks(turn.end, special.begin)) {  // written once, behind the loop
        add({std::min(last, covered), turn.end});
        return add({special.begin, special.end});
      }
      break;
    }
    const std::size_t end = blank(last, turn.end) ? std::max(last, covered) : turn.end;
    add({std::min(last, covered), end});
    stops_.push_back(end);
  }

  bool nobody_speaks(std::size_t begin, std::size_t end) const {
    for (const RenderedPiece& piece : chat_.pieces) {
      if (piece.message >= 0 && piece.begin >= begin && piece.begin < end) return false;
    }
    return said_within({begin, end}, std::nullopt).empty();
  }

  const RenderedChat& chat_;
  const std::string& header_;
  const std::vector<SpecialPlace>& specials_;
  std::vector<ByteRange> ranges_;
  std::vector<std::size_t> stops_, openings_;
};

}  // namespace

bool is_said(const Origin& origin) {
  return origin.kind == OriginKind::Message && origin.path != "role" && origin.path != "name";
}

bool is_assistant(const Json& message) {
  if (!message.is_object() || !message.contains("role")) return false;
  return message["role"] == "assistant" || message["role"] == "model";
}

Supervision supervise(const RenderedChat& chat, const Json& messages, LossOn loss_on,
                      const std::string& header, const std::vector<SpecialPlace>& specials) {
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (is_assistant(messages[i])) wanted.push_back(i);
  }
  const bool last_only = loss_on == LossOn::Completion || loss_on == LossOn::LastAssistant;
  if (last_only && wanted.size() > 1) wanted.erase(wanted.begin(), wanted.end() - 1);
  Supervisor supervisor(chat, header, specials);
  if (chat.generation.empty()) {
    for (const std::size_t message : wanted) supervisor.turn(message);
  } else {
    const std::vector<ByteRange> turn =
        wanted.empty() ? std::vector<ByteRange>() : supervisor.stretches_of(wanted.back());
    bool found = false;
    for (const ByteRange& block : chat.generation) {
      const bool in_turn = std::any_of(turn.begin(), turn.end(), [&](const ByteRange& stretch) {
        return stretch.begin <= block.begin && block.end <= stretch.end;
      });
      if (last_only && !in_turn) continue;
      supervisor.generated(block);
      found = true;
    }
    if (last_only && !found) supervisor.generated(chat.generation.back());
  }
  Supervision out = supervisor.take();
  if (loss_on == LossOn::All) out.ranges = {{0, chat.text.size()}};
  return out;
}

}  // namespace lathe
