// Complete a scan with a file that keras_wcd.export.to_tflite wrote, by LiteRT's C API and nothing else.
//
// Build against the libLiteRt.so of LiteRT 2.1.6 or later, such as the one in the wheel of ai-edge-litert:
//
//     lib=$(python -c "import ai_edge_litert as m; print(m.__path__[0])")
//     g++ -std=c++17 -O2 -ffp-contract=off complete.cpp -o complete "$lib/libLiteRt.so" -Wl,-rpath,"$lib"
//     ./complete chair.tflite scan.txt completed.ply
//
// -ffp-contract=off keeps the farthest points those of the library where the processor fuses a * b + c, as ARM's do.
// The scan is text, three numbers a line; what follows them on a line, and lines that begin with #, are passed over.
// The answer is binary ply of doubles. A file that is wrong is one line on standard error, and exit code 2.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

// What is used of the C API of LiteRT (headers litert/c/litert_*.h there). Its wheel brings no headers; a program of
// your own had better include them. Every call answers 0 where it succeeds.
extern "C" {
struct RankedTensorType {
  int element_type;  // 1 is float32
  unsigned int rank : 7;
  unsigned int has_strides : 1;
  std::int32_t dimensions[8];
  std::uint32_t strides[8];
};
struct EnvironmentOption {
  int tag;              // 25 is the least severity that is logged
  alignas(8) int type;  // 2 is an integer
  std::int64_t value;   // 4 is silence
};
int LiteRtCreateEnvironment(int count, const EnvironmentOption* options, void** environment);
int LiteRtCreateModelFromBuffer(void* environment, const void* bytes, std::size_t size, void** model);
int LiteRtGetModelMetadata(void* model, const char* key, const void** bytes, std::size_t* size);
int LiteRtGetModelSignature(void* model, std::size_t index, void** signature);
int LiteRtGetNumSignatureInputs(void* signature, std::size_t* count);
int LiteRtGetNumSignatureOutputs(void* signature, std::size_t* count);
int LiteRtGetSignatureInputTensorByIndex(void* signature, std::size_t index, void** tensor);
int LiteRtGetSignatureOutputTensorByIndex(void* signature, std::size_t index, void** tensor);
int LiteRtGetRankedTensorType(void* tensor, RankedTensorType* type);
int LiteRtCreateOptions(void** options);
int LiteRtSetOptionsHardwareAccelerators(void* options, int accelerators);  // 1 is the CPU
int LiteRtCreateCompiledModel(void* environment, void* model, void* options, void** compiled);
int LiteRtGetCompiledModelInputBufferRequirements(void* compiled, std::size_t signature, std::size_t index,
                                                  void** requirements);
int LiteRtGetCompiledModelOutputBufferRequirements(void* compiled, std::size_t signature, std::size_t index,
                                                   void** requirements);
int LiteRtCreateManagedTensorBufferFromRequirements(void* environment, const RankedTensorType* type,
                                                    void* requirements, void** buffer);
int LiteRtLockTensorBuffer(void* buffer, void** memory, int mode);  // 0 reads, 1 writes
int LiteRtUnlockTensorBuffer(void* buffer);
int LiteRtRunCompiledModel(void* compiled, std::size_t signature, std::size_t inputs, void** input, std::size_t outputs,
                           void** output);
void LiteRtDestroyEnvironment(void*);
void LiteRtDestroyModel(void*);
void LiteRtDestroyOptions(void*);
void LiteRtDestroyCompiledModel(void*);
void LiteRtDestroyTensorBuffer(void*);
}
static_assert(sizeof(RankedTensorType) == 72 && sizeof(EnvironmentOption) == 24);

namespace {

using Point = std::array<double, 3>;
using Points = std::vector<Point>;
using Framed = std::vector<std::array<float, 3>>;
using Handle = std::unique_ptr<void, void (*)(void*)>;

constexpr std::size_t kCandidates = 8;  // farthest points are chosen among no more than this many for each

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw std::runtime_error("'" + path + "' " + what);
}

