#pragma once
// TensorBoard event files, written natively: records framed as TFRecord (length, masked CRC-32C, bytes,
// masked CRC-32C), each an Event message in protocol-buffer wire format. Field numbers as in TensorFlow's
// event.proto and summary.proto.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lathe {

std::uint32_t crc32c(std::string_view bytes);   // Castagnoli, RFC 3720 B.4
std::string tf_record(std::string_view bytes);  // one framed record

using TfScalars = std::vector<std::pair<std::string, float>>;  // tag, value
std::string tf_version_event(double wall_time);                // must be a file's first record
std::string tf_restart_event(double wall_time,
                             std::int64_t step);  // drops what older files have from `step` on
std::string tf_scalars_event(double wall_time, std::int64_t step, const TfScalars& scalars);
std::string tf_text_event(double wall_time, std::int64_t step, std::string_view tag,
                          std::string_view markdown);

}  // namespace lathe
