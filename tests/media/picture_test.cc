// Pictures and clips as people have them come out as viewers show them. ffmpeg makes the files and
// says what is right.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "runtime/media/orientation.h"
#include "runtime/media/tone.h"
#include "tests/media/clips.h"

namespace zoetrope {
namespace {

// Four colours in the corners of a gradient, so that every turn shows; smooth, so that subsampled
// chroma hurts nothing.
constexpr const char* kCorners =
    "-f lavfi -i "
    "\"color=black:s=64x48,format=gbrp,geq=r='(W-X)*200/W+20':g='X*180/W+30':b='Y*200/H+"
    "20'\" -frames:v 1 ";

// Exif's header, and a directory with one entry.
std::string exif(int orientation) {
  using namespace std::string_literals;
  return "MM\0*\0\0\0\10\0\1\1\22\0\3\0\0\0\1\0"s + static_cast<char>(orientation) +
         "\0\0\0\0\0\0"s;
}

std::string big_endian(size_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i));
  return text;
}

void insert(std::vector<uint8_t>* bytes, size_t at, const std::string& text) {
  bytes->insert(bytes->begin() + static_cast<std::ptrdiff_t>(at), text.begin(), text.end());
}

TEST_CASE("EXIF orientation: JPEG, PNG and WebP stand upright") {
  using namespace std::string_literals;
  const TemporaryFolder folder;
  // What each number asks for, in ffmpeg's filters.
  const char* filters[] = {"null",        "hflip",       "hflip,vflip", "vflip",
                           "transpose=0", "transpose=1", "transpose=3", "transpose=2"};
  for (const std::string name : {"a.jpg", "a.png", "a.webp"}) {
    const std::string codec = name == "a.webp" ? "-c:v libwebp -lossless 1 " : "-q:v 1 ";
    ffmpeg(kCorners + codec + (folder / name));
    for (int orientation = 1; orientation <= 8; ++orientation) {
      CAPTURE(name);
      CAPTURE(orientation);
      auto bytes = file_bytes(folder / name);
      const std::string data = exif(orientation);
      if (name == "a.jpg") {
        const std::string body = "Exif\0\0"s + data;
        insert(&bytes, 2, "\xff\xe1"s + big_endian(body.size() + 2, 2) + body);
      } else if (name == "a.png") {
        insert(&bytes, 33, big_endian(data.size(), 4) + "eXIf" + data + "\0\0\0\0"s);
      } else {
        // Extended form: a header that says that EXIF follows the picture.
        std::string rest(bytes.begin() + 12, bytes.end());
        rest = "WEBPVP8X\12\0\0\0\10\0\0\0\77\0\0\57\0\0"s + rest + "EXIF" +
               static_cast<char>(data.size()) + "\0\0\0"s + data;
        const std::string size = big_endian(rest.size(), 4);
        const std::string whole = "RIFF"s + size[3] + size[2] + size[1] + size[0] + rest;
        bytes.assign(whole.begin(), whole.end());
      }
      write_bytes(folder / ("turned_" + name), bytes);
      const auto expected =
          ffmpeg("-i " + (folder / name) + " -vf " + filters[orientation - 1] + kRgb);
      const bool on_side = orientation >= 5;
      const Media media =
          read_frames(folder / ("turned_" + name), on_side ? 48 : 64, on_side ? 64 : 48);
      CHECK(largest_difference(media.pixels, expected) <= 3);
    }
  }
  const std::string tiff = exif(3);
  CHECK(exif_orientation({reinterpret_cast<const uint8_t*>(tiff.data()), tiff.size()}) == 3);
  for (size_t cut = 0; cut < 22; ++cut)  // before the value is whole
    CHECK(exif_orientation({reinterpret_cast<const uint8_t*>(tiff.data()),
                            std::min<size_t>(cut, 17)}) == kUpright);
}

// Sets rows a b, c d of the display matrix of an MP4's only track.
void set_matrix(std::vector<uint8_t>* mp4, std::initializer_list<double> rows) {
  const uint8_t tag[] = {'t', 'k', 'h', 'd'};
  const auto place = std::search(mp4->begin(), mp4->end(), tag, tag + 4);
  REQUIRE(place != mp4->end());
  auto at = place + 4 + 40;
  size_t i = 0;
  for (const double number : rows) {
    const auto value = static_cast<uint32_t>(static_cast<int32_t>(std::lround(number * 65536)));
    for (int k = 0; k < 4; ++k) at[k] = static_cast<uint8_t>(value >> (24 - 8 * k));
    at += i++ % 2 == 0 ? 4 : 8;
  }
}

