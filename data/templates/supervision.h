#pragma once
// Which bytes of a rendered conversation a model is trained on, from the structure of the rendering alone:
// the origins of characters, the loop over the messages, and the header that a generation prompt would write.
// Text is never searched.
//
// A trained turn reaches from the end of its header to the end of the first special token behind its last
// character: the model must learn to stop. A turn whose template text has no such token is in
// `missing_stops`, where an end of text belongs. `{% generation %}` blocks replace the first half of the rule
// where a template has them. `openings` are the places where the model is asked to go on at inference: the
// ids there must not depend on what the answer turns out to be.
#include <string>
#include <vector>

#include "data/templates/chat_template.h"

namespace lathe {

enum class LossOn { Completion, Assistant, LastAssistant, All };

struct SpecialPlace {  // a control token in the text
  std::size_t begin, end;
  bool ends_text;  // the tokenizer's EOS
};

struct Supervision {
  std::vector<ByteRange> ranges;           // sorted, apart
  std::vector<std::size_t> missing_stops;  // byte positions, sorted
  std::vector<std::size_t> openings;       // likewise: behind the header of each trained turn that has one
};

// `messages` as they were rendered; `header` is generation_header's; `specials` are those of the text, in
// order.
Supervision supervise(const RenderedChat& chat, const Json& messages, LossOn loss_on,
                      const std::string& header, const std::vector<SpecialPlace>& specials);

// What the template writes to open an answer: that of the statements which only add_generation_prompt makes
// run, at the place of the last answer. Empty when there are none.
std::string generation_header(const ChatTemplate& chat_template, ChatInput input);

// Whether the byte's origin is what the assistant said: any field of a message but its role and name.
bool is_said(const Origin& origin);
bool is_assistant(const Json& message);

}  // namespace lathe
