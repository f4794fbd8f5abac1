// Which pictures a folder means and what is said of them.
#include <filesystem>

#include "data/images/list_pictures.h"
#include "data/images/shapes.h"
#include "tests/unit/data/images/support.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

std::vector<std::string> said(const PictureList& list) {
  std::vector<std::string> out;
  for (const PictureFile& picture : list.pictures) out.push_back(picture.name + ": " + picture.caption);
  return out;
}

bool noted(const PictureList& list, const std::string& text) {
  for (const std::string& note : list.notes)
    if (note.find(text) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("captions come from metadata.jsonl, below it from folders of their own") {
  const TemporaryFolder folder;
  for (const char* name : {"a.png", "b.PNG", "below/c.png", "below/d.png"})
    write_plain(folder / "set/" + name, 2, 2, 1, 2, 3);
  write_text(folder / "set/metadata.jsonl",
             "{\"file_name\": \"a.png\", \"text\": \"  a red\\nfrog \"}\n{\"file_name\": \"below/c.png\", "
             "\"text\": \"cafe\xCC\x81\"}\n"
             "{\"file_name\": \"gone.png\", \"text\": \"x\"}\n");
  write_text(folder / "set/below/metadata.csv", "file_name,text\nd.png,\"a frog, blue\"\n");
  const PictureList list = list_pictures({pictures_in(folder / "set")}, 1);
  CHECK(said(list) == std::vector<std::string>{"set/a.png: a red frog",
                                               "set/b.PNG: ", "set/below/c.png: caf\xC3\xA9",
                                               "set/below/d.png: a frog, blue"});
  CHECK(list.without_caption == 1);
  CHECK(noted(list, "metadata.jsonl names 1 picture(s) that are not there: gone.png"));
  CHECK(noted(list, "1 picture(s) of set have no caption of their own: set/b.PNG"));
  CHECK(noted(list, "1 caption(s) of set had accents as separate characters"));
  CHECK(list.files.size() == 6);  // four pictures and two tables
}

TEST_CASE("sidecars speak for their picture, the source's caption for the others") {
  const TemporaryFolder folder;
  for (const char* name : {"a.jpg.png", "b.png", "c.png"}) write_plain(folder / "set/" + name, 2, 2, 1, 2, 3);
  write_text(folder / "set/a.jpg.txt", "from a text\n");
  write_text(folder / "set/b.caption", "from kohya's file");
  SourceSection section = pictures_in(folder / "set");
  CHECK(said(list_pictures({section}, 1)) == std::vector<std::string>{"set/a.jpg.png: from a text",
                                                                      "set/b.png: from kohya's file",
                                                                      "set/c.png: "});
  section.caption = "a dog";
  CHECK(said(list_pictures({section}, 1))[2] == "set/c.png: a dog");
}

TEST_CASE("without any of these the names of folders and files are the caption") {
  CHECK(caption_of_names("item/book/light_blue.png", "sprites") == "item book light blue");
  CHECK(caption_of_names("frog/IMG_0042.jpg", "x") == "frog");
  CHECK(caption_of_names("frog/frog-12.jpg", "x") == "frog frog");
  CHECK(caption_of_names("manual1.png", "x") == "manual");
  CHECK(caption_of_names("green frog (2).png", "x") == "green frog");
  CHECK(caption_of_names("03.jpg", "my_dog") == "my dog");
  const TemporaryFolder folder;
  write_plain(folder / "frogs/green/01.png", 2, 2, 1, 2, 3);
  const PictureList list = list_pictures({pictures_in(folder / "frogs")}, 1);
  CHECK(said(list) == std::vector<std::string>{"frogs/green/01.png: green"});
  CHECK(noted(list, "the names of folders and files are the captions"));
}

TEST_CASE("masks and what is excluded are no pictures, other formats are named") {
  const TemporaryFolder folder;
  for (const char* name : {"a.png", "a-mask.png", "old/b.png", "lone-mask.png"})
    write_plain(folder / "set/" + name, 2, 2, 1, 2, 3);
  write_text(folder / "set/c.heic", "x");
  std::filesystem::create_symlink("/nowhere/d.png", folder / "set/d.png");
  SourceSection section = pictures_in(folder / "set");
  section.exclude = {"old"};
  const PictureList list = list_pictures({section}, 1);
  REQUIRE(list.pictures.size() == 2);
  CHECK(list.pictures[0].mask == folder / "set/a-mask.png");
  CHECK(list.pictures[1].name == "set/lone-mask.png");
  CHECK(noted(list, "1 file(s) are of a format that is not read"));
  CHECK(noted(list, "set/c.heic"));
  CHECK(noted(list, "set/d.png is a link that leads nowhere"));
  const PictureList some = list_pictures({pictures_in(folder / "set", "old/*")}, 1);
  CHECK(said(some) == std::vector<std::string>{"set/old/b.png: old b"});
}

TEST_CASE("what is no folder of pictures is refused with what was found") {
  const TemporaryFolder folder;
  write_text(folder / "set/notes.md", "x");
  CHECK_THROWS_WITH(list_pictures({pictures_in(folder / "set")}, 1),
                    contains_text("wanted pictures") && contains_text("notes.md"));
  CHECK_THROWS_WITH(list_pictures({pictures_in(folder / "absent")}, 1),
                    contains_text("wanted a folder of pictures"));
  write_plain(folder / "set/a.png", 2, 2, 1, 2, 3);
  write_text(folder / "set/metadata.jsonl",
             "{\"file_name\": \"a.png\", \"text\": \"x\"}\n{\"file_name\": \"a.png\", \"text\": \"y\"}\n");
  CHECK_THROWS_WITH(list_pictures({pictures_in(folder / "set")}, 1), contains_text("has a caption already"));
  write_text(folder / "set/metadata.jsonl", "{\"image\": \"a.png\"}\n");
  CHECK_THROWS_WITH(list_pictures({pictures_in(folder / "set")}, 1), contains_text("file_name"));
}

TEST_CASE("generated pictures are listed with their captions") {
  const PictureList list = list_pictures({drawn(3), drawn(2)}, 7);
  REQUIRE(list.pictures.size() == 5);
  CHECK(list.pictures[2].name == "shapes/00002");
  CHECK(list.pictures[2].caption == draw_shape(7, 2).caption);
  CHECK(list.pictures[4].caption == draw_shape(7, 1, 1).caption);  // of the second source: another world
}

TEST_CASE("every caption gets the trigger word once") {
  PictureList list;
  for (const char* caption : {"a photo of {trigger}", "sks dog", "it asks", "", "sks, {trigger}"}) {
    list.pictures.emplace_back();
    list.pictures.back().caption = caption;
  }
  PictureList without = list;
  CHECK_THROWS_WITH(apply_trigger("", {SourceSection{}}, without), contains_text("data.trigger"));
  apply_trigger("sks", {SourceSection{}}, list);
  std::vector<std::string> captions;
  for (const PictureFile& picture : list.pictures) captions.push_back(picture.caption);
  CHECK(captions == std::vector<std::string>{"a photo of sks", "sks dog", "sks, it asks", "sks", "sks, sks"});
  CHECK(noted(list, "trigger 'sks': in 3 of 5 captions, put before the other 2"));
}

TEST_CASE("a source has a trigger word of its own, or none") {
  PictureList list;
  for (std::uint32_t source = 0; source < 3; ++source)
    list.pictures.push_back({.path = "", .name = "", .caption = "a cat", .mask = "", .source = source});
  std::vector<SourceSection> sources(3);
  sources[1].trigger = "none";
  sources[2].trigger = "zwx";
  apply_trigger("sks", sources, list);
  CHECK(list.pictures[0].caption == "sks, a cat");
  CHECK(list.pictures[1].caption == "a cat");  // DreamBooth's class pictures
  CHECK(list.pictures[2].caption == "zwx, a cat");
  CHECK(noted(list, "trigger 'sks': in 0 of 1 captions, put before the other 1; not for the 2 pictures"));
  list.pictures[1].caption = "a {trigger}";
  CHECK_THROWS_WITH(apply_trigger("sks", sources, list), contains_text("trigger: none"));
}

TEST_CASE("captions that name a side are told where pictures are mirrored") {
  PictureList list;
  for (const char* caption : {"a cup on the Left", "rightly so", "un chat \xC3\xA0 gauche"})
    list.pictures.push_back({.path = "", .name = "x.png", .caption = caption, .mask = ""});
  const auto notes = side_notes("train", list);
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], contains_text("2 caption(s) of 'train' say left or right") &&
                           contains_text("'a cup on the Left' (x.png)"));
  list.pictures.resize(0);
  CHECK(side_notes("train", list).empty());
}

