// Keeps the page of a run under way up to date, and asks for storms and the run's stop. What it shows stays when the run is gone.
(function () {
  "use strict";

  const at = (id) => document.getElementById(id);
  const [box, time, said, storm, stop, fraction, report] = ["live", "live-time", "live-said", "live-storm", "live-stop", "live-fraction", "live-report"].map(at);
  // How long a second click on stop is waited for.
  const SURE_MS = 4000;
  let isSure = false;
  let isStopping = false;

  // ---- what is told ----------------------------------------------------------------------------------------------------

  const element = (tag, text, name) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (name) made.className = name;
    return made;
  };

  function showVerdict({ tone, title, reasons }) {
    const verdict = document.querySelector("#now .verdict");
    verdict.className = "verdict " + tone;
    const parts = [element("p", title, "word")];
    if (reasons.length > 0) {
      const list = document.createElement("ul");
      list.append(...reasons.map((reason) => element("li", reason)));
      parts.push(list);
    }
    verdict.replaceChildren(...parts);
  }

  function showFigures(figures) {
    document.querySelectorAll("#now .figures > div").forEach((div, index) => {
      const { value, detail, tone } = figures[index];
      div.className = tone;
      div.querySelector(".value").textContent = value;
      div.querySelector(".detail").textContent = detail;
    });
  }

  function showTable(id, rows) {
    const table = document.querySelector("#" + id + " > .scroll > table");
    const isText = [...table.tHead.rows[0].cells].map((cell) => cell.className);
    const lines = rows.map((cells) => {
      const line = document.createElement("tr");
      line.append(...cells.map((text, index) => element("td", text, isText[index])));
      return line;
    });
    table.tBodies[0].replaceChildren(...lines);
  }

  function show(news) {
    const isOver = news.state === "ended";
    box.dataset.state = news.state;
    time.textContent = news.time;
    showVerdict(news.verdict);
    showFigures(news.figures);
    for (const [id, rows] of Object.entries(news.tables)) showTable(id, rows);
    news.plots.forEach((plot) => window.renewPlot(plot));
    const canStrike = news.state === "running" && !isStopping;
    storm.disabled = fraction.disabled = !canStrike;
    stop.disabled = isOver || news.state === "waiting";
    document.title = (isOver ? news.verdict.title : news.time) + " – " + document.querySelector("h1").textContent;
    if (isOver) end();
  }

  // The report is taken at once: who serves it is gone with the run.
  async function end() {
    source.close();
    try {
      const answer = await fetch("report.html");
      if (!answer.ok) throw new Error(String(answer.status));
      report.href = URL.createObjectURL(new Blob([await answer.text()], { type: "text/html" }));
      report.hidden = false;
      said.textContent = "The run has ended. This page keeps its last numbers.";
    } catch {
      said.textContent = "The run has ended. Its report is in the run folder.";
    }
  }

  const source = new EventSource("events");
  source.addEventListener("message", (message) => {
    if (box.dataset.state === "lost") said.textContent = "";
    show(JSON.parse(message.data));
  });
  source.addEventListener("error", () => {
    if (box.dataset.state === "ended") return;
    box.dataset.state = "lost";
    storm.disabled = stop.disabled = fraction.disabled = true;
    said.textContent = "Nothing is heard of the run any more. These are its last numbers; its report is in the run folder.";
  });

  // ---- what is asked for -----------------------------------------------------------------------------------------------

  async function ask(path, body) {
    try {
      const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      said.textContent = (await answer.json()).message;
      return answer.ok;
    } catch {
      said.textContent = "The run does not answer.";
      return false;
    }
  }

  storm.addEventListener("click", () => ask("storm", { fraction: Number(fraction.value) }));

  function label() {
    stop.textContent = isSure ? "Click again to " + (isStopping ? "cut off" : "stop") : isStopping ? "Cut off the clients" : "Stop the run";
  }

  stop.addEventListener("click", async () => {
    isSure = !isSure;
    label();
    if (isSure) {
      setTimeout(() => { isSure = false; label(); }, SURE_MS);
      return;
    }
    if (await ask("stop", {})) {
      isStopping = true;
      storm.disabled = fraction.disabled = true;
      label();
    }
  });
})();
