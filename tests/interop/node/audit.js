// What axe-core finds in pages against WCAG 2.0 to 2.2, levels A and AA.
// In: an open page of a browser. Out: the violations, each with where and why.

const fs = require("node:fs");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

async function audit(page) {
  // Evaluated by the browser's debugger, which the page's policy does not bind.
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate((values) => window.axe.run(document, { runOnly: { type: "tag", values } }), TAGS);
  const found = violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 5).map((node) => node.target.join(" ") + ": " + node.failureSummary) }));
  return { violations: found, passes: passes.length };
}

module.exports = { audit };