// SHA-256 (FIPS 180-4), in hexadecimal.
std::string sha256(std::string text) {
  // Fractions of the square and cube roots of the primes.
  std::array<std::uint32_t, 64> state{}, k{};
  for (std::uint32_t number = 2, primes = 0; primes < 64; ++number) {
    bool prime = true;
    for (std::uint32_t d = 2; d * d <= number; ++d) prime = prime && number % d != 0;
    if (!prime) continue;
    state[primes] = static_cast<std::uint32_t>(std::fmod(std::sqrt(number), 1) * 4294967296.0);
    k[primes++] = static_cast<std::uint32_t>(std::fmod(std::cbrt(number), 1) * 4294967296.0);
  }
  const std::uint64_t bits = 8 * std::uint64_t{text.size()};
  text += '\x80';
  text.append((120 - text.size() % 64) % 64, '\0');
  for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(bits >> shift);
  const auto turn = [](std::uint32_t x, int by) { return x >> by | x << (32 - by); };
  for (std::size_t start = 0; start < text.size(); start += 64) {
    std::array<std::uint32_t, 64> w{};
    for (std::size_t i = 0; i < 64; ++i) w[i / 4] = w[i / 4] << 8 | static_cast<unsigned char>(text[start + i]);
    for (std::size_t i = 16; i < 64; ++i)
      w[i] = w[i - 16] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
             (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    auto [a, b, c, d, e, f, g, h] = std::array{state[0], state[1], state[2], state[3],
                                               state[4], state[5], state[6], state[7]};
    for (std::size_t i = 0; i < 64; ++i) {
      const auto first = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
      const auto second = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + second;
    }
    const std::array change{a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) state[i] += change[i];
  }
  std::string digits;
  for (int i = 0; i < 64; ++i) digits += "0123456789abcdef"[state[i / 8] >> (28 - i % 8 * 4) & 15];
  return digits;
}

// The bytes of a file of keras-wcd, which its checksum proves: LiteRT follows the offsets of a damaged one anywhere.
std::string read_model(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, "cannot be opened");
  std::string content{std::istreambuf_iterator<char>(file), {}};
  const std::string key = "\"sha256\": \"";
  const auto found = content.find(key);
  const bool whole = found != std::string::npos && content.size() >= found + key.size() + 64;
  if (!whole || content.compare(4, 4, "TFL3") != 0)
    fail(path, "is damaged, or not written by keras_wcd.export.to_tflite: it holds no checksum");
  std::string blank = content;
  blank.replace(found + key.size(), 64, 64, '0');
  if (sha256(blank) != content.substr(found + key.size(), 64)) fail(path, "is damaged: its checksum is another");
  return content;
}

// The network of a file: a cloud of exactly points_in points in, points_out points out.
class Model {
 public:
  explicit Model(const std::string& path) : path_(path), content_(read_model(path)) {
    const EnvironmentOption silent{25, 2, 4};
    void* handle = nullptr;
    check(LiteRtCreateEnvironment(1, &silent, &handle), "cannot be opened: LiteRT does not start");
    environment_.reset(handle);
    check(LiteRtCreateModelFromBuffer(handle, content_.data(), content_.size(), &handle), "is no LiteRT model");
    model_.reset(handle);
    read_record();
    Handle options(nullptr, LiteRtDestroyOptions);
    check(LiteRtCreateOptions(&handle), "does not run here");
    options.reset(handle);
    check(LiteRtSetOptionsHardwareAccelerators(handle, 1), "does not run here");
    check(LiteRtCreateCompiledModel(environment_.get(), model_.get(), handle, &handle), "does not run here");
    compiled_.reset(handle);
    open_buffers();
  }

  std::size_t points_in() const { return points_in_; }
  double seen() const { return seen_; }          // share of the shape's diagonal that a view spans
  double diagonal() const { return diagonal_; }  // of the network's frame

  Framed operator()(const Framed& cloud) {
    copy(input_.get(), 1, [&](void* memory) { std::memcpy(memory, cloud.data(), cloud.size() * sizeof cloud[0]); });
    void *input = input_.get(), *output = output_.get();
    check(LiteRtRunCompiledModel(compiled_.get(), 0, 1, &input, 1, &output), "does not run here");
    Framed answer(points_out_);
    copy(output, 0, [&](void* memory) { std::memcpy(answer.data(), memory, answer.size() * sizeof answer[0]); });
    return answer;
  }

