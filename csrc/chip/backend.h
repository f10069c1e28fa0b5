// What runs a mapped network: the chip, an emulator, a lab's own server.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "csrc/chip/mapping.h"
#include "csrc/chip/network.h"
#include "csrc/core/execution.h"

namespace gradspike::chip {

/// Spike counts of one input, [time, batch, neuron], contiguous and owned by the caller: whole numbers in 0..127.
struct SpikeTensor {
  enum class Type { kUint8, kFloat32 };
  Type type = Type::kFloat32;
  const void* data = nullptr;
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  std::int64_t size = 0;
};

constexpr std::int64_t kMaxSpikeCount = 127;
constexpr std::int32_t kMaxCadcReading = 255;   // 8 bit
constexpr std::int32_t kMaxMadcReading = 1023;  // 10 bit

/// State of one population, [state, batch, neuron], rows as in math::LifStateRow: 3 for LIF, 2 for LI.
using StateTensor = std::vector<float>;

struct CompileOptions {
  std::string preset = "ideal";
  std::uint64_t seed = 0;                   // of the chip: what stays the same from run to run
  std::map<std::string, double> constants;  // backend-specific, by name
  std::string calibration;                  // backend-specific

  bool operator==(const CompileOptions& other) const {
    return preset == other.preset && seed == other.seed && constants == other.constants &&
           calibration == other.calibration;
  }
};

/// A neuron whose membrane is recorded at the rate of the MADC.
struct MadcRequest {
  std::string population;  // "": none
  std::int64_t neuron = 0;
};

struct RunOptions {
  const CpuExec* exec = nullptr;             // null: serial
  std::vector<std::string> record_membrane;  // populations; "*": all
  std::vector<std::string> record_current;
  /// By population name; those that are not given start at leak, without current, not refractory.
  std::map<std::string, StateTensor> initial_states;
  MadcRequest madc;
  std::uint64_t seed = 0;         // of this run: what differs from trial to trial
  double inter_batch_wait = 0.0;  // [s] between two batch entries, beside the time that a reset takes
};

/// Recording of one population; what was not asked for is empty.
struct PopulationRecord {
  std::string name;
  std::int64_t size = 0;
  std::vector<std::uint8_t> spikes;  // [time, batch, neuron]; empty for leaky integrators
  std::vector<float> membrane;       // [time, batch, neuron], after the reset
  std::vector<float> current;        // [time, batch, neuron]
  std::vector<std::int16_t> cadc;    // [sample, batch, neuron], 8 bit: what a membrane trace was made of
  StateTensor final_state;
};

/// Samples of one membrane at a high rate.
struct MadcRecord {
  std::string population;  // "": none
  std::int64_t neuron = 0;
  std::vector<double> times;          // [s] after the start of a batch entry
  std::vector<std::int16_t> samples;  // [sample, batch], 10 bit
};

struct SpikeEvent {
  std::int64_t step = 0;
  std::int64_t batch = 0;
  std::int64_t neuron = 0;
};

/// Nothing is lost without being counted.
struct RunCounters {
  std::int64_t events_sent = 0;        // into the chip, over all buses
  std::int64_t spikes_on_chip = 0;     // of all populations
  std::int64_t synapse_events = 0;     // synapses that responded with a weight other than 0
  std::int64_t events_dropped = 0;     // asked for and not delivered
  std::int64_t spikes_lost = 0;        // fired and not recorded
  std::int64_t background_spikes = 0;  // of sources, made by the chip's generators in the place of those given
};

struct Observables {
  std::string target;  // "emulator ideal", ...
  std::int64_t steps = 0;
  std::int64_t batch = 0;
  std::vector<PopulationRecord> populations;  // in the order of the network
  RunCounters counters;
  std::map<std::string, std::int64_t> losses;  // further ones by kind, such as "cadc_samples_clipped"
  std::vector<double> cadc_times;              // [s] after the start of a batch entry, by sample
  MadcRecord madc;
  std::map<std::string, double> timing;     // [s], such as "chip"
  std::map<std::string, double> constants;  // that the backend ran with
  std::vector<std::string> not_modelled;    // what an emulator leaves out, one phrase each

  /// Throws with the nearest names where there is none.
  const PopulationRecord& population(const std::string& name) const;
  /// Spikes of a population in order of batch entry, step, neuron.
  std::vector<SpikeEvent> events(const std::string& name) const;
  /// Spikes as float, [time, batch, neuron].
  std::vector<float> spikes_as_float(const std::string& name) const;
};

/// A network that is ready to run. Immutable; may be run from several threads at once.
class Program {
 public:
  Program() = default;
  Program& operator=(const Program&) = delete;
  virtual ~Program() = default;
  /// What results will carry as their target.
  virtual std::string target() const = 0;

 protected:
  Program(const Program&) = default;
};

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  virtual std::string name() const = 0;
  /// Throws where the mapping or the weights do not belong to the network, or an option is unknown.
  virtual std::shared_ptr<const Program> compile(const Network& network, const Mapping& mapping, const Weights& weights,
                                                 const CompileOptions& options) const = 0;
  /// The same program with other weights, the upload of a training step; null where that needs compile().
  virtual std::shared_ptr<const Program> update(const Program& /*program*/, const Weights& /*weights*/) const {
    return nullptr;
  }
  /// What the backend says of its state, by name, such as {"status": "ready"}. Throws where it is not there.
  virtual std::map<std::string, std::string> health() const { return {{"status", "ready"}}; }
  /// `inputs` in the order of Network::inputs. Throws for inputs that are no counts, naming the element.
  virtual Observables run(const Program& program, const std::vector<SpikeTensor>& inputs,
                          const RunOptions& options) const = 0;
};

/// Adds a backend; a name that is taken is replaced. "emulator" is built in.
void register_backend(std::shared_ptr<const Backend> backend);
/// Under another name than its own.
void register_backend(const std::string& name, std::shared_ptr<const Backend> backend);
/// Forgets a backend, by name or text; it ends with the last network that it runs. Throws where there is none.
void unregister_backend(const std::string& name);
/// Registered names; not the texts that find_backend has attached.
std::vector<std::string> backend_names();
/// The backend of this name; an empty name means the environment variable GRADSPIKE_BACKEND, and "emulator" where that
/// is not set. "process:COMMAND" and "library:LIBRARY" attach a program or a shared library (csrc/chip/attach.h), one
/// for each text. Throws, with the list of those there are, for a name that is unknown: never another backend instead.
std::shared_ptr<const Backend> find_backend(const std::string& name = "");

}  // namespace gradspike::chip