TEST_CASE("a display matrix turns and mirrors a clip as ffmpeg does") {
  const TemporaryFolder folder;
  ffmpeg(kCorners + ("-c:v libx264 -qp 1 -pix_fmt yuv444p " + (folder / "a.mp4")));
  const auto original = file_bytes(folder / "a.mp4");
  const int matrices[][4] = {{1, 0, 0, 1},  {-1, 0, 0, 1}, {-1, 0, 0, -1},
                             {1, 0, 0, -1}, {0, 1, -1, 0}, {0, -1, 1, 0}};
  for (const auto& m : matrices) {
    CAPTURE(m[0] * 1000 + m[1] * 100 + m[2] * 10 + m[3]);
    auto bytes = original;
    set_matrix(&bytes, {double(m[0]), double(m[1]), double(m[2]), double(m[3])});
    write_bytes(folder / "b.mp4", bytes);
    const bool on_side = m[0] == 0;
    const auto expected = ffmpeg("-i " + (folder / "b.mp4") + kRgb);
    const Media media = read_frames(folder / "b.mp4", on_side ? 48 : 64, on_side ? 64 : 48);
    CHECK(largest_difference(media.pixels, expected) <= 4);
    CHECK_FALSE(says(media, "quarter"));
  }
}

TEST_CASE("a display matrix that turns by less than a quarter, or slants, is said") {
  const TemporaryFolder folder;
  ffmpeg(kCorners + ("-c:v libx264 -qp 1 -pix_fmt yuv444p " + (folder / "a.mp4")));
  const auto original = file_bytes(folder / "a.mp4");
  const auto said = [&](std::initializer_list<double> rows) {
    auto bytes = original;
    set_matrix(&bytes, rows);
    write_bytes(folder / "b.mp4", bytes);
    return says(read_frames(folder / "b.mp4", 64, 48), "quarter");
  };
  for (const double degrees : {45.0, 30.0, 135.0, 88.0, -20.0}) {
    CAPTURE(degrees);
    const double x = std::cos(degrees * std::numbers::pi / 180),
                 y = std::sin(degrees * std::numbers::pi / 180);
    CHECK(said({x, y, -y, x}));
  }
  CHECK(said({1, 0.3, 0, 1}));
  CHECK_FALSE(said({2, 0, 0, 2}));
  const double less = 0.5 * std::numbers::pi / 180;  // ffmpeg, too, takes it for upright
  CHECK_FALSE(said({std::cos(less), std::sin(less), -std::sin(less), std::cos(less)}));
}

TEST_CASE("matrix and range of YUV are those of the tags") {
  const TemporaryFolder folder;
  const auto expected = ffmpeg(kCorners + std::string(kRgb));
  struct Tag {
    const char *matrix, *tag, *range, *range_tag;
  };
  for (const Tag& t : {Tag{"bt601", "smpte170m", "tv", "tv"}, Tag{"bt709", "bt709", "tv", "tv"},
                       Tag{"bt709", "bt709", "pc", "pc"}, Tag{"bt2020", "bt2020nc", "tv", "tv"},
                       Tag{"bt601", "bt470bg", "pc", "pc"},
                       Tag{"smpte240m", "smpte240m", "tv", "tv"}, Tag{"fcc", "fcc", "tv", "tv"}}) {
    CAPTURE(t.tag);
    CAPTURE(t.range);
    ffmpeg(kCorners + str("-vf scale=out_color_matrix=", t.matrix, ":out_range=", t.range,
                          ":flags=accurate_rnd,format=yuv444p -colorspace ", t.tag,
                          " -color_range ", t.range_tag, " -c:v ffv1 ", folder / "a.mkv"));
    CHECK(largest_difference(read_frames(folder / "a.mkv", 64, 48).pixels, expected) <= 3);
  }
  // Without a tag: HD is BT.709, what is smaller BT.601.
  const std::string big = "-vf scale=1280:960:out_color_matrix=bt709,format=yuv444p ";
  ffmpeg(kCorners + big + "-c:v ffv1 " + (folder / "hd.mkv"));
  const auto hd = ffmpeg(kCorners + std::string("-vf scale=1280:960") + kRgb);
  CHECK(mean_difference(read_frames(folder / "hd.mkv", 1280, 960).pixels, hd) < 1);
  // A large JPEG is still JPEG's BT.601, full range.
  ffmpeg(kCorners + std::string("-vf scale=1280:960 -q:v 1 ") + (folder / "hd.jpg"));
  CHECK(mean_difference(read_frames(folder / "hd.jpg", 1280, 960).pixels, hd) < 1.5);
}

