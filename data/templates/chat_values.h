#pragma once
// Conversations as template values: every part of a message, tool or document gets an origin of its own.
#include <vector>

#include "data/templates/chat_template.h"

namespace lathe {

class OriginTable {
 public:
  OriginTable() : origins_(1) {}
  // The JSON value; a list of messages, tools or documents when `kind` says so.
  TemplateValue list_of(const Json& list, OriginKind kind);
  // A value without origins: as if the template had written it.
  static TemplateValue plain(const Json& value);
  // The message that this source is the whole of, or -1.
  int whole_message(SourceId source) const;
  std::vector<Origin> take() { return std::move(origins_); }

 private:
  TemplateValue value_of(const Json& value, const Origin& origin, int depth);
  SourceId add(const Origin& origin);

  std::vector<Origin> origins_;
};

// As transformers prepares them: null members dropped, reasoning under each of its names.
Json prepare_messages(const Json& messages);

}  // namespace lathe
