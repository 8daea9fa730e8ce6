// Opens a page in headless Chromium, in light and dark, narrow and wide, and says what it saw, as JSON.
// Usage: look.js CHROMIUM FILE [SCREENSHOTS_FOLDER]

const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const VIEWS = [[1600, "light"], [1600, "dark"], [400, "light"], [400, "dark"]];

// Runs in the page: for each plot, how many of its pixels have a colour of its series.
function inkOfPlots() {
  const specs = JSON.parse(document.getElementById("plots").textContent);
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    return probe.getImageData(0, 0, 1, 1).data;
  };
  return specs.map((spec) => {
    const canvas = document.querySelector("#" + CSS.escape(spec.id) + " canvas");
    if (canvas === null) return { id: spec.id, ink: 0 };
    const style = getComputedStyle(document.documentElement);
    const colours = spec.series.map((series) => rgb(style.getPropertyValue("--c" + (series.colour % 8)).trim()));
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let ink = 0;
    for (let at = 0; at < pixels.length; at += 4) {
      const near = (colour) => Math.abs(pixels[at] - colour[0]) + Math.abs(pixels[at + 1] - colour[1]) + Math.abs(pixels[at + 2] - colour[2]) < 24;
      if (pixels[at + 3] > 200 && colours.some(near)) ink++;
    }
    return { id: spec.id, ink };
  });
}

// Drags over the middle of the first time plot, then clicks twice; answers with the ranges that all time plots show.
async function zoom(page) {
  const ranges = () => page.evaluate(() => {
    const specs = JSON.parse(document.getElementById("plots").textContent).filter((spec) => spec.kind === "time" || spec.kind === "stacked");
    return specs.map((spec) => { const { from, to } = document.getElementById(spec.id).dataset; return [Number(from), Number(to)]; });
  });
  const over = page.locator("#latency .u-over, #outcomes .u-over").first();
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * 0.3, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, y, { steps: 6 });
  await page.mouse.up();
  await page.waitForFunction(() => document.querySelector(".reset:not([hidden])") !== null);
  const zoomed = await ranges();
  // The cursor stands in every time plot.
  await page.mouse.move(box.x + box.width * 0.5, y);
  const readings = await page.evaluate(() => [...document.querySelectorAll(".legend .at")].filter((at) => at.textContent !== "").length);
  await page.mouse.dblclick(box.x + box.width * 0.5, y);
  await page.waitForFunction(() => document.querySelector("#latency .reset:not([hidden]), #outcomes .reset:not([hidden])") === null);
  return { zoomed, readings, whole: await ranges() };
}

async function look(browser, file, [width, scheme], folder) {
  const context = await browser.newContext({ viewport: { width, height: 1000 }, colorScheme: scheme });
  const page = await context.newPage();
  const seen = { width, scheme, messages: [], requests: [], dialogs: 0 };
  page.on("console", (message) => seen.messages.push(message.text()));
  page.on("pageerror", (error) => seen.messages.push(String(error)));
  page.on("dialog", (dialog) => { seen.dialogs++; dialog.dismiss(); });
  page.on("request", (request) => seen.requests.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  await page.waitForFunction(() => document.querySelectorAll(".chart canvas").length === document.querySelectorAll("figure.plot").length);
  // uPlot draws in a microtask; two frames later the pixels are there.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  seen.plots = await page.evaluate(inkOfPlots);
  seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  seen.paper = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  seen.scripts = await page.evaluate(() => document.scripts.length);
  if ((await page.locator("#latency .u-over, #outcomes .u-over").count()) > 0) seen.zoom = await zoom(page);
  await page.evaluate(() => document.querySelectorAll("details.data").forEach((details) => { details.open = true; }));
  await page.waitForFunction(() => document.querySelectorAll("details.data table").length === document.querySelectorAll("figure.plot").length);
  seen.rows = await page.evaluate(() => [...document.querySelectorAll("details.data table")].map((table) => table.tBodies[0].rows.length));
  seen.overflow_open = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  await page.evaluate(() => document.querySelectorAll("details.data").forEach((details) => { details.open = false; }));
  const button = page.locator(".legend button").first();
  await button.click();
  seen.pressed = await button.getAttribute("aria-pressed");
  await button.click();
  if (folder) await page.screenshot({ path: path.join(folder, `${path.basename(file)}-${width}-${scheme}.png`), fullPage: true });
  await context.close();
  return seen;
}

async function main() {
  const [executablePath, file, folder] = process.argv.slice(2);
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  const views = [];
  for (const view of VIEWS) views.push(await look(browser, path.resolve(file), view, folder));
  await browser.close();
  console.log(JSON.stringify(views));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
