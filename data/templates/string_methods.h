#pragma once
// The methods of str that string_methods.cpp finds elsewhere: each takes the string and the arguments of the
// call.
#include "data/templates/value.h"

namespace lathe {

TemplateValue string_split(const TemplateValue& self, const CallArguments& arguments);
TemplateValue string_rsplit(const TemplateValue& self, const CallArguments& arguments);
TemplateValue string_splitlines(const TemplateValue& self, const CallArguments& arguments);
TemplateValue string_partition(const TemplateValue& self, const CallArguments& arguments);
TemplateValue string_rpartition(const TemplateValue& self, const CallArguments& arguments);
// {}, {0} and {name}; attributes, conversions and format specs are Errors.
TemplateValue string_format(const TemplateValue& self, const CallArguments& arguments);

}  // namespace lathe
