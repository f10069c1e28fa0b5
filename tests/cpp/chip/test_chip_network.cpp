// Network description: JSON, records, network files, and what they refuse.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "csrc/chip/mapper.h"
#include "csrc/chip/network.h"
#include "csrc/core/error.h"
#include "tests/cpp/chip/networks.h"

namespace gradspike::chip {
namespace {

using Json = nlohmann::json;
using test::Random;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(NetworkJson, RoundTripIsByteIdentical) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const Network network = test::random_network(random);
    const std::string text = to_json(network);
    const Network again = network_from_json(text);
    EXPECT_EQ(to_json(again), text) << seed;
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_EQ(again.projections.size(), network.projections.size());
    for (std::size_t p = 0; p < network.projections.size(); ++p) {
      EXPECT_EQ(again.projections[p].mask, network.projections[p].mask);
      EXPECT_EQ(again.projections[p].factor, network.projections[p].factor);
    }
    EXPECT_EQ(again.dt, network.dt);
  }
}

TEST(NetworkJson, FieldsAndBitPatterns) {
  Network network = test::layered({2, 3, 1});
  network.model_card = {38, "latency", "max over time", {"yin", "yang", "dot"}};
  const Json json = Json::parse(to_json(network));
  EXPECT_EQ(json["format"], "gradspike.network");
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["populations"][0]["coefficients"][1], 0x3F800000U);  // 1.0F
  EXPECT_EQ(json["dt"], 0x3EB0C6F7A0B5ED8DULL);                       // 1e-6
  EXPECT_EQ(json["projections"][0]["scale"], 0x42000000U);            // 32.0F
  EXPECT_EQ(json["model_card"]["class_names"][2], "dot");
  EXPECT_EQ(network_from_json(to_json(network)).model_card.steps, 38);
}

TEST(NetworkJson, ThresholdMayBeInfinite) {
  Network network = test::layered({2, 3, 1});
  network.populations[0].coefficients[5] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isinf(network_from_json(to_json(network)).populations[0].coefficients[5]));
}

TEST(NetworkFile, RoundTrip) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    const Network network = test::random_network(random);
    const Weights weights = test::random_weights(network, random);
    const std::string text = to_network_file(network, weights);
    Network network_again;
    Weights weights_again;
    parse_network_file(text, network_again, weights_again);
    EXPECT_EQ(to_network_file(network_again, weights_again), text);
    for (const auto& [name, matrix] : weights) {
      EXPECT_EQ(weights_again.at(name).values, matrix.values);
    }
  }
}

TEST(Record, LayoutAndRoundTrip) {
  Projection p = test::dense("p", test::input_node(0), 2, 0, 1);
  IntegerMatrix m{1, 2, {-3, 5}, 0x0102030405060708ULL};
  const std::string record = to_record(p, m);
  const unsigned char expected[34] = {'G', 'S', 'W', '1', 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,    2,
                                      0,   0,   0,   0,   0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0xFD, 5};
  ASSERT_EQ(record.size(), sizeof expected);
  EXPECT_EQ(std::memcmp(record.data(), expected, sizeof expected), 0);
  const IntegerMatrix again = matrix_from_record(record, "p");
  EXPECT_EQ(again.values, m.values);
  EXPECT_EQ(again.hash, m.hash);
  p.max_weight = 128;  // one beyond int8: two bytes each
  EXPECT_EQ(to_record(p, m).size(), 36U);
  EXPECT_EQ(matrix_from_record(to_record(p, m), "p").values, m.values);
}

TEST(Record, DamageIsRefused) {
  const Projection p = test::dense("p", test::input_node(0), 2, 0, 1);
  const std::string record = to_record(p, {1, 2, {-3, 5}, 1});
  for (std::size_t length = 0; length < record.size(); ++length) {
    EXPECT_THROW(matrix_from_record(record.substr(0, length), "p"), Error) << length;
  }
  EXPECT_THROW(matrix_from_record(record + "x", "p"), Error);
  for (const std::size_t byte : {0U, 3U, 4U, 8U, 15U, 16U, 23U}) {
    std::string damaged = record;
    damaged[byte] = static_cast<char>(damaged[byte] ^ 0x41);
    EXPECT_THROW(matrix_from_record(damaged, "p"), Error) << byte;
  }
  EXPECT_EQ(message_of([] { matrix_from_record("GSW", "hidden"); }),
            "integer record of projection \"hidden\": has 3 bytes, its header alone needs 32");
}

/// Files with one change each, and a part of the sentence that must come.
struct Damage {
  const char* name;
  std::function<void(Json&)> change;
  const char* sentence;
};

