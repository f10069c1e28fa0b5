// What gradspike-run --list and --json print.
#pragma once

#include <string>

#include "gradspike/deploy.h"

namespace gradspike::host {

std::string listing_text(const deploy::Model& model);
std::string listing_json(const deploy::Model& model);

}  // namespace gradspike::host
