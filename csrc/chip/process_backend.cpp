#include "csrc/chip/process_backend.h"

#include <atomic>
#include <cmath>

#include "csrc/chip/process_channel.h"
#include "csrc/chip/run_checks.h"

namespace gradspike::chip {
namespace {

constexpr double kShortestTimeout = 1e-3;
constexpr double kLongestTimeout = 1e6;

/// A network as the program holds it. What it takes to send it again after a restart stays here.
class ProcessProgram final : public Program {
 public:
  ProcessProgram(std::shared_ptr<ProcessChannel> channel, Network network, CompiledNetwork compiled)
      : channel_(std::move(channel)), network_(std::move(network)), compiled_(std::move(compiled)) {}
  ~ProcessProgram() override { channel_->forget(compiled_.id); }

  std::string target() const override { return channel_->options().name + " " + target_; }
  void set_target(std::string target) { target_ = std::move(target); }
  const std::string& target_of_program() const { return target_; }
  const std::shared_ptr<ProcessChannel>& channel() const { return channel_; }
  const Network& network() const { return network_; }
  const CompiledNetwork& compiled() const { return compiled_; }

 private:
  std::shared_ptr<ProcessChannel> channel_;
  Network network_;
  CompiledNetwork compiled_;
  std::string target_;
};

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

const ProcessProgram& program_of(const ProcessChannel& channel, const Program& program) {
  const auto* compiled = dynamic_cast<const ProcessProgram*>(&program);
  GRADSPIKE_REQUIRE(compiled != nullptr && compiled->channel().get() == &channel, "backend \"", channel.options().name,
                    "\": the program was compiled by another backend (", program.target(), ")");
  return *compiled;
}

std::vector<Blob> integer_blobs(const Network& network, const Weights& weights) {
  std::vector<Blob> blobs;
  for (const Projection& p : network.projections) {
    std::string record = to_record(p, weights.at(p.name));
    const auto size = static_cast<std::int64_t>(record.size());
    blobs.push_back({{"integers/" + p.name, BlobType::kUint8, {size}}, std::move(record)});
  }
  return blobs;
}

Json write(const std::string& backend, const CompileOptions& options) {
  for (const auto& [name, value] : options.constants) {
    GRADSPIKE_REQUIRE(std::isfinite(value), "backend \"", backend, "\": constant \"", name,
                      "\" must be a finite number, got ", value);
  }
  return {{"preset", options.preset},
          {"seed", options.seed},
          {"constants", options.constants},
          {"calibration", options.calibration}};
}

/// Events step, batch entry, neuron, count in order of batch entry, step, neuron.
Blob input_blob(const Input& input, const SpikeTensor& tensor) {
  std::vector<std::int32_t> events;
  for (std::int64_t b = 0; b < tensor.batch; ++b) {
    for (std::int64_t t = 0; t < tensor.steps; ++t) {
      for (std::int64_t n = 0; n < tensor.size; ++n) {
        const std::int64_t count = spike_count(tensor, (t * tensor.batch + b) * tensor.size + n);
        if (count != 0) {
          for (const std::int64_t value : {t, b, n, count}) {
            events.push_back(static_cast<std::int32_t>(value));
          }
        }
      }
    }
  }
  const auto rows = static_cast<std::int64_t>(events.size() / 4);
  return to_blob("input/" + input.name, BlobType::kInt32, {rows, 4}, events);
}

std::vector<std::string> names_of(const Network& network, const std::vector<bool>& chosen) {
  std::vector<std::string> names;
  for (std::size_t p = 0; p < chosen.size(); ++p) {
    if (chosen[p]) {
      names.push_back(network.populations[p].name);
    }
  }
  return names;
}

/// For each population whether it is wanted; throws for a name that is none.
std::vector<bool> selected(const std::string& backend, const Network& network, const std::vector<std::string>& wanted) {
  const std::vector<std::string> names = names_of(network, std::vector<bool>(network.populations.size(), true));
  for (const std::string& name : wanted) {
    if (name != "*") {
      require_population(names, name, backend);
    }
  }
  std::vector<bool> result;
  for (const std::string& name : names) {
    result.push_back(is_recorded(wanted, name));
  }
  return result;
}

void check_network_inputs(const std::string& backend, const Network& network, const std::vector<SpikeTensor>& inputs) {
  std::vector<std::string> names;
  std::vector<std::int64_t> sizes;
  for (const Input& input : network.inputs) {
    names.push_back(input.name);
    sizes.push_back(input.size);
  }
  check_inputs(names, sizes, inputs, backend);
}

void check_states(const std::string& backend, const Network& network, const RunOptions& options, std::int64_t batch) {
  for (const auto& [name, state] : options.initial_states) {
    selected(backend, network, {name});
    const auto p = static_cast<std::size_t>(network.population(name));
    const std::int64_t rows = num_states(network, p);
    const std::int64_t size = network.populations[p].size;
    GRADSPIKE_REQUIRE(static_cast<std::int64_t>(state.size()) == rows * batch * size, backend,
                      ": the initial state of population \"", name, "\" must be [", rows, ", ", batch, ", ", size,
                      "], got ", state.size(), " numbers");
  }
}

RunRequest checked_request(const std::string& backend, const Network& network, const std::vector<SpikeTensor>& inputs,
                           const RunOptions& options) {
  check_network_inputs(backend, network, inputs);
  RunRequest request;
  request.network = &network;
  request.steps = inputs.empty() ? 0 : inputs[0].steps;
  request.batch = inputs.empty() ? 0 : inputs[0].batch;
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  GRADSPIKE_REQUIRE(request.steps <= kMost && request.batch <= kMost, backend, ": steps and batch must be at most ",
                    kMost, ", got ", request.steps, " and ", request.batch);
  request.membrane = selected(backend, network, options.record_membrane);
  request.current = selected(backend, network, options.record_current);
  check_states(backend, network, options, request.batch);
  GRADSPIKE_REQUIRE(std::isfinite(options.inter_batch_wait) && options.inter_batch_wait >= 0.0, backend,
                    ": inter_batch_wait must be at least 0 s, got ", options.inter_batch_wait);
  request.madc = options.madc;
  if (!options.madc.population.empty()) {
    const std::int32_t index = network.population(options.madc.population);
    const std::int64_t size = network.populations[static_cast<std::size_t>(index)].size;
    GRADSPIKE_REQUIRE(options.madc.neuron >= 0 && options.madc.neuron < size, backend, ": madc neuron must be in 0..",
                      size - 1, ", got ", options.madc.neuron);
  }
  return request;
}

std::string run_message(const ProcessProgram& program, const RunRequest& request,
                        const std::vector<SpikeTensor>& inputs, const RunOptions& options) {
  const Network& network = program.network();
  std::vector<Blob> blobs;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    blobs.push_back(input_blob(network.inputs[i], inputs[i]));
  }
  for (const auto& [name, state] : options.initial_states) {
    const std::int64_t size = network.populations[static_cast<std::size_t>(network.population(name))].size;
    const std::int64_t rows = num_states(network, static_cast<std::size_t>(network.population(name)));
    blobs.push_back(to_blob("state/" + name, BlobType::kFloat32, {rows, request.batch, size}, state));
  }
  Json madc = nullptr;
  if (!request.madc.population.empty()) {
    madc = {{"population", request.madc.population}, {"neuron", request.madc.neuron}};
  }
  return to_bytes("run",
                  {{"program", program.compiled().id},
                   {"steps", request.steps},
                   {"batch", request.batch},
                   {"dt", network.dt},
                   {"record_membrane", names_of(network, request.membrane)},
                   {"record_current", names_of(network, request.current)},
                   {"madc", std::move(madc)},
                   {"seed", options.seed},
                   {"inter_batch_wait", options.inter_batch_wait}},
                  blobs);
}

}  // namespace