std::vector<Damage> damages_of_network() {
  return {
      {"other format", [](Json& j) { j["format"] = "nir"; }, "is no file of format \"gradspike.network\""},
      {"no format", [](Json& j) { j.erase("format"); }, "is no file of format"},
      {"newer version", [](Json& j) { j["version"] = 2; }, "has format version 2, this library reads version 1"},
      {"text version", [](Json& j) { j["version"] = "1"; }, "version must be an integer, got string"},
      {"negative version", [](Json& j) { j["version"] = -1; }, "version must be in 0.."},
      {"no name", [](Json& j) { j.erase("name"); }, "lacks the field \"name\""},
      {"empty name", [](Json& j) { j["name"] = ""; }, "network name must be non-empty"},
      {"slash in name", [](Json& j) { j["name"] = "a/b"; }, "without a slash"},
      {"number as name", [](Json& j) { j["name"] = 3; }, "name must be a string, got number"},
      {"unknown field", [](Json& j) { j["weights"] = 1; }, "has a field \"weights\" that this version does not know"},
      {"dt zero", [](Json& j) { j["dt"] = 0; }, "dt must be finite and > 0"},
      {"dt NaN", [](Json& j) { j["dt"] = 0x7FF8000000000000ULL; }, "dt must be finite and > 0"},
      {"dt as float", [](Json& j) { j["dt"] = 1e-6; }, "dt must be an unsigned integer of 64 bits"},
      {"inputs no array", [](Json& j) { j["inputs"] = Json::object(); }, "inputs must be an array, got object"},
      {"input of size 0", [](Json& j) { j["inputs"][0]["size"] = 0; }, "input \"input0\": size must be in 1.."},
      {"huge input", [](Json& j) { j["inputs"][0]["size"] = INT64_MAX; }, "size must be in"},
      {"beyond 64 bits", [](Json& j) { j["inputs"][0]["size"] = UINT64_MAX; }, "size must be in"},
      {"population twice", [](Json& j) { j["populations"][1]["name"] = "layer1"; },
       "population \"layer1\" occurs twice"},
      {"unknown kind", [](Json& j) { j["populations"][0]["kind"] = "adex"; }, "must be one of lif, li, got \"adex\""},
      {"huge population", [](Json& j) { j["populations"][0]["size"] = 1LL << 40; }, "size must be in 1..4194304"},
      {"negative population", [](Json& j) { j["populations"][0]["size"] = -3; }, "size must be in 1.."},
      {"wrong columns", [](Json& j) { j["populations"][0]["columns"] = 2; }, "coefficients must have 1 or 3 columns"},
      {"too few coefficients", [](Json& j) { j["populations"][0]["coefficients"].erase(0); },
       "needs 7 coefficients, got 6"},
      {"NaN coefficient", [](Json& j) { j["populations"][0]["coefficients"][0] = 0x7FC00000U; },
       "coefficient 0 of neuron 0 is nan"},
      {"infinite leak", [](Json& j) { j["populations"][0]["coefficients"][3] = 0x7F800000U; },
       "coefficient 3 of neuron 0 is inf"},
      {"negative refractory", [](Json& j) { j["populations"][0]["coefficients"][6] = 0xBF800000U; },
       "refractory steps of neuron 0 must be a whole number"},
      {"half refractory step", [](Json& j) { j["populations"][0]["coefficients"][6] = 0x3F000000U; },
       "must be a whole number >= 0, got 0.5"},
      {"coefficient beyond 32 bits", [](Json& j) { j["populations"][0]["coefficients"][0] = 1LL << 32; },
       "must be in 0..4294967295"},
  };
}

