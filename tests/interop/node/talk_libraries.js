// Servers of libraries that others wrote, and what they did. Usage: talk_libraries.js MODE PORT; `GET /counts` answers as JSON.
// socket-io: "ask" is acknowledged after 15 ms by {"ok":…}, where every tenth is not ok; pings each 300 ms.
// graphql-ws: the subscription "ticks" sends five numbered values and completes; "sum" is a query that is answered at once.
// stomp: receipts, and messages of one subscriber to all others of the same destination.
const http = require("node:http");

const counts = { sessions: 0, asked: 0, bad: 0, pings: 0, pongs: 0, subscribed: 0, sent: 0, queries: 0 };
const [mode, port] = process.argv.slice(2);
const server = http.createServer((request, response) => {
  if (!request.url.startsWith("/counts")) return;
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(counts));
});

const SERVERS = {
  "socket-io"() {
    const { Server } = require("socket.io");
    const io = new Server(server, { pingInterval: 300, pingTimeout: 2000 });
    io.use((socket, next) => (socket.handshake.auth.token === "t-" + socket.handshake.auth.n ? next() : next(new Error("unknown_token"))));
    io.on("connection", (socket) => {
      counts.sessions++;
      socket.conn.on("packetCreate", ({ type }) => { if (type === "ping") counts.pings++; });
      socket.conn.on("packet", ({ type }) => { if (type === "pong") counts.pongs++; });
      socket.on("ask", (n, acknowledge) => {
        counts.asked++;
        if (n % 10 === 0) counts.bad++;
        setTimeout(() => acknowledge({ ok: n % 10 !== 0, n }), 15);
      });
    });
  },

  "graphql-ws"() {
    const { GraphQLInt, GraphQLObjectType, GraphQLSchema } = require("graphql");
    const { useServer } = require("graphql-ws/use/ws");
    const { WebSocketServer } = require("ws");
    const query = new GraphQLObjectType({
      name: "Query",
      fields: { sum: { type: GraphQLInt, args: { a: { type: GraphQLInt }, b: { type: GraphQLInt } }, resolve: (_, { a, b }) => { counts.queries++; return a + b; } } },
    });
    const subscription = new GraphQLObjectType({
      name: "Subscription",
      fields: {
        ticks: {
          type: GraphQLInt,
          async *subscribe() {
            counts.subscribed++;
            for (let n = 1; n <= 5; n++) { counts.sent++; yield { ticks: n }; await new Promise((done) => setTimeout(done, 20)); }
          },
        },
      },
    });
    const sockets = new WebSocketServer({ server, path: "/graphql" });
    useServer({ schema: new GraphQLSchema({ query, subscription }), onConnect: () => { counts.sessions++; } }, sockets);
  },

  stomp() {
    const StompServer = require("stomp-broker-js");
    const broker = new StompServer({ server, path: "/ws" });
    broker.on("connected", () => counts.sessions++);
    broker.on("subscribe", () => counts.subscribed++);
    broker.on("send", () => counts.sent++);
  },
};
SERVERS[mode]();
server.listen(Number(port), "127.0.0.1", () => console.log("listening"));