TEST_CASE("colours that cannot be converted rightly are refused") {
  const TemporaryFolder folder;
  ffmpeg(kCorners + ("-vf format=yuv444p -colorspace ycgco -c:v ffv1 " + (folder / "a.mkv")));
  ReadRequest request;
  request.width = request.height = 16;
  request.max_frames = 1;
  const auto media = read_media(folder / "a.mkv", request);
  REQUIRE(!media.ok());
  CHECK(media.status().code() == Code::kUnsupported);
  CHECK(media.status().message().find("ycgco") != std::string::npos);
}

TEST_CASE("Dolby Vision's own colours are refused, those with HDR10 beneath are shown") {
  const TemporaryFolder folder;
  ffmpeg(kCorners +
         ("-c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le " + (folder / "a.mp4")));
  const auto plain = file_bytes(folder / "a.mp4");
  for (const uint8_t profile : {5, 8}) {
    // dvcC: version 1.0, profile, level 1, both with RPU and base layer, and reserved bytes.
    std::vector<uint8_t> box{0, 0, 0, 32, 'd', 'v', 'c', 'C', 1, 0};
    box.push_back(static_cast<uint8_t>(profile << 1));
    box.push_back(1 << 3 | 5);
    box.push_back(profile == 8 ? 0x10 : 0);
    box.resize(32);
    auto bytes = plain;
    size_t at = 0;
    for (const std::string type : {"moov", "trak", "mdia", "minf", "stbl", "stsd", "hev1"}) {
      const auto found = std::search(bytes.begin() + static_cast<int64_t>(at), bytes.end(),
                                     type.begin(), type.end());
      REQUIRE(found != bytes.end());
      at = static_cast<size_t>(found - bytes.begin());
      uint32_t size = 32;
      for (size_t i = 0; i < 4; ++i) size += uint32_t{bytes[at - 4 + i]} << (24 - 8 * i);
      for (size_t i = 0; i < 4; ++i) bytes[at - 4 + i] = static_cast<uint8_t>(size >> (24 - 8 * i));
    }
    constexpr size_t kSampleEntry = 82;  // from its type to its first box
    bytes.insert(bytes.begin() + static_cast<int64_t>(at + kSampleEntry), box.begin(), box.end());
    write_bytes(folder / "b.mp4", bytes);
    ReadRequest request;
    request.width = request.height = 16;
    request.max_frames = 1;
    const auto media = read_media(folder / "b.mp4", request);
    CHECK(media.ok() == (profile == 8));
    if (profile == 5) CHECK(media.status().message().find("Dolby Vision") != std::string::npos);
  }
}

TEST_CASE("HDR comes down to what it shows below white, and says so") {
  const TemporaryFolder folder;
  const auto expected = ffmpeg(kCorners + std::string(kRgb));
  const auto make = [&](const std::string& transfer) {
    ffmpeg(kCorners +
           str("-vf \"zscale=tin=iec61966-2-1:pin=bt709:min=gbr:rin=pc:t=linear:p=bt2020:npl=203,"
               "format=gbrpf32le,zscale=tin=linear:pin=bt2020:min=gbr:t=",
               transfer, ":m=bt2020nc:r=tv:npl=203,format=yuv444p12le\" -color_trc ", transfer,
               " -color_primaries bt2020 -colorspace bt2020nc -color_range tv -c:v ffv1 ",
               folder / "a.mkv"));
    return read_frames(folder / "a.mkv", 64, 48);
  };
  const Media pq = make("smpte2084");
  CHECK(says(pq, "PQ"));
  CHECK(largest_difference(pq.pixels, expected) <= 4);
  CHECK(says(make("arib-std-b67"), "HLG"));
}

