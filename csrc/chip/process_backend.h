// Any program as a backend: it is started once, and answers requests on its standard input with messages on its
// standard output. The format of both is docs/backend-protocol.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/chip/backend.h"

namespace gradspike::chip {

/// Longest wait for one whole message [s]: loading a chip stack and a calibration takes about a minute.
constexpr double kDefaultBackendTimeout = 120.0;

class ProcessChannel;

/// Thread-safe; calls from several threads run one after the other. After a fork the child starts a program of its own.
/// What goes wrong is thrown as BackendError (csrc/chip/backend_error.h); the program is then started anew at the next
/// call and gets its networks again, so that a network that was compiled before runs on.
class ProcessBackend final : public Backend {
 public:
  /// `command`: program and arguments; the program is looked up now and started at the first call. `timeout`: longest
  /// wait for one whole message, in 0.001..1e6 s.
  ProcessBackend(std::string name, std::vector<std::string> command, double timeout = kDefaultBackendTimeout);
  ~ProcessBackend() override;

  std::string name() const override;
  std::shared_ptr<const Program> compile(const Network& network, const Mapping& mapping, const Weights& weights,
                                         const CompileOptions& options) const override;
  std::shared_ptr<const Program> update(const Program& program, const Weights& weights) const override;
  std::map<std::string, std::string> health() const override;
  Observables run(const Program& program, const std::vector<SpikeTensor>& inputs,
                  const RunOptions& options) const override;

 private:
  std::shared_ptr<ProcessChannel> channel_;
};

}  // namespace gradspike::chip
