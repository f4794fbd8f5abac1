#include "data/sources/glob.h"

#include "tests/catch.h"
#include "tests/complaints.h"

using namespace lathe;

namespace {
bool matches(const std::string& pattern, const std::string& path) { return Glob(pattern).matches(path); }
}  // namespace

TEST_CASE("wildcards stay within a name, '**' crosses folders") {
  CHECK(matches("*.py", "a.py"));
  CHECK_FALSE(matches("*.py", "a/b.py"));
  CHECK_FALSE(matches("*.py", "a.pyc"));
  CHECK(matches("**/*.py", "a.py"));
  CHECK(matches("**/*.py", "a/b/c.py"));
  CHECK(matches("src/**/test_*.c", "src/test_.c"));
  CHECK(matches("src/**/test_*.c", "src/a/b/test_x.c"));
  CHECK_FALSE(matches("src/**/test_*.c", "lib/test_x.c"));
  CHECK(matches("a/**", "a/b/c"));
  CHECK(matches("**", "a/b"));
  CHECK(matches("./a//b", "a/b"));
  CHECK(matches("a*b*c", "aXbYbZc"));
  CHECK_FALSE(matches("a*b*c", "aXbYbZ"));
  CHECK(matches("**/a/**/b", "x/a/y/a/z/b"));
}

TEST_CASE("a question mark and brackets take one character, not one byte") {
  CHECK(matches("?.txt", "\xC3\xA9.txt"));
  CHECK_FALSE(matches("??.txt", "\xC3\xA9.txt"));
  CHECK(matches("[a-c]x", "bx"));
  CHECK_FALSE(matches("[a-c]x", "dx"));
  CHECK(matches("[!a-c]x", "dx"));
  CHECK(matches("[]]x", "]x"));
  CHECK(matches("[\xC3\xA0-\xC3\xBC]", "\xC3\xA9"));
  CHECK_FALSE(matches("[\xC3\xA0-\xC3\xA2]", "\xC3\xA9"));
  CHECK(matches("[a-]", "-"));
}

TEST_CASE("braces are alternatives") {
  CHECK(matches("**/*.{py,md}", "a/b.md"));
  CHECK_FALSE(matches("**/*.{py,md}", "a/b.mdx"));
  CHECK(matches("{a,b/{c,d}}/x", "b/d/x"));
  CHECK(matches("{a,b/{c,d}}/x", "a/x"));
  CHECK_FALSE(matches("{a,b/{c,d}}/x", "b/x"));
}

TEST_CASE("names with a leading dot must be written out") {
  CHECK_FALSE(matches("*", ".a"));
  CHECK_FALSE(matches("**/*", ".git/config"));
  CHECK_FALSE(matches("**", ".git/config"));
  CHECK(matches(".github/**", ".github/a.yaml"));
  CHECK(matches("**/.x*", "a/.xy"));
  CHECK(Glob("**/.x*").names_hidden());
  CHECK_FALSE(Glob("**/*.x").names_hidden());
}

TEST_CASE("patterns that do not close are errors") {
  CHECK(contains(error_of([] { Glob("a[b"); }), "'[' is not closed"));
  CHECK(contains(error_of([] { Glob("a[]"); }), "'[' is not closed"));
  CHECK(contains(error_of([] { Glob("a{b,c"); }), "'{' is not closed"));
  CHECK(contains(error_of([] { Glob("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"); }), "1024"));
}

TEST_CASE("hostile patterns cost no exponential time") {
  std::string pattern, path;
  for (int i = 0; i < 200; ++i) pattern += "**/", path += "a/";
  CHECK_FALSE(matches(pattern + "b", path + "a"));
  CHECK_FALSE(matches(std::string("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"), std::string(5000, 'a')));
}