TEST_CASE("HDR's reference levels: ITU-R BT.2408, table 1") {
  const auto level = [](Light::Transfer transfer, double code) {
    const std::vector<uint16_t> rgb(3, static_cast<uint16_t>(std::lround(code * 65535)));
    return int{to_srgb(rgb, {transfer, Light::kBt2020})[1]};
  };
  // A grey card is 26 cd/m2 of white's 203, 0.128 of it: 101 in sRGB. Codes are rounded to 1%.
  CHECK(std::abs(level(Light::kPq, 0.38) - 101) <= 3);
  CHECK(std::abs(level(Light::kHlg, 0.38) - 101) <= 3);
  // White comes out as white's neighbour, and what is brighter, brighter still.
  for (const auto& [transfer, white] : {std::pair{Light::kPq, 0.58}, {Light::kHlg, 0.75}}) {
    CHECK(level(transfer, white) > 235);
    CHECK(level(transfer, white) < 250);
    CHECK(level(transfer, white + 0.1) > level(transfer, white));
    CHECK(level(transfer, 0) == 0);
    CHECK(level(transfer, 1) == 255);
  }
}

TEST_CASE("transparency shows the background, never hidden colours") {
  const TemporaryFolder folder;
  // Alpha grows from left to right over two different hidden pictures.
  for (const std::string colour : {"magenta", "black"})
    ffmpeg("-f lavfi -i \"color=" + colour +
           ":s=64x48,format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,32),0,(X-32)*8)'\""
           " -frames:v 1 " +
           (folder / (colour + ".png")));
  const Media a = read_frames(folder / "magenta.png", 64, 48);
  const Media b = read_frames(folder / "black.png", 64, 48);
  CHECK(says(a, "transparent"));
  for (const char* name : {"magenta", "black"}) {
    const auto expected = ffmpeg("-f lavfi -i color=white:s=64x48,format=gbrp -i " +
                                 (folder / (std::string(name) + ".png")) +
                                 " -filter_complex overlay=format=gbrp -frames:v 1" + kRgb);
    CHECK(largest_difference((name[0] == 'm' ? a : b).pixels, expected) <= 2);
  }
  for (int64_t y = 0; y < 48; ++y)
    CHECK(std::memcmp(&a.pixels[static_cast<size_t>(y * 64 * 3)],
                      &b.pixels[static_cast<size_t>(y * 64 * 3)], 32 * 3) == 0);
}

TEST_CASE("animated WebP, GIF and APNG: frames by their times") {
  const TemporaryFolder folder;
  // A square that moves over a still ground: encoders store what changes only.
  const std::string source =
      "-f lavfi -i \"color=blue:s=64x48:r=10:d=1,format=gbrp,geq=r='if(lt(abs(X-6*N-4),8)*lt(abs(Y-"
      "24),8),220,40)':g='60+Y':b='if(lt(abs(X-6*N-4),8),30,160)'\" ";
  const auto expected = ffmpeg(source + kRgb);
  for (const std::string& output :
       {"-c:v libwebp_anim -lossless 1 " + (folder / "a.webp"), "-f apng " + (folder / "a.png"),
        "-f apng " + (folder / "a.apng")}) {
    CAPTURE(output);
    ffmpeg(source + output);
    const Media media = read_frames(output.substr(output.rfind(' ') + 1), 64, 48, 20, /*fps=*/10);
    CHECK(media.frames == 10);
    if (media.frames == 10) CHECK(largest_difference(media.pixels, expected) <= 1);
  }
  ffmpeg(source + "-vf \"split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none\" " +
         (folder / "a.gif"));
  const Media gif = read_frames(folder / "a.gif", 64, 48, 20, 10);
  CHECK(gif.frames == 10);
  CHECK(largest_difference(gif.pixels, ffmpeg("-i " + (folder / "a.gif") + kRgb)) <= 1);
}

