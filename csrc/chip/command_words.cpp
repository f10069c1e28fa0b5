#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "csrc/chip/child_process.h"

namespace gradspike::chip {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

/// Reads one word from `i` on and leaves `i` behind it.
std::string next_word(const std::string& line, std::size_t& i) {
  std::string word;
  char quote = '\0';
  for (; i < line.size() && (quote != '\0' || !is_blank(line[i])); ++i) {
    const char c = line[i];
    if (c == quote) {
      quote = '\0';
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      const bool keeps = quote == '"' && line[i + 1] != '"' && line[i + 1] != '\\';
      word += keeps ? std::string(1, c) : std::string();
      word += line[++i];
    } else {
      word += c;
    }
  }
  GRADSPIKE_REQUIRE(quote == '\0', "command must close its quotes, got: ", line);
  return word;
}

bool is_executable_file(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

std::vector<std::string> split_words(const std::string& line) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < line.size();) {
    if (is_blank(line[i])) {
      ++i;
    } else {
      words.push_back(next_word(line, i));
    }
  }
  GRADSPIKE_REQUIRE(!words.empty() && !words[0].empty(), "command must name a program, got \"", line, "\"");
  return words;
}

std::string join_words(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    line += line.empty() ? "" : " ";
    if (!word.empty() && word.find_first_of(" \t\n'\"\\") == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) {
      line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    line += '\'';
  }
  return line;
}

std::string find_program(const std::string& program) {
  if (program.find('/') != std::string::npos) {
    GRADSPIKE_REQUIRE(::access(program.c_str(), F_OK) == 0, "there is no program \"", program, "\"");
    GRADSPIKE_REQUIRE(is_executable_file(program), "\"", program, "\" is no file that may be executed");
    return program;
  }
  const char* const path = std::getenv("PATH");
  std::string folders = path != nullptr ? path : "/usr/bin:/bin";
  for (std::size_t begin = 0; begin <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', begin), folders.size());
    const std::string folder = end > begin ? folders.substr(begin, end - begin) : ".";
    if (is_executable_file(folder + "/" + program)) {
      return folder + "/" + program;
    }
    begin = end + 1;
  }
  GRADSPIKE_FAIL("there is no program \"", program, "\" on PATH");
}

}  // namespace gradspike::chip