TEST_CASE("sidecars end in .TXT too") {
  const TemporaryFolder folder;
  write_plain(folder / "set/a.PNG", 2, 2, 1, 2, 3);
  write_text(folder / "set/a.TXT", "a dog");
  CHECK(said(list_pictures({pictures_in(folder / "set")}, 1)) ==
        std::vector<std::string>{"set/a.PNG: a dog"});
}

TEST_CASE("kohya's folders of repeats: the number is no caption") {
  const TemporaryFolder folder;
  write_plain(folder / "set/10_my dog/a1.png", 2, 2, 1, 2, 3);
  write_plain(folder / "set/7/01.png", 2, 2, 1, 2, 4);
  const PictureList list = list_pictures({pictures_in(folder / "set")}, 1);
  CHECK(said(list) == std::vector<std::string>{"set/10_my dog/a1.png: my dog a", "set/7/01.png: 7"});
  CHECK(noted(list, "the number before 10_my dog is left out of the captions"));
  CHECK(noted(list, "'repeats'"));
}

TEST_CASE("a table of pictures with other columns names those it has") {
  const TemporaryFolder folder;
  write_plain(folder / "set/a.png", 2, 2, 1, 2, 3);
  const std::string table = folder / "set/metadata.jsonl";
  write_text(table, "{\"file_name\": \"a.png\", \"caption\": \"x\"}\n");
  CHECK_THROWS_WITH(list_pictures({pictures_in(folder / "set")}, 1),
                    contains_text("no record has 'text'") && contains_text("field: caption"));
  SourceSection named = pictures_in(folder / "set");
  named.field = "caption";
  CHECK(said(list_pictures({named}, 1)) == std::vector<std::string>{"set/a.png: x"});
  write_text(table, "{\"file_name\": \"a.png\", \"text\": [\"a\", \"b\"]}\n");
  CHECK_THROWS_WITH(list_pictures({pictures_in(folder / "set")}, 1),
                    contains_text("'text' wants a text, found a list"));
  write_text(table, "{\"file_name\": \"a.png\"}\n");
  CHECK(said(list_pictures({pictures_in(folder / "set")}, 1)) == std::vector<std::string>{"set/a.png: "});
  std::filesystem::remove(table);
  write_text(folder / "set/metadata.csv", "image,caption\na.png,x\n");
  CHECK_THROWS_WITH(list_pictures({pictures_in(folder / "set")}, 1),
                    contains_text("'file_name', the picture's name, is missing; found image, caption"));
}