TEST_CASE("pixels that are not square") {
  const TemporaryFolder folder;
  ffmpeg(kCorners + ("-vf setsar=2/1 -c:v ffv1 " + (folder / "a.mkv")));
  const auto wide = ffmpeg("-i " + (folder / "a.mkv") + " -vf scale=128:48:flags=lanczos" + kRgb);
  CHECK(mean_difference(read_frames(folder / "a.mkv", 128, 48).pixels, wide) < 1);
  const auto middle =
      ffmpeg("-i " + (folder / "a.mkv") + " -vf scale=128:48:flags=lanczos,crop=48:48" + kRgb);
  CHECK(mean_difference(read_frames(folder / "a.mkv", 48, 48).pixels, middle) < 1);
  // The container's ratio counts, not the codec's.
  ffmpeg(kCorners + ("-vf setsar=1 -c:v libx264 -qp 1 " + (folder / "b.mkv")));
  ffmpeg("-i " + (folder / "b.mkv") + " -c copy -aspect 8:3 " + (folder / "c.mkv"));
  CHECK(read_frames(folder / "c.mkv", 128, 48).own_width == 128);
  // One that comes to less than half a pixel is rounding, and nothing is resampled for it.
  ffmpeg(kCorners + ("-vf setsar=sar=150/149:max=1000 -c:v qtrle " + (folder / "d.mov")));
  CHECK(read_frames(folder / "d.mov", 64, 48).pixels == ffmpeg("-i " + (folder / "d.mov") + kRgb));
}

TEST_CASE("cover, contain and stretch") {
  const TemporaryFolder folder;
  ffmpeg(kCorners + (folder / "a.png"));
  const std::string input = "-i " + (folder / "a.png") + " -vf ";
  const auto expect = [&](Fit fit, const std::string& filter) {
    const Media media = read_frames(folder / "a.png", 32, 32, 1, 0, fit);
    CHECK(mean_difference(media.pixels, ffmpeg(input + filter + kRgb)) < 1);
  };
  expect(Fit::kCover, "crop=48:48,scale=32:32:flags=lanczos");
  expect(Fit::kStretch, "scale=32:32:flags=lanczos");
  expect(Fit::kContain, "scale=32:24:flags=lanczos,pad=32:32:0:4:white");
}

TEST_CASE("smaller pictures do not alias") {
  const TemporaryFolder folder;
  // Lines of one pixel: a filter that picks pixels shows stripes, a right one grey.
  ffmpeg("-f lavfi -i \"color=black:s=640x480,format=gray,geq=lum='255*mod(X,2)'\" -frames:v 1 " +
         (folder / "a.png"));
  const Media media = read_frames(folder / "a.png", 100, 75);
  // Away from the edges, where half of the filter is missing.
  for (int64_t y = 0; y < 75; ++y)
    for (int64_t x = 3; x < 97; ++x)
      CHECK(std::abs(media.pixels[static_cast<size_t>((y * 100 + x) * 3)] - 127.5) < 2);
}

TEST_CASE("the filter is Pillow's") {
  // Image.fromarray(a).resize((5, 4), Image.LANCZOS, box=(2, 0, 21, 16)) of Pillow 13, where
  // a[y, x] = (x * 37 + y * 91 + x * y * 5) % 256 in each channel, 23x16.
  const uint8_t expected[] = {119, 135, 138, 129, 126, 127, 149, 116, 132, 135,
                              130, 127, 124, 134, 128, 117, 129, 120, 144, 124};
  std::vector<uint8_t> pixels;
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 23; ++x)
      pixels.insert(pixels.end(), 3, static_cast<uint8_t>((x * 37 + y * 91 + x * y * 5) % 256));
  // Pixels so narrow that 19 of the 23 columns cover the target.
  const auto scaled = resize(pixels, 23, 16, 16.0 * 5 / 4 / 19, Fit::kCover, 5, 4, {});
  REQUIRE(scaled.size() == 5 * 4 * 3);
  for (size_t i = 0; i < 20; ++i) CHECK(std::abs(scaled[3 * i] - expected[i]) <= 1);
}

TEST_CASE("a large photograph comes out as a smaller one does") {
  // Means of blocks and coarser chroma come first where a picture is many times the target.
  const TemporaryFolder folder;
  for (const std::string size : {"4001x2999", "1280x960"})
    ffmpeg("-f lavfi -i \"color=black:s=" + size +
           ",format=gbrp,geq=r='128+90*sin(X*12/W)':g='128+90*cos(Y*9/H)':b='X*200/W+20'\" "
           "-frames:v 1 "
           "-q:v 1 " +
           (folder / (size + ".jpg")));
  const Media large = read_frames(folder / "4001x2999.jpg", 160, 96);
  const auto expected =
      ffmpeg("-i " + (folder / "4001x2999.jpg") +
             " -vf crop=4001:2400,scale=160:96:flags=lanczos+accurate_rnd" + kRgb);
  CHECK(mean_difference(large.pixels, expected) < 1.5);
  CHECK(largest_difference(large.pixels, expected) <= 6);
  CHECK(mean_difference(large.pixels, read_frames(folder / "1280x960.jpg", 160, 96).pixels) < 1.5);
}