std::vector<Damage> damages_of_projections() {
  return {
      {"projection twice", [](Json& j) { j["projections"][1]["name"] = "to1"; }, "projection \"to1\" occurs twice"},
      {"huge features", [](Json& j) { j["projections"][0]["in_features"] = 1LL << 50; }, "in_features must be in 1.."},
      {"negative features", [](Json& j) { j["projections"][0]["out_features"] = -1; }, "out_features must be in 1.."},
      {"no such target", [](Json& j) { j["projections"][0]["target"] = 2; }, "target 2 is none of the 2 populations"},
      {"negative target", [](Json& j) { j["projections"][0]["target"] = -1; }, "target -1 is none"},
      {"no such source", [](Json& j) { j["projections"][0]["columns"][0]["source"]["index"] = 7; },
       "index 7 is none of them"},
      {"source kind", [](Json& j) { j["projections"][0]["columns"][0]["source"]["kind"] = "chip"; },
       "must be one of input, population"},
      {"huge run", [](Json& j) { j["projections"][0]["columns"][0]["count"] = 1LL << 60; }, "a column run has count"},
      {"run too long", [](Json& j) { j["projections"][0]["columns"][0]["count"] = 3; },
       "ends at neuron 2 of a source of 2"},
      {"run too short", [](Json& j) { j["projections"][0]["columns"][0]["count"] = 1; },
       "column runs give 1 columns, in_features is 2"},
      {"negative start", [](Json& j) { j["projections"][0]["columns"][0]["first"] = -1; }, "starts at neuron -1"},
      {"huge step", [](Json& j) { j["projections"][0]["columns"][0]["step"] = 1LL << 60; }, "and step"},
      {"no rows", [](Json& j) { j["projections"][0]["rows"] = Json::array(); }, "reaches no target neuron"},
      {"row run too long", [](Json& j) { j["projections"][0]["rows"][0]["count"] = 4; }, "covers 4 neurons from 0"},
      {"row of no matrix", [](Json& j) { j["projections"][0]["rows"][0]["row_first"] = 3; }, "starts at row 3"},
      {"rows end outside", [](Json& j) { j["projections"][0]["rows"][0]["row_step"] = -1; }, "ends at row -2"},
      {"target neuron twice",
       [](Json& j) {
         Json run = j["projections"][0]["rows"][0];
         run["count"] = 1;
         j["projections"][0]["rows"].push_back(run);
       },
       "target neuron 0 is reached by two row runs"},
      {"negative delay", [](Json& j) { j["projections"][0]["delay_steps"] = -1; }, "delay_steps must be >= 0"},
      {"receptor", [](Json& j) { j["projections"][0]["receptor"] = "both"; },
       "must be one of signed, excitatory, inhibitory"},
      {"receptor against bounds", [](Json& j) { j["projections"][0]["receptor"] = "excitatory"; },
       "receptor excitatory needs min_weight 0, got -63"},
      {"scale zero", [](Json& j) { j["projections"][0]["scale"] = 0; }, "scale must be finite and > 0"},
      {"scale NaN", [](Json& j) { j["projections"][0]["scale"] = 0x7FC00000U; }, "scale must be finite and > 0"},
      {"factor", [](Json& j) { j["projections"][0]["factor"] = 0x3F800000U; },
       "factor must be 0.03125, the inverse of its scale, got 1"},
      {"positive minimum", [](Json& j) { j["projections"][0]["min_weight"] = 1; }, "bounds must satisfy"},
      {"bound too large", [](Json& j) { j["projections"][0]["max_weight"] = 32768; }, "bounds must satisfy"},
      {"lowest integer", [](Json& j) { j["projections"][0]["min_weight"] = INT32_MIN; }, "bounds must satisfy"},
      {"mask no base64", [](Json& j) { j["projections"][0]["mask"] = "!!!!"; }, "is no base64 digit"},
      {"mask length", [](Json& j) { j["projections"][0]["mask"] = "AAAA"; }, "needs 1 bytes for 6 bits, got 3"},
      {"mask stray bits", [](Json& j) { j["projections"][0]["mask"] = "/w=="; }, "has bits beyond its 6"},
      {"mask not canonical", [](Json& j) { j["projections"][0]["mask"] = "P/=="; }, "ends in stray bits"},
      {"negative period", [](Json& j) { j["projections"][0]["plasticity_period"] = 0xBFF0000000000000ULL; },
       "plasticity_period must be finite and >= 0"},
      {"class names", [](Json& j) { j["model_card"]["class_names"] = {1}; }, "class_names[0] must be a string"},
      {"negative steps", [](Json& j) { j["model_card"]["steps"] = -5; }, "steps of the model card must be >= 0"},
  };
}

TEST(NetworkJson, DamagedFilesGiveSentences) {
  const Json whole = Json::parse(to_json(test::layered({2, 3, 1})));
  std::vector<Damage> damages = damages_of_network();
  for (const Damage& damage : damages_of_projections()) {
    damages.push_back(damage);
  }
  for (const Damage& damage : damages) {
    Json json = whole;
    damage.change(json);
    const std::string message = message_of([&json] { network_from_json(json.dump()); });
    EXPECT_TRUE(contains(message, damage.sentence)) << damage.name << ": " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << damage.name;
  }
}

