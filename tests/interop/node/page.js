// A browser app of another origin than its service: token, WebSocket, close, fresh token, back, in headless Chromium. Prints what the page saw, as JSON.
// Usage: page.js CHROMIUM SERVICE
const http = require("node:http");
const { chromium } = require("playwright-core");

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

// Runs in the page.
async function app([service, path, turns]) {
  const seen = [];
  const form = new URLSearchParams({ grant_type: "client_credentials", client_id: "page", client_secret: "s" });
  for (let turn = 0; turn < turns; turn++) {
    let token;
    try {
      // A header of its own makes the browser ask first.
      const answer = await fetch(`http://${service}/oauth/token`, { method: "POST", body: form, headers: { "X-App": "1" } });
      token = (await answer.json()).access_token;
    } catch (error) {
      seen.push(`no token: ${error.name}`);
      return seen;
    }
    const socket = new WebSocket(`ws://${service}${path}?access_token=${token}`);
    const code = await new Promise((resolve) => {
      socket.onopen = () => seen.push("open");
      socket.onclose = (close) => resolve(close.code);
    });
    seen.push(code);
  }
  return seen;
}

async function main() {
  const [executablePath, service] = process.argv.slice(2);
  const page = http.createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html><title>app</title>"));
  await new Promise((resolve) => page.listen(Number(process.argv[4] || 0), "127.0.0.1", resolve));
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  try {
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${page.address().port}/`);
    console.log(JSON.stringify(await tab.evaluate(app, [service, "/api/v2/analytics/events", 3])));
  } finally {
    await browser.close();
    page.close();
  }
}

main().catch((error) => { console.error(error); process.exitCode = 1; });