TEST_CASE("ordinary JPEGs, and the other kinds of pictures") {
  const TemporaryFolder folder;
  const auto expected = ffmpeg(kCorners + std::string(kRgb));
  for (const std::string name : {"p.jpg", "p.jpeg", "p.bmp", "p.tiff", "p.tga", "p.ppm", "p.qoi",
                                 "p.jp2", "p.png", "p.webp"}) {
    CAPTURE(name);
    ffmpeg(kCorners + std::string(name == "p.webp" ? "-lossless 1 " : "-q:v 1 ") + (folder / name));
    CHECK(mean_difference(read_frames(folder / name, 64, 48).pixels, expected) < 3);
    // By what is in it, not by its name.
    if (name == "p.tga") continue;
    std::filesystem::rename(folder / name, folder / "picture");
    CHECK(mean_difference(read_frames(folder / "picture", 64, 48).pixels, expected) < 3);
  }
}

TEST_CASE("BMP: the fourth byte is transparency only where the header says so") {
  const TemporaryFolder folder;
  // BITMAPINFOHEADER (40 bytes) has no mask: viewers and Pillow show the colours. BITMAPV4HEADER
  // has.
  const auto bmp = [](int header, bool masks) {
    std::string text = "BM";
    const auto le = [&](uint32_t value, int bytes) {
      for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
    };
    le(static_cast<uint32_t>(14 + header + 16), 4);
    le(0, 4);
    le(static_cast<uint32_t>(14 + header), 4);
    le(static_cast<uint32_t>(header), 4);
    le(2, 4);
    le(2, 4);
    le(1, 2);
    le(32, 2);
    le(masks ? 3 : 0, 4);  // BI_BITFIELDS or BI_RGB
    for (int i = 0; i < 5; ++i) le(0, 4);
    if (masks)
      for (const uint32_t mask : {0xff0000u, 0xff00u, 0xffu, 0xff000000u}) le(mask, 4);
    text.resize(static_cast<size_t>(14 + header), '\0');
    for (int i = 0; i < 4; ++i) text += std::string("\x20\x40\x80\x01", 4);
    return std::vector<uint8_t>(text.begin(), text.end());
  };
  write_bytes(folder / "plain.bmp", bmp(40, false));
  const Media plain = read_frames(folder / "plain.bmp", 2, 2);
  CHECK(std::vector<uint8_t>(plain.pixels.begin(), plain.pixels.begin() + 3) ==
        std::vector<uint8_t>{0x80, 0x40, 0x20});
  CHECK(plain.notices.empty());
  write_bytes(folder / "v4.bmp", bmp(108, true));
  const Media v4 = read_frames(folder / "v4.bmp", 2, 2);
  CHECK(v4.pixels[0] == 255);  // over white
  CHECK(says(v4, "transparent"));
}

TEST_CASE("a sound file that cannot be read is not called damaged") {
  using namespace std::string_literals;
  const TemporaryFolder folder;
  ReadRequest request;
  request.width = request.height = 16;
  request.max_frames = 1;
  // A TIFF whose compression is JPEG's: ffmpeg 5 shows it black.
  const std::string tiff = "MM\0*\0\0\0\10\0\1\1\3\0\3\0\0\0\1\0\7\0\0\0\0\0\0"s;
  const std::string pdf = "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< >>\nendobj\n";
  for (const auto& [name, text] : {std::pair{"a.tiff"s, tiff}, {"a.pdf"s, pdf}}) {
    write_bytes(folder / name, {text.begin(), text.end()});
    const auto media = read_media(folder / name, request);
    CHECK(media.status().code() == Code::kUnsupported);
    CHECK(media.status().message().find(name) != std::string::npos);
    CHECK(media.status().message().find("PNG") != std::string::npos);
  }
}

}  // namespace
}  // namespace zoetrope