TEST(NetworkJson, TextThatIsNoNetwork) {
  const std::string text = to_json(test::layered({2, 3, 1}));
  for (std::size_t length = 0; length < text.size(); length += 7) {
    EXPECT_TRUE(contains(message_of([&] { network_from_json(text.substr(0, length)); }), "is no JSON")) << length;
  }
  EXPECT_TRUE(contains(message_of([] { network_from_json("[1]"); }), "must be an object"));
  EXPECT_TRUE(contains(message_of([] { network_from_json(std::string(5000, '[')); }), "nested deeper than"));
  EXPECT_TRUE(contains(message_of([] { network_from_json("{\"a\":1,\"a\":2}"); }), "has the key \"a\" twice"));
  EXPECT_TRUE(contains(message_of([] { network_from_json("{\"a\":\"\xFF\"}"); }), "is no JSON"));
  Network network = test::layered({2, 3, 1});
  network.populations[0].name = "\xFF";
  EXPECT_TRUE(contains(message_of([&] { to_json(network); }), "cannot be written"));
}

/// Random bytes changed: any outcome but an Error or a valid network is a bug; a crash fails the run.
TEST(NetworkJson, RandomDamageNeverCrashes) {
  const std::string whole = to_json(test::layered({2, 3, 1}));
  Random random(7);
  std::int64_t refused = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    std::string text = whole;
    for (std::int64_t k = test::pick(random, 1, 4); k > 0; --k) {
      const auto position = static_cast<std::size_t>(random() % text.size());
      text[position] = "0123456789-,:{}[]\"eE.xlif"[random() % 25];
    }
    try {
      validate(network_from_json(text));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 10000);
}

TEST(NetworkFile, DamagedFilesGiveSentences) {
  Random random(3);
  const Network network = test::layered({2, 3, 1});
  const Json whole = Json::parse(to_network_file(network, test::random_weights(network, random, 0.0)));
  const auto message = [&whole](const std::function<void(Json&)>& change) {
    Json json = whole;
    change(json);
    Network n;
    Weights w;
    return message_of([&] { parse_network_file(json.dump(), n, w); });
  };
  EXPECT_TRUE(contains(message([](Json& j) { j["integers"].erase("to2"); }), "no integers for projection \"to2\""));
  EXPECT_TRUE(contains(message([](Json& j) { j["integers"]["to3"] = j["integers"]["to2"]; }), "no projection \"to3\""));
  EXPECT_TRUE(contains(message([](Json& j) { j["integers"]["to2"] = j["integers"]["to1"]; }),
                       "are [3, 2], the projection is [1, 3]"));
  EXPECT_TRUE(contains(message([](Json& j) { j["integers"]["to1"] = "AAA"; }), "no multiple of 4"));
  EXPECT_TRUE(contains(message([](Json& j) { j["integers"]["to1"] = 5; }), "must be a string"));
  EXPECT_TRUE(contains(message([](Json& j) { j["integers"] = Json::array(); }), "integers must be an object"));
  EXPECT_TRUE(contains(message([](Json& j) { j.erase("network"); }), "lacks the field \"network\""));
  EXPECT_TRUE(contains(message([](Json& j) { j["network"]["name"] = ""; }), "network name must be non-empty"));
  EXPECT_TRUE(contains(message_of([&whole] { network_from_json(whole.dump()); }), "is a network file with integers"));
  // One flipped bit of the integers or of their hash.
  for (const std::size_t digit : {34U, 45U}) {
    const std::string text = message([digit](Json& j) {
      auto record = j["integers"]["to1"].get<std::string>();
      record[digit] = record[digit] == 'A' ? 'B' : 'A';
      j["integers"]["to1"] = record;
    });
    EXPECT_TRUE(contains(text, "do not match their hash") || contains(text, "is outside") || contains(text, "is NaN"))
        << text;
  }
}

TEST(Validate, WeightsThatContradict) {
  Random random(3);
  Network network = test::layered({2, 3, 1});
  network.projections[0].mask = {true, true, true, true, true, false};
  const Weights good = test::random_weights(network, random, 0.0);
  EXPECT_NO_THROW(validate(network, good));
  const auto message = [&](std::size_t i, std::int16_t value) {
    Weights weights = good;
    weights["to1"].values[i] = value;
    weights["to1"].hash = content_hash(network.projections[0], weights["to1"].values);
    return message_of([&] { validate(network, weights); });
  };
  EXPECT_EQ(message(3, -128), "integers of projection \"to1\": weight [1, 1] is NaN");
  EXPECT_EQ(message(3, -32768), "integers of projection \"to1\": weight [1, 1] is NaN");
  EXPECT_EQ(message(2, 64), "integers of projection \"to1\": weight [1, 0] = 64 is outside -63..63");
  EXPECT_TRUE(contains(message(5, 1), "weight [2, 1] = 1 belongs to a connection that the mask removes"));
  EXPECT_EQ(message(5, 0), "no error");
}