ProcessBackend::ProcessBackend(std::string name, std::vector<std::string> command, double timeout) {
  GRADSPIKE_REQUIRE(!command.empty(), "backend \"", name, "\": command must name a program");
  GRADSPIKE_REQUIRE(timeout >= kShortestTimeout && timeout <= kLongestTimeout, "backend \"", name,
                    "\": timeout must be in ", kShortestTimeout, "..", kLongestTimeout, " s, got ", timeout);
  try {
    find_program(command[0]);
  } catch (const Error& error) {
    throw BackendError("backend \"" + name + "\" cannot be started: " + error.what());
  }
  channel_ = std::make_shared<ProcessChannel>(ProcessOptions{std::move(name), std::move(command), timeout});
}

ProcessBackend::~ProcessBackend() = default;

std::string ProcessBackend::name() const { return channel_->options().name; }

std::shared_ptr<const Program> ProcessBackend::compile(const Network& network, const Mapping& mapping,
                                                       const Weights& weights, const CompileOptions& options) const {
  validate(network, weights);
  validate(mapping, network);
  const Json description = {{"network", parse_json(to_json(network), "network description")},
                            {"mapping", parse_json(to_json(mapping), "mapping")},
                            {"options", write(name(), options)}};
  const auto program = std::make_shared<ProcessProgram>(
      channel_, network, CompiledNetwork{next_id(), description, integer_blobs(network, weights)});
  program->set_target(
      channel_->with_session([&](ProcessSession& session) { return session.load(program->compiled()); }));
  return program;
}

std::shared_ptr<const Program> ProcessBackend::update(const Program& program, const Weights& weights) const {
  const ProcessProgram& previous = program_of(*channel_, program);
  const Network& network = previous.network();
  validate(network, weights);
  const auto updated = std::make_shared<ProcessProgram>(
      channel_, network, CompiledNetwork{next_id(), previous.compiled().description, integer_blobs(network, weights)});
  updated->set_target(channel_->with_session([&](ProcessSession& session) {
    return session.update(updated->compiled(), previous.compiled().id) ? previous.target_of_program()
                                                                       : session.load(updated->compiled());
  }));
  return updated;
}

std::map<std::string, std::string> ProcessBackend::health() const {
  return channel_->with_session([](ProcessSession& session) { return session.health(); });
}

Observables ProcessBackend::run(const Program& program, const std::vector<SpikeTensor>& inputs,
                                const RunOptions& options) const {
  const ProcessProgram& compiled = program_of(*channel_, program);
  const RunRequest request = checked_request(name(), compiled.network(), inputs, options);
  const std::string message = run_message(compiled, request, inputs, options);
  RunAnswer answer(request);
  channel_->with_session([&](ProcessSession& session) {
    session.load(compiled.compiled());
    session.run(message, answer, compiled.target_of_program());
  });
  return answer.observables(name(), compiled.target_of_program());
}

}  // namespace gradspike::chip