 private:
  void check(int status, const char* what) const {
    if (status != 0) fail(path_, what);
  }

  // The two numbers of the file's record, JSON that keras-wcd wrote, on which the rule for a scan depends.
  void read_record() {
    const void* bytes = nullptr;
    std::size_t size = 0;
    check(LiteRtGetModelMetadata(model_.get(), "keras_wcd", &bytes, &size), "carries no keras-wcd metadata");
    const std::string record(static_cast<const char*>(bytes), size);
    seen_ = number_after(record, "\"normalization\"", "\"seen\":");
    diagonal_ = number_after(record, "\"frame\"", "\"diagonal\":");
  }

  double number_after(const std::string& record, const char* section, const char* key) const {
    const auto start = record.find(section);
    const auto found = start == std::string::npos ? start : record.find(key, start);
    if (found == std::string::npos) fail(path_, "has no metadata for a scan");
    const double number = std::strtod(record.c_str() + found + std::strlen(key), nullptr);
    if (!(number > 0)) fail(path_, "has no metadata for a scan");
    return number;
  }

  void open_buffers() {
    void *signature = nullptr, *tensor = nullptr, *needs = nullptr, *buffer = nullptr;
    const auto create = LiteRtCreateManagedTensorBufferFromRequirements;
    std::size_t inputs = 0, outputs = 0;
    check(LiteRtGetModelSignature(model_.get(), 0, &signature), "holds no graph");
    check(LiteRtGetNumSignatureInputs(signature, &inputs), "holds no graph");
    check(LiteRtGetNumSignatureOutputs(signature, &outputs), "holds no graph");
    if (inputs != 1 || outputs != 1) fail(path_, "must take one cloud and answer with one");
    RankedTensorType type{};
    check(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor), "has no input");
    points_in_ = cloud_size(tensor, type);
    check(LiteRtGetCompiledModelInputBufferRequirements(compiled_.get(), 0, 0, &needs), "does not run here");
    check(create(environment_.get(), &type, needs, &buffer), "needs more memory");
    input_.reset(buffer);
    check(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor), "has no output");
    points_out_ = cloud_size(tensor, type);
    check(LiteRtGetCompiledModelOutputBufferRequirements(compiled_.get(), 0, 0, &needs), "does not run here");
    check(create(environment_.get(), &type, needs, &buffer), "needs more memory");
    output_.reset(buffer);
  }

  // N of a tensor float32 (1, N, 3), whose type is written to `type`.
  std::size_t cloud_size(void* tensor, RankedTensorType& type) const {
    check(LiteRtGetRankedTensorType(tensor, &type), "has no fixed shapes");
    const bool cloud = type.element_type == 1 && type.rank == 3 && type.dimensions[0] == 1 && type.dimensions[2] == 3;
    if (!cloud || type.dimensions[1] < 1) fail(path_, "must take and answer clouds (1, N, 3) of float32");
    return static_cast<std::size_t>(type.dimensions[1]);
  }

  template <typename Copy>
  void copy(void* buffer, int mode, Copy with) const {
    void* memory = nullptr;
    check(LiteRtLockTensorBuffer(buffer, &memory, mode), "does not run here");
    with(memory);
    check(LiteRtUnlockTensorBuffer(buffer), "does not run here");
  }

  std::string path_, content_;
  // Destroyed in reverse: the environment last, then the bytes that the model reads.
  Handle environment_{nullptr, LiteRtDestroyEnvironment}, model_{nullptr, LiteRtDestroyModel};
  Handle compiled_{nullptr, LiteRtDestroyCompiledModel};
  Handle input_{nullptr, LiteRtDestroyTensorBuffer}, output_{nullptr, LiteRtDestroyTensorBuffer};
  std::size_t points_in_ = 0, points_out_ = 0;
  double seen_ = 0, diagonal_ = 0;
};

