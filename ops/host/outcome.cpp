#include "ops/host/outcome.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <tuple>

#include "csrc/core/error.h"

namespace gradspike::host {
namespace {

/// Compares one trace, and keeps where it differs first.
class FirstDifference {
 public:
  FirstDifference(std::int64_t batch, std::string population, std::int64_t size)
      : batch_(batch), population_(std::move(population)), size_(size) {}

  template <class T>
  void compare(const char* what, const std::vector<T>& a, const std::vector<T>& b, std::int64_t& compared,
               std::int64_t& different) {
    GRADSPIKE_CHECK(a.size() == b.size(), "traces of one network");
    compared += static_cast<std::int64_t>(a.size());
    for (std::size_t k = 0; k < a.size(); ++k) {
      if (std::memcmp(&a[k], &b[k], sizeof(T)) != 0) {
        ++different;
        note(what, static_cast<std::int64_t>(k), static_cast<double>(a[k]), static_cast<double>(b[k]));
      }
    }
  }

  std::int64_t step() const { return step_; }
  const std::string& text() const { return text_; }

 private:
  void note(const char* what, std::int64_t element, double a, double b) {
    const std::int64_t step = element / (batch_ * size_);
    if (!text_.empty() && step >= step_) {
      return;
    }
    step_ = step;
    std::ostringstream text;
    text.precision(9);
    text << what << " of population '" << population_ << "' at step " << step << ", batch " << element / size_ % batch_
         << ", neuron " << element % size_ << ": " << a << " and " << b;
    text_ = text.str();
  }

  std::int64_t batch_;
  std::string population_;
  std::int64_t size_;
  std::int64_t step_ = 0;
  std::string text_;
};

}  // namespace

std::string outcome_json(const chip::Observables& observed, double seconds) {
  nlohmann::json spikes = nlohmann::json::object();
  for (const chip::PopulationRecord& record : observed.populations) {
    if (!record.spikes.empty()) {
      spikes[record.name] = std::accumulate(record.spikes.begin(), record.spikes.end(), std::int64_t{0});
    }
  }
  const chip::RunCounters& c = observed.counters;
  nlohmann::json losses(observed.losses);
  losses["spikes_lost"] = c.spikes_lost;
  losses["events_dropped"] = c.events_dropped;
  const nlohmann::json outcome = {{"format", "gradspike.outcome"},
                                  {"version", 1},
                                  {"target", observed.target},
                                  {"steps", observed.steps},
                                  {"batch", observed.batch},
                                  {"spikes", spikes},
                                  {"losses", losses},
                                  {"timing", observed.timing},
                                  {"constants", observed.constants},
                                  {"not_modelled", observed.not_modelled},
                                  {"seconds", seconds}};
  return outcome.dump(2);
}

Comparison compare(const chip::Observables& a, const chip::Observables& b) {
  GRADSPIKE_REQUIRE(a.populations.size() == b.populations.size() && a.steps == b.steps && a.batch == b.batch,
                    "the targets record ", a.populations.size(), " and ", b.populations.size(), " populations of ",
                    a.steps, " and ", b.steps, " steps, ", a.batch, " and ", b.batch, " batch entries");
  Comparison result;
  std::int64_t first = 0;
  for (std::size_t k = 0; k < a.populations.size(); ++k) {
    const chip::PopulationRecord& one = a.populations[k];
    const chip::PopulationRecord& other = b.populations[k];
    GRADSPIKE_REQUIRE(one.name == other.name && one.size == other.size, "the targets record the populations '",
                      one.name, "' and '", other.name, "' in one place");
    FirstDifference difference(a.batch, one.name, one.size);
    if (one.spikes.size() == other.spikes.size()) {
      difference.compare("spikes", one.spikes, other.spikes, result.spikes, result.different_spikes);
    } else {
      result.unrecorded.push_back("spikes of '" + one.name + "'");
    }
    if (one.membrane.size() == other.membrane.size()) {
      difference.compare("membrane", one.membrane, other.membrane, result.membranes, result.different_membranes);
    } else {
      result.unrecorded.push_back("membranes of '" + one.name + "'");
    }
    if (!difference.text().empty() && (result.first.empty() || difference.step() < first)) {
      std::tie(first, result.first) = std::make_tuple(difference.step(), difference.text());
    }
  }
  return result;
}

std::string Comparison::text(const std::string& a, const std::string& b) const {
  std::ostringstream text;
  text << a << " and " << b << ": ";
  if (equal()) {
    text << "equal, " << spikes << " spike counts and " << membranes << " membranes compared";
  } else if (different_spikes + different_membranes > 0) {
    text << different_spikes << " of " << spikes << " spike counts and " << different_membranes << " of " << membranes
         << " membranes differ, first " << first;
  }
  for (const std::string& trace : unrecorded) {
    text << (&trace == &unrecorded.front() && different_spikes + different_membranes == 0 ? "" : ", ") << trace
         << " not recorded by both";
  }
  return text.str();
}

}  // namespace gradspike::host
