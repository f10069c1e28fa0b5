// The answers of a program to one run: checked as what a stranger says, then put together. Private to the process
// backend.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"
#include "csrc/chip/messages.h"
#include "csrc/chip/network.h"

namespace gradspike::chip {

/// What was asked for. `network` outlives it.
struct RunRequest {
  const Network* network = nullptr;
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  std::vector<bool> membrane;  // by population
  std::vector<bool> current;
  MadcRequest madc;
};

/// Takes "part" messages and the "result", each with whole batch entries. Throws an Error that says what is wrong with
/// a message; what was added before stays.
class RunAnswer {
 public:
  explicit RunAnswer(RunRequest request)
      : request_(std::move(request)), seen_(static_cast<std::size_t>(request_.batch), false) {}

  /// Fields, and name, type and shape of each blob: to be called before the blobs are read.
  void check(const MessageHead& head) const;
  /// Values of a message that was checked.
  void add(const MessageHead& head, const std::vector<Blob>& blobs);

  std::int64_t batch() const { return request_.batch; }
  /// Batch entries that are there, ascending.
  std::vector<std::int64_t> entries() const;
  /// The recording of these entries. Its target is `backend` with what the result says, or `target` before there is
  /// one.
  Observables observables(const std::string& backend, const std::string& target) const;

 private:
  struct PopulationPart {
    std::vector<std::int32_t> spikes;  // step, batch, neuron
    std::vector<float> membrane;
    std::vector<float> current;
    std::vector<float> state;
    std::vector<std::int16_t> cadc;
  };
  struct Part {
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::vector<PopulationPart> populations;
    std::vector<std::int16_t> madc;
    std::set<std::string> given;  // names of its blobs
    std::vector<double> cadc_times;
    std::vector<double> madc_times;
  };
  /// A blob that a message may have. An extent of -1 is any up to `longest`.
  struct Expected {
    BlobType type;
    std::vector<std::int64_t> shape;
    std::int64_t longest;
    bool required;
  };

  Part range_of(const MessageHead& head) const;
  std::map<std::string, Expected> expected(const MessageHead& head, const Part& part) const;
  void check_shape(const BlobHead& blob, const std::map<std::string, Expected>& expected) const;
  void read_blob(const Blob& blob, Part& part) const;
  void read_spikes(const Blob& blob, std::int64_t size, const Part& part, std::vector<std::int32_t>& events) const;
  void require_same_kind(const Part& part) const;
  void add_counts(const Json& json, const char* field, std::map<std::string, std::int64_t>& totals,
                  const std::vector<std::string>& known) const;
  void read_result(const MessageHead& head, Observables& result) const;
  void fill_spikes(Observables& result, const std::vector<std::int64_t>& place) const;
  void fill_traces(Observables& result, const std::vector<std::int64_t>& place) const;

  RunRequest request_;
  std::vector<bool> seen_;  // by batch entry
  std::vector<Part> parts_;
  std::map<std::string, std::int64_t> counters_;
  std::map<std::string, std::int64_t> losses_;
  Observables said_;  // what the result says beside the recording
};

}  // namespace gradspike::chip