// `count` points evenly spaced by index: floor(i N / count).
template <typename Cloud>
Cloud spread(const Cloud& points, std::size_t count) {
  Cloud chosen(count);
  for (std::size_t i = 0; i < count; ++i) chosen[i] = points[i * points.size() / count];
  return chosen;
}

// `count` points, each the farthest from those before it; the first is 0, ties go to the lowest index.
Framed farthest_points(const Framed& points, std::size_t count) {
  std::vector<float> distance(points.size(), std::numeric_limits<float>::infinity());
  Framed chosen{points[0]};
  while (chosen.size() < count) {
    const auto last = chosen.back();
    std::size_t farthest = 0;
    float most = -1;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const float x = points[i][0] - last[0], y = points[i][1] - last[1], z = points[i][2] - last[2];
      distance[i] = std::min(distance[i], x * x + y * y + z * z);
      if (distance[i] > most) most = distance[i], farthest = i;
    }
    chosen.push_back(points[farthest]);
  }
  return chosen;
}

// The rule for a scan of docs/export.md: into the network's frame, as many points as it takes, and back.
Points complete(Model& model, const Points& scan) {
  Point low = scan[0], high = scan[0], center;
  for (const Point& point : scan)
    for (int k = 0; k < 3; ++k) low[k] = std::min(low[k], point[k]), high[k] = std::max(high[k], point[k]);
  for (int k = 0; k < 3; ++k) center[k] = (low[k] + high[k]) / 2;
  const double x = high[0] - low[0], y = high[1] - low[1], z = high[2] - low[2];
  double scale = std::sqrt(x * x + y * y + z * z) / model.seen() / model.diagonal();
  if (!std::isfinite(scale)) throw std::runtime_error("the scan is too large for double precision");
  if (scale == 0) scale = 1;  // a single point has no size

  const std::size_t count = model.points_in();
  const Points thinned = scan.size() > kCandidates * count ? spread(scan, kCandidates * count) : scan;
  Framed framed(thinned.size());
  for (std::size_t i = 0; i < thinned.size(); ++i)
    for (int k = 0; k < 3; ++k) framed[i][k] = static_cast<float>((thinned[i][k] - center[k]) / scale);
  const Framed answer = model(framed.size() > count ? farthest_points(framed, count) : spread(framed, count));

  Points completed(answer.size());
  for (std::size_t i = 0; i < answer.size(); ++i)
    for (int k = 0; k < 3; ++k) {
      if (!std::isfinite(answer[i][k])) throw std::runtime_error("the network's answer is not finite");
      completed[i][k] = answer[i][k] * scale + center[k];
    }
  return completed;
}

// The points of a text file whose coordinates are finite.
Points read_points(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail(path, "cannot be opened");
  Points points;
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    const auto first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    Point point;
    const char* rest = line.c_str();
    for (double& coordinate : point) {
      char* end = nullptr;
      coordinate = std::strtod(rest, &end);
      if (end == rest) fail(path, "must hold three numbers a line; line " + std::to_string(number) + " does not");
      rest = end;
    }
    if (std::all_of(point.begin(), point.end(), [](double c) { return std::isfinite(c); })) points.push_back(point);
  }
  if (points.empty()) fail(path, "holds no finite point");
  return points;
}

// Binary ply of doubles, which appears under its name when it is whole.
void write_ply(const std::string& path, const Points& points) {
  const std::string partial = path + ".partial";
  std::ofstream file(partial, std::ios::binary);
  file << "ply\nformat binary_little_endian 1.0\nelement vertex " << points.size()
       << "\nproperty double x\nproperty double y\nproperty double z\nend_header\n";
  const auto size = static_cast<std::streamsize>(points.size() * sizeof points[0]);
  file.write(reinterpret_cast<const char*>(points.data()), size);
  file.close();
  if (!file || std::rename(partial.c_str(), path.c_str()) != 0) {
    std::remove(partial.c_str());
    fail(path, "cannot be written");
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr << "usage: complete model.tflite scan.txt completed.ply\n";
    return 2;
  }
  try {
    const Points scan = read_points(arguments[2]);
    Model model(arguments[1]);
    write_ply(arguments[3], complete(model, scan));
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 2;
  }
  return 0;
}
