// The macros of csrc/core/error.h: a user's mistake is a sentence, a broken invariant names place and expression.
#include "csrc/core/error.h"

#include <gtest/gtest.h>

namespace gradspike {
namespace {

std::string message_of(void (*function)()) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Error, RequireGivesTheSentenceAlone) {
  EXPECT_EQ(message_of([] { GRADSPIKE_REQUIRE(1 > 2, "scale must be > 0, got ", -3); }), "scale must be > 0, got -3");
}

TEST(Error, RequireDoesNotThrowWhereTheConditionHolds) {
  EXPECT_EQ(message_of([] { GRADSPIKE_REQUIRE(2 > 1, "never"); }), "nothing was thrown");
}

TEST(Error, CheckNamesFileAndExpression) {
  const std::string message = message_of([] { GRADSPIKE_CHECK(1 + 1 == 3, "arithmetic"); });
  EXPECT_NE(message.find("test_error.cpp:"), std::string::npos) << message;
  EXPECT_NE(message.find("`1 + 1 == 3`"), std::string::npos) << message;
}

TEST(Error, FailAlwaysThrows) {
  EXPECT_EQ(message_of([] { GRADSPIKE_FAIL("no ", "way"); }), "no way");
}

}  // namespace
}  // namespace gradspike
