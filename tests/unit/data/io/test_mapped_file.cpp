#include "data/io/mapped_file.h"

#include <unistd.h>

#include <fstream>
#include <locale>

#include "tests/catch.h"
#include "tests/temporary_folder.h"

using namespace lathe;

namespace {

// What of the process is in memory now: the second field of /proc/self/statm, in pages.
double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  file.imbue(std::locale::classic());  // French puts a space between thousands: the fields would be read as
                                       // one number
  double all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_CASE("a lent part of a mapped file leaves memory with its last copy, and can be read again") {
  const TemporaryFolder folder;
  std::string text(std::size_t{48} << 20, 'a');
  for (std::size_t i = 0; i < text.size(); i += 1000) text[i] = static_cast<char>('b' + i / 1000 % 20);
  const MappedFile file(folder.write("large", text));
  const std::size_t begin = 1001, length = std::size_t{32} << 20;
  const double before = resident_bytes();
  auto lent = file.lend(file.bytes().subspan(begin, length)), copy = lent;
  const bool same = file.text().substr(begin, length) == std::string_view(text).substr(begin, length);
  CHECK(same);
  CHECK(resident_bytes() - before > 30e6);
  lent.reset();
  CHECK(resident_bytes() - before > 30e6);
  copy.reset();
  CHECK(resident_bytes() - before < 4e6);
  const bool still = file.text() == text;
  CHECK(still);
}

TEST_CASE("what is lent outlives the file's object") {
  const TemporaryFolder folder;
  std::shared_ptr<const void> lent;
  std::string_view text;
  {
    const MappedFile file(folder.write("small", "hello"));
    lent = file.lend(file.bytes());
    text = file.text();
  }
  CHECK(text == "hello");
}
