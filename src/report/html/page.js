// Draws the plots of a page with uPlot, and their tables. The data is in the element #plots; nothing is fetched.
(function () {
  "use strict";

  const HEIGHT = { time: 240, stacked: 240, percentile: 280, recovery: 320, blind: 320, releases: 220, choices: 300 };
  const COLOURS = 8;
  const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  const DASHES = { solid: [], dashed: [7, 4], dotted: [2, 3] };
  const charts = [];

  // ---- numbers -------------------------------------------------------------------------------------------------------

  // "12,,5*3" -> [12, null, 5, 5, 5]
  function unpack(text) {
    const values = [];
    if (text === "") return values;
    for (const part of text.split(",")) {
      const [value, times] = part.startsWith("*") ? ["", part.slice(1)] : part.split("*");
      const number = value === "" ? null : Number(value);
      for (let n = times === undefined ? 1 : Number(times); n > 0; n--) values.push(number);
    }
    return values;
  }

  function places(x) {
    if (x.at !== undefined) return unpack(x.at);
    return Array.from({ length: x.count }, (_, n) => x.from + n * x.step);
  }

  const trim = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

  // Three digits, as the summary has them.
  function digits(value) {
    const size = Math.abs(value);
    return value.toFixed(size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : 2);
  }

  function duration(us) {
    const size = Math.abs(us);
    if (size < 1e3) return trim(digits(us)) + " µs";
    if (size < 1e6) return digits(us / 1e3) + " ms";
    if (size < 12e7) return digits(us / 1e6) + " s";
    return digits(us / 6e7) + " min";
  }

  function clock(seconds) {
    const whole = Math.floor(seconds);
    const part = seconds - whole > 1e-9 ? trim((seconds - whole).toFixed(3)).slice(1) : "";
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor((whole % 3600) / 60);
    if (hours > 0) return hours + ":" + two(minutes) + ":" + two(whole % 60) + part;
    return minutes + ":" + two(whole % 60) + part;
  }

  const grouped = (value) => value.toLocaleString("en-GB", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
  const share = (value) => trim((100 * value).toFixed(value > 0 && value < 0.1 ? 2 : 1)) + " %";

  // The percentile of a place of the percentile axis: 1000 -> 99.9 %.
  function percentile(x) {
    const nines = Math.max(0, Math.ceil(Math.log10(x) - 1e-9));
    return trim((100 * (1 - 1 / x)).toFixed(Math.max(0, nines - 1) + (Number.isInteger(Math.round(Math.log10(x) * 1e6) / 1e6) ? 0 : 1))) + " %";
  }

  const number = (value) => (value !== 0 && Math.abs(value) < 0.1 ? String(Number(value.toPrecision(3))) : grouped(value));
  function bytes(value) {
    const power = value === 0 ? 0 : Math.min(5, Math.max(0, Math.floor(Math.log2(Math.abs(value)) / 10)));
    return number(value / 1024 ** power) + " " + ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][power];
  }

  const VALUES = { us: duration, count: grouped, per_second: (value) => grouped(value), share, number, bytes };
  const UNITS = { us: "", count: "", per_second: " per second", share: "", number: "", bytes: "" };
  const US = { unit: "us" };
  const PLACES = {
    time: { name: "time since the start in [h:]min:s", show: clock },
    stacked: { name: "time since the start in [h:]min:s", show: clock },
    percentile: { name: "percentile", show: percentile },
    recovery: { name: "time since cut off", show: duration },
    blind: { name: "time since cut off", show: duration },
    releases: { name: "release", show: (value) => (Number.isInteger(value) ? String(value) : "") },
  };

  // What the horizontal axis is called, and what a place of it is.
  const placesName = (spec) => (spec.kind === "choices" ? spec.choices.name : PLACES[spec.kind].name);
  const placeName = (spec, value) => (spec.kind === "choices" ? spec.choices.values[value] || "" : PLACES[spec.kind].show(value));

  // ---- colours: those of the style, so that they follow light, dark and paper ----------------------------------------------

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  // ---- a chart -------------------------------------------------------------------------------------------------------

  const isSince = (spec) => spec.kind === "recovery" || spec.kind === "blind";
  const isTime = (spec) => spec.kind === "time" || spec.kind === "stacked";
  const isStepped = (spec) => spec.kind !== "percentile" && spec.kind !== "releases" && spec.kind !== "choices" && !(spec.kind === "time" && spec.unit === "us");

  // The sums that are drawn, the topmost first, so that each area covers the lower part of the one behind it.
  function stack(chart) {
    const sums = new Array(chart.x.length).fill(0);
    const layers = chart.values.map((values, index) => {
      if (!chart.shown[index]) return values.map(() => null);
      values.forEach((value, place) => { sums[place] += value === null ? 0 : value; });
      return sums.slice();
    });
    return layers.reverse();
  }

  function drawn(chart) {
    return [chart.x, ...(chart.spec.kind === "stacked" ? stack(chart) : chart.values)];
  }

  // Index of a spec's series in the chart, in which that of a stacked one are turned around.
  const seat = (chart, index) => (chart.spec.kind === "stacked" ? chart.values.length - index : index + 1);

  // Points that no line would show: those without a neighbour.
  function lonely(values) {
    const found = [];
    for (let n = 0; n < values.length; n++) {
      if (values[n] !== null && values[n] !== undefined && (n === 0 || values[n - 1] === null) && (n + 1 === values.length || values[n + 1] === null)) found.push(n);
    }
    return found;
  }

  function series(chart, index) {
    const spec = chart.spec.series[index];
    const ink = () => colour("c" + (spec.colour % COLOURS));
    const stacked = chart.spec.kind === "stacked";
    const settings = {
      label: spec.name,
      stroke: ink,
      width: stacked ? 0 : spec.line === "solid" ? 2 : 1.5,
      dash: DASHES[spec.line],
      fill: stacked ? ink : undefined,
      points: { show: !stacked && !isStepped(chart.spec), size: 5, fill: ink, filter: (plot, at, show) => (!show ? [] : chart.spec.kind === "choices" ? chart.x.map((_, n) => n).filter((n) => plot.data[at][n] !== null) : lonely(plot.data[at])) },
    };
    if (isStepped(chart.spec)) settings.paths = uPlot.paths.stepped({ align: 1 });
    return settings;
  }

  function drawMarks(chart, plot) {
    const { ctx, bbox } = plot;
    const ratio = uPlot.pxRatio;
    ctx.save();
    ctx.font = 11 * ratio + "px system-ui, sans-serif";
    ctx.lineWidth = ratio;
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    let taken = -Infinity;
    let row = 0;
    for (const mark of chart.spec.marks) {
      const at = Math.round(plot.valToPos(mark.at, mark.is_vertical ? "x" : "y", true));
      const inside = mark.is_vertical ? at >= bbox.left && at <= bbox.left + bbox.width : at >= bbox.top && at <= bbox.top + bbox.height;
      if (!inside) continue;
      ctx.strokeStyle = colour("muted");
      ctx.fillStyle = colour("ink");
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      ctx.beginPath();
      if (mark.is_vertical) {
        ctx.moveTo(at, bbox.top);
        ctx.lineTo(at, bbox.top + bbox.height);
      } else {
        ctx.moveTo(bbox.left, at);
        ctx.lineTo(bbox.left + bbox.width, at);
      }
      ctx.stroke();
      if (!mark.is_vertical) {
        if (mark.label !== "") writeOver(ctx, mark.label, bbox.left + 4 * ratio, at + 3 * ratio, ratio);
        continue;
      }
      // Labels that would overlap stand below each other; those that would leave the plot stand to the left of their line.
      const width = ctx.measureText(mark.label).width;
      const left = at + width + 6 * ratio > bbox.left + bbox.width ? at - width - 4 * ratio : at + 4 * ratio;
      row = left < taken ? row + 1 : 0;
      taken = Math.max(row === 0 ? -Infinity : taken, left + width + 4 * ratio);
      writeOver(ctx, mark.label, left, bbox.top + (3 + 14 * (row % 4)) * ratio, ratio);
    }
    if (isSince(chart.spec)) drawReached(chart, plot);
    ctx.restore();
  }

  // A label on a ground of its own, so that it can be read over whatever is drawn there.
  function writeOver(ctx, label, left, top, ratio) {
    ctx.globalAlpha = 0.85;
    ctx.fillStyle = colour("paper");
    ctx.fillRect(left - 2 * ratio, top - ratio, ctx.measureText(label).width + 4 * ratio, 13 * ratio);
    ctx.globalAlpha = 1;
    ctx.fillStyle = colour("ink");
    ctx.fillText(label, left, top);
  }

  // A dot where each curve reaches a share that is marked.
  function drawReached(chart, plot) {
    const { ctx, bbox } = plot;
    const sign = chart.spec.kind === "blind" ? -1 : 1;
    chart.values.forEach((values, index) => {
      if (!chart.shown[index]) return;
      for (const mark of chart.spec.marks.filter((mark) => !mark.is_vertical)) {
        const place = values.findIndex((value) => value !== null && sign * (value - mark.at) >= -1e-5);
        const x = place < 0 ? -1 : plot.valToPos(chart.x[place], "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.arc(x, plot.valToPos(mark.at, "y", true), 4 * uPlot.pxRatio, 0, 2 * Math.PI);
        ctx.fillStyle = colour("c" + (chart.spec.series[index].colour % COLOURS));
        ctx.strokeStyle = colour("paper");
        ctx.setLineDash([]);
        ctx.fill();
        ctx.stroke();
      }
    });
  }

  function percentileSplits(plot, axis, low, high) {
    const wanted = [1, 2, 4];
    for (let x = 10; x <= high * 1.0001; x *= 10) wanted.push(x);
    return wanted.filter((x) => x >= low * 0.9999 && x <= high * 1.0001 && (plot.width > 480 || x !== 4));
  }

  function logSplits(plot, axis, low, high) {
    const wanted = [];
    const wide = high / low > 300;
    for (let base = Math.pow(10, Math.floor(Math.log10(low))); base <= high; base *= 10) {
      for (const step of wide ? [1] : [1, 2, 5]) wanted.push(base * step);
    }
    return wanted.filter((value) => value >= low * 0.9999 && value <= high * 1.0001);
  }

  // A logarithmic axis ends where its values do, at 1, 2 or 5 times a power of ten.
  function logRange(low, high) {
    const steps = [1, 2, 5, 10];
    const down = Math.pow(10, Math.floor(Math.log10(Math.max(low, 1e-9))));
    const up = Math.pow(10, Math.floor(Math.log10(Math.max(high, 1e-9))));
    const first = Math.max(...steps.filter((step) => step * down <= low * 1.0001)) * down;
    const last = Math.min(...steps.filter((step) => step * up >= high * 0.9999)) * up;
    return last > first ? [first, last] : [first, first * 10];
  }

  function axes(chart) {
    const { spec } = chart;
    const common = { stroke: () => colour("muted"), font: FONT, labelFont: FONT, grid: { stroke: () => colour("grid"), width: 1 }, ticks: { stroke: () => colour("line"), width: 1, size: 4 } };
    const x = { ...common, label: placesName(spec), labelSize: 18, size: 30, space: 70, values: (plot, splits) => splits.map((value) => (value === null ? "" : isSince(spec) ? axisValue(US, value) : placeName(spec, value))) };
    const y = { ...common, label: spec.y_label + UNITS[spec.unit], labelSize: 18, size: 66, values: (plot, splits) => splits.map((value) => (value === null ? "" : axisValue(spec, value))) };
    if (spec.kind === "percentile") Object.assign(x, { splits: percentileSplits, filter: (plot, splits) => splits, space: 40 });
    if (spec.kind === "releases" || spec.kind === "choices") x.incrs = [1, 2, 5, 10, 20, 50, 100];
    if (isTime(spec)) x.incrs = [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
    if (spec.log_y) Object.assign(y, { splits: logSplits, filter: (plot, splits) => splits });
    if (spec.unit === "count" && !spec.log_y) y.incrs = [1, 2, 5].flatMap((step) => Array.from({ length: 10 }, (_, power) => step * Math.pow(10, power))).sort((a, b) => a - b);
    if (spec.unit === "bytes") y.incrs = Array.from({ length: 6 }, (_, power) => power).flatMap((power) => [1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * 1024 ** power));
    if (isSince(spec)) y.splits = () => [0, 0.25, 0.5, 0.75, 1];
    return [x, y];
  }

  function axisValue(spec, value) {
    if (spec.unit !== "us") return VALUES[spec.unit](value);
    if (value === 0) return "0";
    if (value < 1e3) return trim(value.toFixed(1)) + " µs";
    if (value < 1e6) return trim((value / 1e3).toFixed(2)) + " ms";
    if (value < 12e7) return trim((value / 1e6).toFixed(2)) + " s";
    return trim((value / 6e7).toFixed(1)) + " min";
  }

  function scales(chart) {
    const { spec } = chart;
    const x = { time: false };
    if (spec.kind === "percentile") Object.assign(x, { distr: 3, range: (plot, low, high) => [low, high > low ? high : low * 10] });
    else if (spec.kind === "choices") x.range = (plot, low, high) => [low - 0.4, high + 0.4];
    else x.range = (plot, low, high) => [low, high > low ? high : low + 1];
    const y = {};
    const fixed = spec.y_range;
    if (spec.log_y) Object.assign(y, { distr: 3, range: (plot, low, high) => (fixed ? logRange(fixed[0], fixed[1]) : low === null ? [1, 10] : logRange(low, high)) });
    else if (isSince(spec)) y.range = () => [0, 1.04];
    else y.range = (plot, low, high) => (fixed ? [fixed[0], fixed[1] * 1.05] : [0, high > 0 ? high * 1.08 : 1]);
    return { x, y };
  }

  // ---- legend: a button for each series, and its value under the cursor ------------------------------------------------------

  function swatch(spec, kind) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", "18");
    svg.setAttribute("height", "10");
    const stacked = kind === "stacked";
    const mark = document.createElementNS("http://www.w3.org/2000/svg", stacked ? "rect" : "line");
    const numbers = stacked ? { x: 4, y: 0, width: 10, height: 10 } : { x1: 0, x2: 18, y1: 5, y2: 5, "stroke-width": 2, "stroke-dasharray": DASHES[spec.line].join(" ") || "none" };
    for (const [name, value] of Object.entries(numbers)) mark.setAttribute(name, value);
    mark.style[stacked ? "fill" : "stroke"] = "var(--c" + (spec.colour % COLOURS) + ")";
    svg.append(mark);
    return svg;
  }

  function buildLegend(chart) {
    const box = chart.figure.querySelector(".legend");
    chart.readings = chart.spec.series.map((spec, index) => {
      const button = document.createElement("button");
      const reading = document.createElement("span");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      reading.className = "reading";
      button.append(swatch(spec, chart.spec.kind), document.createTextNode(spec.name), reading);
      button.addEventListener("click", () => toggle(chart, index, button));
      box.append(button);
      return reading;
    });
    chart.at = document.createElement("span");
    chart.at.className = "at";
    box.append(chart.at);
  }

  function toggle(chart, index, button) {
    chart.shown[index] = !chart.shown[index];
    button.setAttribute("aria-pressed", String(chart.shown[index]));
    if (chart.spec.kind === "stacked") {
      const { min, max } = chart.plot.scales.x;
      quietly(() => { chart.plot.setData(drawn(chart)); chart.plot.setScale("x", { min, max }); });
    }
    chart.plot.setSeries(seat(chart, index), { show: chart.shown[index] });
  }

  function read(chart, index) {
    const known = index !== null && index !== undefined;
    chart.at.textContent = known ? "at " + placeName(chart.spec, chart.x[index]) : "";
    chart.readings.forEach((reading, at) => {
      const value = known ? chart.values[at][index] : null;
      reading.textContent = !known ? "" : value === null || value === undefined ? "–" : VALUES[chart.spec.unit](value);
    });
  }

  // ---- zoom: the time plots go together -----------------------------------------------------------------------------------

  let quiet = false;
  function quietly(action) {
    const before = quiet;
    quiet = true;
    action();
    quiet = before;
  }

  function zoomed(chart, key) {
    if (key !== "x") return;
    const { min, max } = chart.plot.scales.x;
    const whole = min <= chart.x[0] && max >= chart.x[chart.x.length - 1];
    chart.figure.dataset.from = String(min);
    chart.figure.dataset.to = String(max);
    chart.figure.querySelector(".reset").hidden = whole;
    if (quiet || !isTime(chart.spec)) return;
    quietly(() => {
      for (const other of charts) {
        if (other === chart || !isTime(other.spec)) continue;
        // The hooks of the others run later, outside of this call: without a change there is nothing to pass on.
        const at = other.plot.scales.x;
        if (at.min !== min || at.max !== max) other.plot.setScale("x", { min, max });
      }
    });
  }

  function build(spec) {
    const figure = document.getElementById(spec.id);
    const chart = { spec, figure, x: places(spec.x), values: spec.series.map((one) => unpack(one.values)), shown: spec.series.map(() => true), plot: null, gone: new AbortController() };
    pad(chart);
    const box = figure.querySelector(".chart");
    buildLegend(chart);
    const order = spec.series.map((_, index) => index);
    if (spec.kind === "stacked") order.reverse();
    chart.plot = new uPlot({
      width: Math.max(box.clientWidth, 200),
      height: HEIGHT[spec.kind],
      legend: { show: false },
      cursor: { points: { show: spec.kind !== "stacked" }, drag: { x: true, y: false, setScale: true }, sync: isTime(spec) ? { key: "time", scales: ["x", null] } : undefined },
      scales: scales(chart),
      axes: axes(chart),
      series: [{}, ...order.map((index) => series(chart, index))],
      hooks: {
        draw: [(plot) => drawMarks(chart, plot)],
        setCursor: [(plot) => read(chart, plot.cursor.idx)],
        setScale: [(plot, key) => { if (chart.plot) zoomed(chart, key); }],
      },
    }, drawn(chart), box);
    const whole = () => chart.plot.setScale("x", { min: chart.x[0], max: chart.x[chart.x.length - 1] });
    figure.querySelector(".reset").addEventListener("click", whole, { signal: chart.gone.signal });
    const data = figure.querySelector(".data");
    data.addEventListener("toggle", () => { if (data.open) buildTable(chart); }, { signal: chart.gone.signal });
    const observer = new ResizeObserver(() => {
      const width = box.clientWidth;
      if (width > 0 && width !== chart.plot.width) chart.plot.setSize({ width, height: HEIGHT[spec.kind] });
    });
    observer.observe(box);
    chart.gone.signal.addEventListener("abort", () => observer.disconnect());
    charts.push(chart);
    return chart;
  }

  // The last step lasts until the end of its interval, and all time plots end there.
  function pad(chart) {
    const { spec } = chart;
    if (!isTime(spec) || spec.x.step === undefined) return;
    chart.x.push(spec.x.from + spec.x.step * spec.x.count);
    chart.values.forEach((values) => values.push(isStepped(spec) ? values[values.length - 1] : null));
    chart.padded = true;
  }

  // The same plot with other numbers. One that is zoomed stays so.
  function renew(spec) {
    const place = charts.findIndex((chart) => chart.spec.id === spec.id);
    if (place < 0) return;
    const chart = charts[place];
    const names = (of) => of.series.map((one) => one.name).join("\n");
    const zoomed = !chart.figure.querySelector(".reset").hidden;
    if (names(chart.spec) !== names(spec)) return quietly(() => rebuild(place, spec));
    Object.assign(chart, { spec, x: places(spec.x), values: spec.series.map((one) => unpack(one.values)) });
    pad(chart);
    quietly(() => {
      chart.plot.setData(drawn(chart), !zoomed);
      if (zoomed) chart.plot.redraw(true, true);
    });
    if (chart.figure.querySelector(".data").open) buildTable(chart);
  }

  // A plot with other series: those that are hidden stay so.
  function rebuild(place, spec) {
    const old = charts[place];
    const hidden = new Set(old.spec.series.filter((_, index) => !old.shown[index]).map((one) => one.name));
    old.gone.abort();
    old.plot.destroy();
    old.figure.querySelector(".legend").replaceChildren();
    old.figure.querySelector(".reset").hidden = true;
    const chart = build(spec);
    charts.splice(charts.indexOf(chart), 1);
    charts[place] = chart;
    chart.figure.querySelectorAll(".legend button").forEach((button, index) => {
      if (hidden.has(spec.series[index].name)) toggle(chart, index, button);
    });
    if (chart.figure.querySelector(".data").open) buildTable(chart);
  }

  // ---- the table of a plot ------------------------------------------------------------------------------------------------

  function buildTable(chart) {
    const table = document.createElement("table");
    const row = (parent, tag, cells) => {
      const line = document.createElement("tr");
      for (const text of cells) {
        const cell = document.createElement(tag);
        cell.textContent = text;
        line.append(cell);
      }
      parent.append(line);
    };
    row(table.createTHead(), "th", [placesName(chart.spec), ...chart.spec.series.map((one) => one.name + UNITS[chart.spec.unit])]);
    const body = table.createTBody();
    const count = chart.x.length - (chart.padded ? 1 : 0);
    for (let n = 0; n < count; n++) {
      const cells = chart.values.map((values) => (values[n] === null || values[n] === undefined ? "–" : VALUES[chart.spec.unit](values[n])));
      row(body, "td", [placeName(chart.spec, chart.x[n]), ...cells]);
    }
    chart.figure.querySelector(".data .scroll").replaceChildren(table);
  }

  // ---- begin ----------------------------------------------------------------------------------------------------------------

  quietly(() => JSON.parse(document.getElementById("plots").textContent).forEach((spec) => build(spec)));
  // For the page of a run under way, which is told new numbers.
  window.renewPlot = renew;
  const repaint = () => charts.forEach((chart) => chart.plot.redraw(false, true));
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", repaint);
})();
