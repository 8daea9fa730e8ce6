// A broker over WebSockets (aedes), and what it counted. Usage: mqtt.js PORT
// The password is "good-" and the user's name, or, of users whose names begin with "once", any that it has not seen. User "locked" is never authorised.
// Topics below "secret/" are not subscribed to. Each message on t/X is answered by one on prices/X, numbered for each X.
// GET /counts: what it counted, as JSON.
const http = require("node:http");
const { WebSocketServer, createWebSocketStream } = require("ws");

const counts = { connects: {}, refused: {}, subscribes: 0, denied: 0, published: [0, 0], acknowledged: 0, answered: 0, pings: {}, protocols: {} };
const seen = new Set();
const numbers = {};
const add = (of, key) => { of[key] = (of[key] || 0) + 1; };
const kind = (name) => String(name).replace(/\d+$/, "");

import("aedes").then(async ({ Aedes }) => {
  const broker = await Aedes.createBroker({ concurrency: 1000 });
  broker.authenticate = (client, user, password, done) => {
    const shown = String(password);
    const isGood = String(user).startsWith("once") ? !seen.has(shown) : shown === `good-${user}`;
    seen.add(shown);
    if (user === "locked" || !isGood) {
      add(counts.refused, kind(user));
      return done(Object.assign(new Error("no"), { returnCode: user === "locked" ? 5 : 4 }), null);
    }
    client.user = kind(user);
    add(counts.connects, client.user);
    done(null, true);
  };
  broker.authorizeSubscribe = (client, filter, done) => {
    const isSecret = filter.topic.startsWith("secret/");
    if (isSecret) counts.denied++; else counts.subscribes++;
    done(null, isSecret ? null : filter);
  };
  broker.on("publish", (packet, client) => {
    if (!client) return;
    counts.published[packet.qos]++;
    const who = packet.topic.slice(2);
    numbers[who] = (numbers[who] || 0) + 1;
    counts.answered++;
    broker.publish({ topic: `prices/${who}`, payload: JSON.stringify({ seq: numbers[who], kind: "price" }), qos: 1 }, () => {});
  });
  broker.on("ack", () => { counts.acknowledged++; });
  broker.on("ping", (packet, client) => add(counts.pings, client.user));
  const server = http.createServer((request, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(counts));
  });
  const sockets = new WebSocketServer({ server, handleProtocols: (offered) => (offered.has("mqtt") ? "mqtt" : false) });
  sockets.on("connection", (socket, request) => {
    add(counts.protocols, socket.protocol);
    const stream = createWebSocketStream(socket);
    stream.on("error", () => {});
    broker.handle(stream, request);
  });
  server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening"));
});
