#include "csrc/chip/process_session.h"

#include <memory>
#include <sstream>

namespace gradspike::chip {
namespace {

constexpr std::size_t kMaxText = 500;
constexpr std::size_t kMaxProgress = 1000000;  // messages: a program that says nothing else must end some time
constexpr std::chrono::milliseconds kGoodbye{200};
constexpr std::chrono::milliseconds kGraceOfTheEnded{1000};

std::string in_quotes(const std::string& text) { return "\"" + text + "\""; }

ChildProcess start(const ProcessOptions& options) {
  try {
    return ChildProcess(options.command);
  } catch (const Error& error) {
    throw BackendError("backend " + in_quotes(options.name) + " cannot be started: " + error.what());
  }
}

}  // namespace

/// The program understood and declined: nothing is out of step.
struct ProcessSession::Refusal {
  std::string reason;
};

ProcessSession::ProcessSession(const ProcessOptions& options) : options_(options), child_(start(options)) { hello(); }

ProcessSession::~ProcessSession() {
  if (!broken_ && child_.belongs_to_this_process() && child_.running()) {
    try {
      child_.write(to_bytes("goodbye", Json::object(), {}), std::chrono::steady_clock::now() + kGoodbye);
    } catch (const Error&) {
      broken_ = true;  // the program is ended anyway
    }
  }
}

bool ProcessSession::usable() { return !broken_ && child_.running(); }

Deadline ProcessSession::deadline() const {
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<Deadline::duration>(std::chrono::duration<double>(options_.timeout));
}

void ProcessSession::hello() {
  guarded("hello", nullptr, "", [this] {
    const MessageHead head = exchange("hello", to_bytes("hello", {{"client", "gradspike"}}, {}), "hello");
    require_fields(head, {"name"}, {"updates"});
    const JsonReader reader(head.json, "the answer");
    reader.at("name").text();
    takes_updates_ = reader.has("updates") && reader.at("updates").boolean();
  });
}

MessageHead ProcessSession::receive() {
  for (std::size_t count = 0; count < kMaxProgress; ++count) {
    const Deadline until = deadline();
    const std::string line = child_.read_line(kMaxHeadBytes, until);
    MessageHead head = message_head(line);
    if (head.kind == "error") {
      require_fields(head, {"error"}, {});
      GRADSPIKE_REQUIRE(head.blobs.empty(), "the answer \"error\" has no blobs");
      throw Refusal{one_line(JsonReader(head.json, "the answer").at("error").text(), kMaxText)};
    }
    if (head.kind != "progress") {
      return head;
    }
    require_fields(head, {"text"}, {});
    GRADSPIKE_REQUIRE(head.blobs.empty(), "the answer \"progress\" has no blobs");
    progress_ = one_line(JsonReader(head.json, "the answer").at("text").text(), kMaxText);
  }
  GRADSPIKE_FAIL("more than ", kMaxProgress, " messages of progress");
}

std::vector<Blob> ProcessSession::receive_blobs(const MessageHead& head) {
  const Deadline until = deadline();
  std::vector<Blob> blobs;
  for (const BlobHead& blob : head.blobs) {
    blobs.push_back({blob, child_.read(blob.bytes(), until)});
  }
  return blobs;
}

MessageHead ProcessSession::exchange(const std::string& kind, const std::string& request, const std::string& expected) {
  progress_.clear();
  child_.write(request, deadline());
  MessageHead head = receive();
  GRADSPIKE_REQUIRE(head.kind == expected, kind, " is answered by \"", expected, "\", got \"", head.kind, "\"");
  GRADSPIKE_REQUIRE(head.blobs.empty(), "the answer \"", head.kind, "\" has no blobs");
  return head;
}

std::map<std::string, std::string> ProcessSession::health() {
  std::map<std::string, std::string> result;
  guarded("health", nullptr, "", [&] {
    const MessageHead head = exchange("health", to_bytes("health", Json::object(), {}), "health");
    require_fields(head, {"health"}, {});
    const JsonReader health = JsonReader(head.json, "the answer").at("health");
    GRADSPIKE_REQUIRE(health.json().is_object(), health.path(), " must be an object of texts");
    for (const auto& item : health.json().items()) {
      const JsonReader text(item.value(), health.path() + "." + item.key());
      result[one_line(item.key(), kMaxText)] = one_line(text.text(), kMaxText);
    }
  });
  return result;
}

std::string ProcessSession::load(const CompiledNetwork& network) {
  const auto known = loaded_.find(network.id);
  if (known != loaded_.end()) {
    return known->second;
  }
  guarded("compile", nullptr, "", [&] {
    Json fields = network.description;
    fields["program"] = network.id;
    const MessageHead head = exchange("compile", to_bytes("compile", std::move(fields), network.integers), "compiled");
    require_fields(head, {"target"}, {});
    const std::string target = one_line(JsonReader(head.json, "the answer").at("target").text(), kMaxText);
    GRADSPIKE_REQUIRE(!target.empty(), "the answer must name its target, got an empty text");
    loaded_[network.id] = target;
  });
  return loaded_.at(network.id);
}

bool ProcessSession::update(const CompiledNetwork& network, std::uint64_t previous) {
  const auto known = loaded_.find(previous);
  if (!takes_updates_ || known == loaded_.end()) {
    return false;
  }
  guarded("update", nullptr, "", [&] {
    const Json fields = {{"program", network.id}, {"previous", previous}};
    require_fields(exchange("update", to_bytes("update", fields, network.integers), "updated"), {}, {});
    loaded_[network.id] = known->second;
  });
  return true;
}

void ProcessSession::forget(const std::vector<std::uint64_t>& networks) {
  guarded("forget", nullptr, "", [&] {
    for (const std::uint64_t id : networks) {
      if (loaded_.erase(id) != 0) {
        child_.write(to_bytes("forget", {{"program", id}}, {}), deadline());
      }
    }
  });
}

void ProcessSession::run(const std::string& request, RunAnswer& answer, const std::string& target) {
  guarded("run", &answer, target, [&] {
    progress_.clear();
    child_.write(request, deadline());
    std::string kind;
    while (kind != "result") {
      const MessageHead head = receive();
      answer.check(head);
      answer.add(head, receive_blobs(head));
      kind = head.kind;
    }
  });
  if (static_cast<std::int64_t>(answer.entries().size()) < answer.batch()) {
    fail("answered the run partly", &answer, target);
  }
}

void ProcessSession::guarded(const std::string& kind, const RunAnswer* answer, const std::string& target,
                             const std::function<void()>& action) {
  std::string what;
  try {
    action();
    return;
  } catch (const Refusal& refusal) {
    what = "refuses " + in_quotes(kind) + ": " + refusal.reason;
  } catch (const ChildFailure& failure) {
    broken_ = true;
    if (failure.kind() == ChildFailure::Kind::kTimeout) {
      std::ostringstream seconds;
      seconds << options_.timeout;
      what = std::string(failure.what()) + " within " + seconds.str() + " s at " + in_quotes(kind);
      what += progress_.empty() ? "" : ", its last progress was " + in_quotes(progress_);
      child_.end(std::chrono::milliseconds(0));
    } else if (failure.kind() == ChildFailure::Kind::kEnded) {
      what = child_.end(kGraceOfTheEnded) + " before it had answered " + in_quotes(kind);
    } else {
      what = "answered " + in_quotes(kind) + " with a line of more than " + std::to_string(kMaxHeadBytes) + " bytes";
    }
  } catch (const Error& error) {
    broken_ = true;
    what = "answered " + in_quotes(kind) + " with nonsense: " + one_line(error.what(), kMaxText);
  }
  if (broken_) {
    child_.end(std::chrono::milliseconds(0));
  }
  fail(what, answer, target);
}

void ProcessSession::fail(const std::string& what, const RunAnswer* answer, const std::string& target) {
  std::string text = "backend " + in_quotes(options_.name) + " " + what;
  std::shared_ptr<const Observables> partial;
  std::vector<std::int64_t> entries;
  if (answer != nullptr) {
    entries = answer->entries();
    text += "; " + std::to_string(entries.size()) + " of " + std::to_string(answer->batch()) +
            " batch entries are complete";
    if (!entries.empty()) {
      partial = std::make_shared<const Observables>(answer->observables(options_.name, target));
    }
  }
  const std::string words = broken_ ? child_.last_words() : "";
  text += words.empty() ? "" : "; its last words were " + in_quotes(words);
  throw BackendError(text, std::move(partial), std::move(entries));
}

}  // namespace gradspike::chip
