// A backend in a shared library: the built-in emulator under another name. One for a chip puts its own calls into
// compile() and run().
//
//   g++ -std=c++17 -shared -fPIC library_backend.cpp -o libgradspike_backend_example.so -lgradspike_core
//   GRADSPIKE_BACKEND=library:./libgradspike_backend_example.so gradspike run net.pt ...
#include <string>
#include <utility>

#include "csrc/chip/backend_library.h"
#include "csrc/chip/emulator.h"

namespace {

using namespace gradspike::chip;

class LibraryBackend final : public Backend {
 public:
  explicit LibraryBackend(std::string name) : name_(std::move(name)) {}

  std::string name() const override { return name_; }
  std::shared_ptr<const Program> compile(const Network& network, const Mapping& mapping, const Weights& weights,
                                         const CompileOptions& options) const override {
    return emulator_.compile(network, mapping, weights, options);
  }
  Observables run(const Program& program, const std::vector<SpikeTensor>& inputs,
                  const RunOptions& options) const override {
    Observables observed = emulator_.run(program, inputs, options);
    observed.target = name_ + " " + observed.target;
    return observed;
  }

 private:
  std::string name_;
  Emulator emulator_;
};

}  // namespace

GRADSPIKE_BACKEND_LIBRARY([](const char* name) -> gradspike::chip::Backend* { return new LibraryBackend(name); })
