// A service that answers and sends numbered messages, and knows what it did. Usage: talk.js PORT
// /echo: each {"id":n} is answered after 15 ms by {"id":n,"ok":…}, where every tenth is not ok.
// /topics?c=CLIENT: two topics, numbered for the whole service, one message of each in 20 ms; every 7th of "a" is left out, every 9th of "b" comes twice, and every 11th
// of "b" comes after its successor.
// GET /counts: what it did, as JSON.
const http = require("node:http");
const { WebSocketServer } = require("ws");

const counts = { asked: 0, answered: 0, bad: 0, cut_off: 0, took_ms: [], told: {}, pongs: 0 };
const server = http.createServer((request, response) => {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(counts));
});
const sockets = new WebSocketServer({ server });

sockets.on("connection", (socket, request) => {
  const url = new URL(request.url, "http://service");
  if (url.pathname === "/topics") {
    const told = (counts.told[url.searchParams.get("c")] ||= []);
    const follower = { socket, told };
    followers.add(follower);
    socket.on("close", () => followers.delete(follower));
    return;
  }
  socket.on("message", (data) => {
    const begun = process.hrtime.bigint();
    const { id } = JSON.parse(String(data));
    counts.asked++;
    setTimeout(() => {
      if (socket.readyState !== socket.OPEN) { counts.cut_off++; return; }
      counts.answered++;
      if (id % 10 === 0) counts.bad++;
      socket.send(JSON.stringify({ id, ok: id % 10 !== 0 }));
      counts.took_ms.push(Number(process.hrtime.bigint() - begun) / 1e6);
    }, 15);
  });
});

const followers = new Set();
const numbers = { a: 100, b: 500000 };
function tell(topic, seq) {
  const message = JSON.stringify({ topic, seq, at: Date.now() });
  for (const { socket, told } of followers) {
    if (socket.readyState !== socket.OPEN) continue;
    socket.send(message);
    told.push([topic, seq]);
  }
}
setInterval(() => {
  const a = ++numbers.a;
  if (a % 7 !== 0) tell("a", a);
  const b = ++numbers.b;
  if (b % 11 === 0) return;                 // its successor comes first
  tell("b", b);
  if ((b - 1) % 11 === 0) tell("b", b - 1);
  if (b % 9 === 0) tell("b", b);
}, 20);
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening"));
