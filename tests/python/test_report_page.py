"""The page of the report: one file, names escaped, the map's data, and the page in a headless browser."""

import base64
import hashlib
import html.parser
import json
import re
import struct

import pytest
import torch

import browser
import gradspike
from gradspike import chip, nn

YINYANG = "python/gradspike/examples/data/yinyang.pt"
HOSTILE_PROJECTION = "<script>window.alerted=1<!--"
HOSTILE_POPULATION = "\"'><img src=x onerror=window.alerted=2>&lt;\u2028"
TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "p", "h1", "h2", "h3", "strong", "span", "dl",
    "div", "dt", "dd", "b", "small", "nav", "main", "section", "table", "thead", "tbody", "tr", "th", "td", "svg",
    "line", "rect", "text", "circle", "figure", "figcaption", "ul", "li", "i", "details", "summary", "footer", "label",
    "select", "option", "input", "button", "canvas", "noscript", "script", "br",
}  # fmt: skip

needs_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.find() is None, reason="no Chromium on this machine: apt-get install chromium"),
]


@pytest.fixture(autouse=True)
def in_the_source_tree(request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)


class Tags(html.parser.HTMLParser):
    """Elements of a page, and the text of each script."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append((self.elements[-1] if self.elements else None, data))


def layers(inputs, hidden, outputs):
    return torch.nn.Sequential(
        nn.Synapse(inputs, hidden, name="hidden"),
        nn.LIF(hidden, name="hidden"),
        nn.Synapse(hidden, outputs, name="readout"),
        nn.LI(outputs, name="readout"),
    )


def hostile(neurons=6):
    return torch.nn.Sequential(
        nn.Synapse(5, neurons, name=HOSTILE_PROJECTION, scale=16.0), nn.LIF(neurons, name=HOSTILE_POPULATION)
    )


def hostile_reports():
    card = {"class_names": ["</title><script>"], "decoder": "<b>"}
    inputs = (torch.rand(10, 4, 5) < 0.3).float()
    handle = chip.read(hostile(), network="<i onclick=x>&amp;", card=card)
    yield handle.check()
    yield chip.report(hostile(), inputs, torch.zeros(4).long(), seeds=2, network="<b onclick=x>", silent_below=10.0)
    yield chip.check(hostile(600))


def test_the_page_needs_nothing_else():
    page = gradspike.open_network(YINYANG).check().to_html()
    assert not re.search(r"https?:|@import|url\(|<link|<img|<iframe|\bsrc=|\bfetch\(|XMLHttpRequest|import\(", page)
    policy = Tags(page).elements[[tag for tag, _ in Tags(page).elements].index("meta") + 3][1]["content"]
    assert policy.startswith("default-src 'none';")
    scripts = [data for element, data in Tags(page).texts if element == ("script", {})]
    code = "".join(scripts)
    code = code[: code.rindex("})();") + len("})();\n")]
    assert base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() in policy
    assert "script-src 'sha256-" in policy and "$" + "script" not in page


def test_names_are_text_and_nothing_else():
    for report in hostile_reports():
        page = report.to_html()
        for tag, attributes in Tags(page).elements:
            assert tag in TAGS, tag
            assert not any(name.startswith("on") for name in attributes), attributes
            assert tag != "script" or attributes in ({}, {"type": "application/json", "id": "chip-data"})
        assert len([tag for tag, _ in Tags(page).elements if tag == "script"]) == 2
        assert page.count("<h1>") == 1 and "alerted=2&gt;" in page
        start = page.index('id="chip-data">') + len('id="chip-data">')
        assert not set(page[start : page.index("</script>", start)]) & set("<>&\u2028")


def data_of(page):
    start = page.index('id="chip-data">') + len('id="chip-data">')
    return json.loads(page[start : page.index("</script>", start)])


def unpack(text, kind):
    raw = base64.b64decode(text)
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw))


def decoded(synapses):
    """The rows of a mapping, from its columns."""
    columns = {name: unpack(text, {1: "B", 2: "H", 4: "I"}[size]) for name, (size, text) in synapses.items()}
    places = [[p // 65536, p // 256 % 256, p % 256] for p in columns["place"]]
    names = ("label", "projection", "pre", "post", "part", "inhibitory")
    return [[*place, *rest] for place, *rest in zip(places, *(columns[name] for name in names))]


def test_the_map_holds_the_mapping_and_the_weights():
    handle = chip.read(hostile())
    data, mapping = data_of(handle.check().to_html()), handle.map().data
    assert len(data["instances"]) == 1
    instance = data["instances"][0]
    assert decoded(instance["synapses"]) == mapping["synapses"] != []
    assert instance["row_modes"] == mapping["row_modes"]
    assert data["populations"] == [{"name": HOSTILE_POPULATION, "kind": "lif", "size": 6}]
    placed = mapping["populations"][0]["neurons"]
    assert instance["neurons"] == [[0, k, n["address"], n["circuits"]] for k, n in enumerate(placed)]
    integers = handle.integers()[HOSTILE_PROJECTION].flatten().tolist()
    assert unpack(data["projections"][0]["weights"], "h") == integers


def in_two_instances():
    """A report of eight neurons of which the chip first holds four, then the others."""
    model = torch.nn.Sequential(nn.Synapse(5, 8, name="in", scale=16.0), nn.LIF(8, name="hidden"))
    half = chip.map(torch.nn.Sequential(nn.Synapse(5, 4, name="in"), nn.LIF(4, name="hidden"))).data
    handle = chip.read(model)
    report = handle.check()
    instances = [
        {"mapping": {**half, "projections": [f"in[{k}:{k + 4}]"]}, "slices": [[0, k, 4]], "wish": ""} for k in (0, 4)
    ]
    parts = {"mapping": {"format": "gradspike.partition", "instances": instances}, "integers": handle.integers()}
    return half, chip.Report(report.data, lambda: {**parts, "description": handle.description})


def test_instances_count_neurons_as_the_whole_network():
    half, report = in_two_instances()
    first, second = data_of(report.to_html())["instances"]
    assert decoded(first["synapses"]) == half["synapses"]
    assert decoded(second["synapses"]) == [[*s[:6], s[6] + 4, *s[7:]] for s in half["synapses"]]
    assert [neuron[:2] for neuron in second["neurons"]] == [[0, 4], [0, 5], [0, 6], [0, 7]]


def test_a_network_that_does_not_fit_has_a_page_without_a_map(tmp_path):
    report = chip.check(hostile(600))
    report.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert data_of(page) is None and "<canvas" not in page and "Misfits" in page and page == report.to_html()


def test_histograms_mark_zero_and_bounds():
    model = torch.nn.Sequential(nn.Synapse(4, 2, name="in", scale=1.0), nn.LIF(2, name="out"))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.2, 70.0, -90.0, 5.0], [5.0, 0.0, 63.0, -1.0]]))
    page = chip.check(model).to_html()
    bars = re.findall(r'<rect class="(\w+)"[^>]*><title>(-?\d+) LSB: (\d+)</title>', page)
    assert {int(value): (mark, int(count)) for mark, value, count in bars if int(count)} == {
        -63: ("edge", 1), -1: ("plain", 1), 0: ("zero", 2), 5: ("plain", 2), 63: ("edge", 2),
    }  # fmt: skip


# ---- in a browser --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def write(tmp_path, report):
    report.save_html(tmp_path / "page.html")
    return tmp_path / "page.html"


def canvas(page):
    """Place of the map in the window, and the size of a cell, both in CSS pixels."""
    page.evaluate("document.getElementById('map').scrollIntoView({behavior: 'instant'})")
    left, top, width = page.evaluate(
        "(() => { const c = document.getElementById('map-canvas'), r = c.getBoundingClientRect();"
        "return [r.left + c.clientLeft, r.top + c.clientTop, c.clientWidth]; })()"
    )
    return left, top, width


def cell(page, along, across):
    """Centre of a cell of the map, which is drawn from left to right: 560 cells along, 256 across."""
    left, top, width = canvas(page)
    return left + (along + 0.5) * width / 560, top + (across + 0.5) * width / 560


def spot(hemisphere, row, column):
    return (255 - row if hemisphere == 0 else 304 + row), column


def text(page, name):
    return page.evaluate(f"document.getElementById('{name}').textContent")


@pytest.mark.slow
@needs_browser[1]
class TestInABrowser:
    def test_hover_and_click_on_the_full_chip(self, page, tmp_path):
        handle = chip.read(layers(256, 246, 10))
        page.open(write(tmp_path, handle.check()), height=1000)
        assert page.complaints() == []
        assert page.evaluate("document.getElementById('map-canvas').dataset.ready") == "yes"
        mapping, integers = handle.map().data, handle.integers()
        assert len(mapping["synapses"]) > 130000
        for k in (0, 50001, 129999):
            h, row, column, label, projection, pre, post, part, inhibitory = mapping["synapses"][k]
            name = mapping["projections"][projection]
            page.mouse(*cell(page, *spot(h, row, column)))
            tip = text(page, "map-tip").splitlines()
            source = f"input0 {pre}" if name == "hidden" else f"hidden {pre}"
            assert tip[0] == f"{source} → {name} {post}" and tip[1] == f"projection {name}"
            assert tip[2] == f"weight {int(integers[name][post, pre])} LSB, part {part}, label {label}"
            sign = "inhibitory" if inhibitory else "excitatory"
            assert tip[-1] == f"hemisphere {h}, row {row}, column {column} ({sign} row)"
        page.screenshot(tmp_path / "hover.png")
        neuron = mapping["populations"][0]["neurons"][7]
        hemisphere, column = divmod(neuron["circuits"][0], 256)
        at = cell(page, 262 + 18 * hemisphere + 9, column)
        page.mouse(*at, click=True)
        assert text(page, "map-chosen").startswith("256 sources of hidden 7hidden, neuron 7 (LIF)")
        assert "input0: 0–255" in text(page, "map-chosen")
        page.mouse(*at, click=True)
        assert text(page, "map-chosen").startswith("10 targets of hidden 7") and "readout: 0–9" in text(
            page, "map-chosen"
        )
        h, row, column, *_ = mapping["synapses"][0]
        page.mouse(*cell(page, *spot(h, row, column)), click=True)
        assert text(page, "map-chosen").startswith("246 targets of input0 ")
        assert (tmp_path / "hover.png").stat().st_size > 20000

    def test_clicks_highlight_cells_and_are_quick(self, page, tmp_path):
        handle = chip.read(layers(256, 246, 10))
        page.open(write(tmp_path, handle.check()), height=1000)
        mapping = handle.map().data
        own = next(s for s in mapping["synapses"] if s[4] == 0 and s[6] == 7 and not s[8])
        other = next(s for s in mapping["synapses"] if s[4] == 0 and s[6] == 8 and not s[8])
        colour = (
            "(([x, y]) => [...document.getElementById('map-canvas').getContext('2d').getImageData(x, y, 1, 1).data])"
        )

        def colours():
            scale = page.evaluate("document.getElementById('map-canvas').width") / 560
            places = [[(v + 0.5) * scale for v in spot(*s[:3])] for s in (own, other)]
            return [page.evaluate(f"{colour}({place})") for place in places]

        before = colours()
        assert before[0] == before[1] == [0, 114, 178, 255]
        took = page.evaluate(
            "(() => { const node = document.getElementById('map-node'), start = performance.now();"
            "node.value = '1'; document.getElementById('map-neuron').value = '7';"
            "document.getElementById('map-sources').click(); return performance.now() - start; })()"
        )
        after = colours()
        assert after[0] == before[0] and sum(after[1][:3]) > sum(before[1][:3])
        assert took < 1000, f"{took} ms for a repaint"
        assert page.evaluate("document.getElementById('map-sources').getAttribute('aria-pressed')") == "true"
        page.evaluate("document.getElementById('map-clear').click()")
        assert colours() == before

    def test_keyboard(self, page, tmp_path):
        page.open(write(tmp_path, gradspike.open_network(YINYANG).check()))
        page.evaluate("document.getElementById('map-canvas').focus()")
        for _ in range(2):
            page.key("ArrowDown")
        page.key("ArrowLeft")
        assert "gap" not in text(page, "map-live")
        page.key("ArrowRight")
        assert text(page, "map-live").startswith("hidden, neuron ")
        page.key("Enter")
        assert text(page, "map-chosen").startswith("5 sources of hidden ")
        page.key("Escape")
        assert text(page, "map-chosen") == ""

    def test_instances_are_shown_one_at_a_time(self, page, tmp_path):
        half, report = in_two_instances()
        page.open(write(tmp_path, report), height=1000)
        assert page.complaints() == []
        h, row, column, _, _, pre, post, *_ = half["synapses"][5]
        page.mouse(*cell(page, *spot(h, row, column)))
        assert text(page, "map-tip").startswith(f"input0 {pre} → hidden {post}\n")
        page.evaluate(
            "(() => { const select = document.getElementById('map-instance'); select.value = '1';"
            "select.dispatchEvent(new Event('change')); })()"
        )
        page.mouse(*cell(page, *spot(h, row, column)), click=True)
        assert text(page, "map-tip").startswith(f"input0 {pre} → hidden {post + 4}\n")
        assert text(page, "map-chosen").startswith(f"8 targets of input0 {pre}")
        assert page.evaluate("document.getElementById('map-instance').parentElement.hidden") is False

    def test_zoom_keeps_the_place_under_the_pointer(self, page, tmp_path):
        handle = gradspike.open_network(YINYANG)
        page.open(write(tmp_path, handle.check()), height=1000)
        h, row, column, *_ = handle.map().data["synapses"][0]
        x, y = cell(page, *spot(h, row, column))
        page.mouse(x, y)
        seen = text(page, "map-tip")
        for _ in range(4):
            page.evaluate(
                f"document.getElementById('map-canvas').dispatchEvent(new WheelEvent('wheel', {{clientX: {x}, "
                f"clientY: {y}, deltaY: -100, ctrlKey: true, cancelable: true}}))"
            )
            page.mouse(x, y)
            assert text(page, "map-tip") == seen

    def test_names_do_not_run(self, page, tmp_path):
        for report in hostile_reports():
            page.open(write(tmp_path, report))
            assert page.complaints() == [] and page.evaluate("typeof window.alerted") == "undefined"
            assert page.evaluate("document.querySelectorAll('img, h1 b, i[onclick]').length") == 0
        page.open(write(tmp_path, next(hostile_reports())), height=1000)
        page.mouse(*cell(page, 271, 0), click=True)
        assert "onerror" in text(page, "map-chosen") + text(page, "map-tip")
        assert page.evaluate("typeof window.alerted") == "undefined"

    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize(("width", "ratio"), [(1280, 1.0), (820, 1.0), (390, 3.0), (320, 2.0)])
    def test_layout_and_contrast(self, page, tmp_path, dark, width, ratio):
        inputs = (torch.rand(20, 6, 12) < 0.3).float()
        model = layers(12, 20, 3)
        path = write(tmp_path, chip.report(model, inputs, torch.zeros(6).long(), seeds=2, saturated_above=1e-4))
        page.open(path, width=width, height=800, dark=dark, ratio=ratio)
        assert page.complaints() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        worst = page.evaluate(CONTRAST)
        assert worst[0] >= 4.5, worst
        page.screenshot(tmp_path / "page.png", whole=True)
        assert (tmp_path / "page.png").stat().st_size > 20000


# Smallest contrast between a text and what lies behind it (WCAG 2.2, relative luminance), and where.
CONTRAST = """(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = (c) => c.slice(0, 3).map(linear)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (e) => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } };
  let worst = [99, ""];
  for (const e of document.querySelectorAll("body *")) {
    const written = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!written || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), front = light(parse(e instanceof SVGElement ? style.fill : style.color));
    const back = light(behind(e)), ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.tagName + " " + e.textContent.slice(0, 40)];
  }
  return worst;
})()"""
