// Watches the page of a run under way in headless Chromium: its numbers move, a storm and the stop come from its buttons; and audits it, and a report.
// Usage: live.js CHROMIUM URL REPORT [SCREENSHOTS_FOLDER]; what it saw is printed as JSON. REPORT is a report.html of another run.

const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");
const { audit } = require("./audit.js");

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
// Who looks at them by eye sees one more width.
const VIEWS = (process.argv[5] ? [400, 800, 1600] : [400, 1600]).flatMap((width) => ["light", "dark"].map((scheme) => [width, scheme]));

async function open(browser, url, [width, scheme], messages) {
  const context = await browser.newContext({ viewport: { width, height: 1000 }, colorScheme: scheme });
  const page = await context.newPage();
  page.on("console", (message) => messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(String(error)));
  await page.goto(url);
  return page;
}

const figure = (page, name) => page.evaluate((wanted) => {
  const own = [...document.querySelectorAll("#now .figures > div")].find((div) => div.querySelector("dt").textContent === wanted);
  return Number(own.querySelector(".value").textContent.replaceAll(",", ""));
}, name);

const until = (page, state) => page.waitForFunction((wanted) => document.getElementById("live").dataset.state === wanted, state);

// Each view of a page, audited.
async function views(browser, url, name, folder, prepare) {
  const seen = [];
  for (const view of VIEWS) {
    const messages = [];
    const page = await open(browser, url, view, messages);
    await prepare(page);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (folder) await page.screenshot({ path: path.join(folder, `${name}-${view[0]}-${view[1]}.png`), fullPage: true });
    seen.push({ page: name, width: view[0], scheme: view[1], overflow, messages, ...(await audit(page)) });
    await page.context().close();
  }
  return seen;
}

async function main() {
  const [executablePath, url, file, folder] = process.argv.slice(2);
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  const messages = [];
  const page = await open(browser, url, [1600, "light"], messages);
  await until(page, "running");
  const before = await page.textContent("#live-time");
  await page.waitForFunction((old) => document.getElementById("live-time").textContent !== old, before);
  await page.waitForFunction(() => !document.querySelector("#now .figures .value").textContent.startsWith("0"));
  const seen = { address: page.url(), moved: [before, await page.textContent("#live-time")], connected: await figure(page, "Connected") };
  await page.selectOption("#live-fraction", "0.5");
  await page.click("#live-storm");
  await page.waitForFunction(() => document.getElementById("live-said").textContent !== "");
  seen.said = await page.textContent("#live-said");
  await page.waitForFunction(() => document.querySelector("#storms tbody tr").cells[2].textContent !== "" && document.querySelector("#storms tbody tr").cells[3].textContent === document.querySelector("#storms tbody tr").cells[2].textContent);
  seen.storm = await page.evaluate(() => [...document.querySelector("#storms tbody tr").cells].map((cell) => cell.textContent));
  seen.drawn = await page.evaluate(() => document.querySelectorAll(".chart canvas").length === document.querySelectorAll("figure.plot").length);
  // What is hidden and zoomed stays so when numbers come.
  const hide = page.locator("#moved .legend button").first();
  await hide.click();
  const time = await page.textContent("#live-time");
  await page.waitForFunction((old) => document.getElementById("live-time").textContent !== old, time);
  seen.pressed = await page.locator("#moved .legend button").first().getAttribute("aria-pressed");
  seen.views = await views(browser, url, "live", folder, (other) => until(other, "running"));
  await page.click("#live-stop");
  seen.sure = await page.textContent("#live-stop");
  await page.click("#live-stop");
  await until(page, "ended");
  await page.waitForFunction(() => !document.getElementById("live-report").hidden);
  seen.verdict = await page.textContent("#now .verdict .word");
  seen.disabled = await page.evaluate(() => document.getElementById("live-storm").disabled && document.getElementById("live-stop").disabled);
  // The process is gone, or about to be: the report is read without it.
  const [report] = await Promise.all([page.context().waitForEvent("page"), page.click("#live-report")]);
  report.on("console", (message) => messages.push(message.text()));
  await report.waitForFunction(() => document.querySelectorAll(".chart canvas").length > 3);
  seen.report = await report.textContent("#verdict .word");
  seen.ended = await audit(page);
  seen.messages = messages;
  seen.views.push(...(await views(browser, pathToFileURL(path.resolve(file)).href, "report", folder, async () => {})));
  await browser.close();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
