#include "trainer/report/tfevents.h"

#include <array>
#include <bit>

namespace lathe {
namespace {

static_assert(std::endian::native == std::endian::little,
              "fixed-width fields are copied as they lie in memory");

template <class T>
void append_fixed(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void append_key(std::string& out, std::uint32_t field, Wire wire) {
  append_varint(out, field << 3 | static_cast<std::uint32_t>(wire));
}

void append_bytes(std::string& out, std::uint32_t field, std::string_view bytes) {
  append_key(out, field, Wire::kBytes);
  append_varint(out, bytes.size());
  out.append(bytes);
}

void append_integer(std::string& out, std::uint32_t field, std::int64_t value) {
  append_key(out, field, Wire::kVarint);
  append_varint(out, static_cast<std::uint64_t>(value));
}

std::string event(double wall_time, std::int64_t step) {
  std::string out;
  append_key(out, 1, Wire::kFixed64);
  append_fixed(out, wall_time);
  if (step != 0) append_integer(out, 2, step);
  return out;
}

std::uint32_t masked(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0u);
      entries[i] = value;
    }
    return entries;
  }();
  std::uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string tf_record(std::string_view bytes) {
  std::string out;
  append_fixed(out, static_cast<std::uint64_t>(bytes.size()));
  append_fixed(out, masked(out));
  out.append(bytes);
  append_fixed(out, masked(bytes));
  return out;
}

std::string tf_version_event(double wall_time) {
  std::string out = event(wall_time, 0);
  append_bytes(out, 3, "brain.Event:2");  // Event.file_version
  return out;
}

std::string tf_restart_event(double wall_time, std::int64_t step) {
  std::string log;
  append_integer(log, 1, 1);  // SessionLog.status = START
  std::string out = event(wall_time, step);
  append_bytes(out, 7, log);  // Event.session_log
  return out;
}

std::string tf_scalars_event(double wall_time, std::int64_t step, const TfScalars& scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    append_bytes(value, 1, tag);  // Summary.Value.tag
    append_key(value, 2, Wire::kFixed32);
    append_fixed(value, number);  // Summary.Value.simple_value
    append_bytes(summary, 1, value);
  }
  std::string out = event(wall_time, step);
  append_bytes(out, 5, summary);  // Event.summary
  return out;
}

std::string tf_text_event(double wall_time, std::int64_t step, std::string_view tag,
                          std::string_view markdown) {
  std::string plugin, metadata, tensor, value, summary;
  append_bytes(plugin, 1, "text");    // SummaryMetadata.PluginData.plugin_name
  append_bytes(metadata, 1, plugin);  // SummaryMetadata.plugin_data
  append_integer(tensor, 1, 7);       // TensorProto.dtype = DT_STRING
  append_bytes(tensor, 2, "");        // TensorProto.tensor_shape: a scalar
  append_bytes(tensor, 8, markdown);  // TensorProto.string_val
  append_bytes(value, 1, tag);
  append_bytes(value, 8, tensor);    // Summary.Value.tensor
  append_bytes(value, 9, metadata);  // Summary.Value.metadata
  append_bytes(summary, 1, value);
  std::string out = event(wall_time, step);
  append_bytes(out, 5, summary);
  return out;
}

}  // namespace lathe
