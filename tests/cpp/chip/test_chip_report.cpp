#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "csrc/chip/mapper.h"
#include "csrc/chip/report.h"
#include "csrc/chip/time_constants.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip {
namespace {

using Json = nlohmann::json;

std::int64_t used(const Report& report, const std::string& layer, const std::string& quantity) {
  for (const Resource& resource : report.resources) {
    if (resource.layer == layer && resource.quantity == quantity) {
      return resource.used;
    }
  }
  ADD_FAILURE() << "no resource " << quantity;
  return -1;
}

TEST(Report, FitsWithResourcesOfTheMapping) {
  const Network network = test::yin_yang();
  const Mapping mapping = map_network(network);
  ReportInputs inputs;
  inputs.mapping = &mapping;
  inputs.provenance = {{"model hash", "abc"}};
  const Report report = make_report(network, inputs);
  EXPECT_EQ(report.verdict, Verdict::kFits);
  EXPECT_EQ(report.exit_code(), 0);
  EXPECT_EQ(used(report, "layer1", "neuron circuits"), 120);
  EXPECT_EQ(used(report, "", "synapses"), 1920);
  // 5 inputs on one hemisphere, 120 hidden neurons on the other, two rows each.
  EXPECT_EQ(used(report, "", "synapse rows of HemisphereOnDLS(0)"), 10);
  EXPECT_EQ(used(report, "", "synapse rows of HemisphereOnDLS(1)"), 240);
  EXPECT_EQ(used(report, "", "drivers of HemisphereOnDLS(1)"), 120);
  const std::string text = report.text();
  EXPECT_EQ(text.find("network \"yinyang\" fits: target emulator ideal, 1 chip, 1 run per sample"), 0U) << text;
  EXPECT_NE(text.find("model hash: abc"), std::string::npos);
  const Json json = Json::parse(report.to_json());
  EXPECT_EQ(json["verdict"], "fits");
  EXPECT_EQ(json["resources"].size(), report.resources.size());
}

TEST(Report, Losses) {
  ReportInputs inputs;
  inputs.weights["to1"] = {600, 6, 30, 0.25};
  Report report = make_report(test::yin_yang(), inputs);
  EXPECT_EQ(report.verdict, Verdict::kFitsWithLosses);
  EXPECT_NE(report.text().find("1.00 %"), std::string::npos) << report.text();
  EXPECT_NE(report.text().find("5.00 %"), std::string::npos);
  EXPECT_EQ(Json::parse(report.to_json())["weights"]["to1"]["clipped"], 6);
  inputs.weights.clear();
  inputs.approximations = {"bias as leak shift"};
  report = make_report(test::yin_yang(), inputs);
  EXPECT_EQ(report.exit_code(), 1);
  EXPECT_NE(report.text().find("approximation: bias as leak shift"), std::string::npos);
  inputs.weights["to9"] = {};
  EXPECT_THROW(make_report(test::yin_yang(), inputs), Error);
}

TEST(Report, AllMisfitsInOneTable) {
  const Report report = make_report(test::layered({300, 600, 40000}), {});
  EXPECT_EQ(report.verdict, Verdict::kDoesNotFit);
  EXPECT_EQ(report.exit_code(), 2);
  EXPECT_EQ(report.misfits.size(), 2U);
  const std::string text = report.text();
  EXPECT_EQ(text.find("network \"layered\" does not fit"), 0U);
  EXPECT_NE(text.find("neuron circuits"), std::string::npos);
  EXPECT_EQ(Json::parse(report.to_json())["misfits"][0]["limit"], 512);
}

TEST(Report, UnequalScalesAreALossOnTheEmulatorAndAMisfitOnTheChip) {
  Network network = test::layered({4, 3});
  network.projections.push_back(network.projections[0]);
  network.projections[1].name = "skip";
  network.projections[1].position = 1;
  network.projections[1].units = Units::kLsb;
  network.projections[1].factor = 1.0F;
  ReportInputs inputs;
  EXPECT_EQ(make_report(network, inputs).verdict, Verdict::kFitsWithLosses);
  inputs.target = "chip";
  EXPECT_EQ(make_report(network, inputs).verdict, Verdict::kDoesNotFit);
}

TEST(TimeConstants, SmallestAndLargestOfEachPopulation) {
  Network network = test::layered({2, 3, 1});
  network.dt = 2e-6;
  network.populations[0].columns = 3;
  network.populations[0].coefficients = {0.25F, 0.5F, 0.25F, 0.5F, 0.5F, 0.5F, 0.75F, 0.5F, 1.0F, 0.0F, 0.125F,
                                         -1.0F, 0.0F, 0.0F,  0.0F, 1.0F, 2.0F, 1.5F,  0.0F, 3.0F, 1.0F};
  EXPECT_EQ(time_constants_json(network).substr(0, 246),
            R"({"layer1":{"kind":"lif","leak":[-1.0,0.125],"membrane_capacitance":[4e-06,8e-06],)"
            R"("refractory_time":[0.0,6e-06],"reset":[0.0,0.0],"size":3,"tau_mem":[8e-06,1.6e-05],)"
            R"("tau_syn":[4e-06,null],"threshold":[1.0,2.0]},"layer2":{"kind":"li","leak":[0.0,0.)");
}

}  // namespace
}  // namespace gradspike::chip