TEST(Validate, PositionsMustBeDistinctWhereNeuronsAreShared) {
  Network network = test::layered({2, 4});
  network.projections.push_back(network.projections[0]);
  network.projections[1].name = "second";
  EXPECT_TRUE(contains(message_of([&] { validate(network); }), "have position 0 at the same neurons"));
  network.projections[1].position = 1;
  EXPECT_NO_THROW(validate(network));
  network.projections[0].rows = {{0, 0, 1, 2}};
  network.projections[1].rows = {{2, 0, 1, 2}};
  network.projections[1].position = 0;
  EXPECT_NO_THROW(validate(network));
}

TEST(Validate, SourcesMustSpikeAndComeFirst) {
  Network network = test::layered({2, 3, 3, 3});
  network.projections[1].columns[0].source.index = 2;
  EXPECT_EQ(message_of([&] { validate(network); }),
            "projection \"to2\": source population \"layer3\" sends no spikes, it is a leaky integrator");
  network.projections[1].columns[0].source.index = 1;
  EXPECT_EQ(message_of([&] { validate(network); }),
            "projection \"to2\": source population \"layer2\" must come before its target, or delay_steps must be at "
            "least 1");
  network.projections[1].delay_steps = 1;
  EXPECT_NO_THROW(validate(network));
}

TEST(Network, LookUpNamesTheNearest) {
  const Network network = test::layered({2, 3, 1});
  EXPECT_EQ(network.population("layer2"), 1);
  EXPECT_EQ(network.projection("to2"), 1);
  EXPECT_EQ(message_of([&] { network.population("layre1"); }),
            "network \"layered\" has no population \"layre1\"; nearest: \"layer1\", \"layer2\"");
}

TEST(Network, Expansions) {
  Network network = test::layered({4, 3});
  Projection& p = network.projections[0];
  p.in_features = 5;
  p.columns = {{test::input_node(0), 3, -1, 3}, {test::input_node(0), 0, 0, 2}};
  p.rows = {{2, 0, 1, 1}, {0, 2, -1, 2}};
  validate(network);
  const auto columns = network.expanded_columns(p);
  const std::vector<std::int64_t> expected = {3, 2, 1, 0, 0};
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(columns[i].second, expected[i]);
  }
  EXPECT_EQ(network.expanded_rows(p), (std::vector<std::int64_t>{2, 1, 0}));
  p.rows = {{1, 0, 1, 1}};
  EXPECT_EQ(network.expanded_rows(p), (std::vector<std::int64_t>{-1, 0, -1}));
}

TEST(NetworkJson, PlasticityIsCarriedAndOlderFilesStayTheSame) {
  Network network = test::layered({4, 3, 2}, Receptor::kExcitatory);
  const std::string before = to_json(network);
  EXPECT_EQ(before.find("plasticity_start"), std::string::npos);
  Projection& p = network.projections[0];
  p.plasticity_rule = "void PLASTICITY_RULE_KERNEL() {}";
  p.plasticity_start = 1e-4;
  p.plasticity_period = 1e-3;
  p.plasticity_executions = 7;
  p.plasticity_recording = {"weights", "correlation"};
  const Network again = network_from_json(to_json(network));
  EXPECT_EQ(to_json(again), to_json(network));
  EXPECT_EQ(again.projections[0].plasticity_executions, 7);
  EXPECT_EQ(again.projections[0].plasticity_recording, p.plasticity_recording);
  EXPECT_TRUE(try_map(network).mapping.has_value());
}

void expect_invalid(const Network& network, const std::string& part) {
  try {
    validate(network);
    ADD_FAILURE() << "accepted: " << part;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Network, WrongPlasticityIsRefusedByName) {
  Network network = test::layered({4, 3, 2});
  network.projections[0].plasticity_rule = "stdp";
  expect_invalid(network, "projection \"to1\": a plasticity rule needs an unsigned projection");
  network = test::layered({4, 3, 2}, Receptor::kExcitatory);
  network.projections[0].plasticity_executions = 3;
  expect_invalid(network, "a timer or a recording of plasticity needs a plasticity_rule");
  network.projections[0].plasticity_rule = "stdp";
  network.projections[0].plasticity_executions = -1;
  expect_invalid(network, "plasticity_executions must be >= 0, got -1");
  network.projections[0].plasticity_executions = 0;
  network.projections[0].plasticity_start = -1;
  expect_invalid(network, "plasticity_start must be finite and >= 0, got -1");
}

}  // namespace
}  // namespace gradspike::chip
