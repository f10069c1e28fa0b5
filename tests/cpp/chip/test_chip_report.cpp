#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "csrc/chip/mapper.h"
#include "csrc/chip/report.h"
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
  EXPECT_NE(text.find("model hash  abc\n"), std::string::npos);
  const Json json = Json::parse(report.to_json());
  EXPECT_EQ(json["verdict"], "fits");
  EXPECT_EQ(json["resources"].size(), report.resources.size());
  EXPECT_EQ(json["version"], 3);
  EXPECT_TRUE(json["check_run"].is_null() && json["since"].is_null());
}

TEST(Report, LayersTimeAndIntegers) {
  const Network network = test::layered({4, 3});
  Weights weights;
  weights["to1"] = {3, 4, {-63, 0, 5, 5, 0, 0, 0, 0, 0, 0, 0, 7}, 0x1234};
  ReportInputs inputs;
  inputs.integers = &weights;
  const Report report = make_report(network, inputs);
  ASSERT_EQ(report.projections.size(), 1U);
  const ProjectionReport& to1 = report.projections[0];
  EXPECT_EQ(to1.sources, std::vector<std::string>{"input0"});
  EXPECT_EQ(to1.target, "layer1");
  ASSERT_TRUE(to1.histogram.has_value());
  EXPECT_EQ(to1.histogram->first, -63);
  EXPECT_EQ(to1.histogram->counts.size(), 71U);
  EXPECT_EQ(to1.histogram->counts[63], 8);
  EXPECT_EQ(report.provenance.at("weights of to1"), "0000000000001234");
  EXPECT_NEAR(report.populations[0].find("tau_mem")->highest, 10e-6, 1e-12);
  EXPECT_NEAR(report.populations[0].find("tau_syn")->lowest, 10e-6, 1e-10);
  EXPECT_EQ(report.populations[0].find("threshold"), nullptr);  // a leaky integrator
  const Json json = Json::parse(report.to_json());
  EXPECT_EQ(json["time"]["populations"]["layer1"]["tau_mem"], Json::array({1e-5, 1e-5}));
  EXPECT_TRUE(json["time"]["steps"].is_null());
  EXPECT_EQ(Json::parse(layers_json(network))["time"], json["time"]);
}

TEST(Report, ParametersThatNoCalibrationSets) {
  Network network = test::layered({4, 3, 2});
  Population& hidden = network.populations[0];
  hidden.columns = 3;  // tau_mem 10, 10 and 100 us
  hidden.coefficients = {0.1F, 0.1F, 0.1F, 1.0F, 1.0F, 0.1F, 0.9F, 0.9F, 0.9F, 0.0F, 0.0F,
                         0.0F, 0.0F, 0.0F, 0.0F, 1.0F, 1.0F, 1.0F, 0.0F, 0.0F, 0.0F};
  ReportInputs inputs;
  Report report = make_report(network, inputs);
  ASSERT_EQ(report.misfits.size(), 1U);
  EXPECT_EQ(
      report.misfits[0].text(),
      "layer \"layer1\": neurons whose tau_mem no calibration sets: needs 1, limit 0; tau_mem is 10 us..100 us and "
      "can be set to 500 ns..60 us: train with values in this range");
  EXPECT_EQ(report.verdict, Verdict::kFitsWithLosses);
  inputs.target = "chip";
  EXPECT_EQ(make_report(network, inputs).verdict, Verdict::kDoesNotFit);
  network.dt = 1e-3;  // in the time of biology
  report = make_report(network, {});
  EXPECT_NE(report.text().find("train with dt and time constants divided by 1000"), std::string::npos) << report.text();
}

TEST(Report, ATerminalObeysNoName) {
  Network network = test::layered({4, 3});
  network.populations[0].name = "a\x1b[2J\xc2\x9b\xe2\x80\xae\xc3\xa9";
  const std::string text = make_report(network, {}).text();
  EXPECT_NE(text.find("a?[2J??\xc3\xa9"), std::string::npos) << text;
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
  EXPECT_NE(report.text().find("approximations\n  bias as leak shift\n"), std::string::npos);
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

}  // namespace
}  // namespace gradspike::chip
