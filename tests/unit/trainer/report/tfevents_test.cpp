// The expected bytes were made with Google's protobuf and tensorboard's RecordWriter.
#include "tests/catch.h"

#include "trainer/report/tfevents.h"

using namespace lathe;

namespace {

std::string hex(const std::string& bytes) {
  static const char* const kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

}  // namespace

TEST_CASE("CRC-32C has RFC 3720's known answers") {
  CHECK(crc32c("123456789") == 0xe3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
  CHECK(crc32c("") == 0u);
}

TEST_CASE("records equal those of the reference writer byte for byte") {
  CHECK(hex(tf_record(tf_version_event(1.5))) ==
        "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c");
  CHECK(hex(tf_record(tf_scalars_event(1.5, 300, {{"train/loss", 2.5f}, {"a", -1.0f}}))) ==
        "2b00000000000000861bc34b09000000000000f83f10ac022a1d0a110a0a747261696e2f6c6f737315000020400a080a0161"
        "15000080"
        "bf8fbbd27f");
  CHECK(hex(tf_record(tf_restart_event(1.5, 11))) ==
        "0f000000000000006d532b0909000000000000f83f100b3a020801b2012ff1");
  CHECK(hex(tf_record(tf_text_event(1.5, 2, "s", "hi"))) ==
        "2600000000000000734fe30009000000000000f83f10022a190a170a0173420808071200420268694a080a060a0474657874"
        "b3f3ff95");
}
