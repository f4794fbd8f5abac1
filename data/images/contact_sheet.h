#pragma once
// Many pictures on one: rows from left to right, small ones enlarged so that they can be seen.
#include <vector>

#include "data/images/picture.h"

namespace lathe {

// Pictures of one size and number of channels, 2 white points between them; sides below 64 grow by a whole
// factor, each point a square. Error without pictures or when one has another size.
Picture contact_sheet(const std::vector<Picture>& pictures, std::int64_t columns);
// As near to a square as `count` allows, at most 16.
std::int64_t sheet_columns(std::int64_t count);

}  // namespace lathe
