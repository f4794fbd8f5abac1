#pragma once
// OpenAI's files write the arguments of a tool call as a string of JSON; chat templates are written for the
// object
// (`arguments | tojson` of a string would write it quoted, as no model answers). vLLM hands its templates
// objects as well, so what is learned is what is asked later. transformers and TRL leave the string to their
// caller.
#include "data/io/json.h"

namespace lathe {

// The messages with each such string that holds a JSON object as that object; whatever else stays as it is.
Json with_parsed_arguments(const Json& messages);

}  // namespace lathe
