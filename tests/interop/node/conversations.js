// Servers of libraries that others wrote, for the conversations of our scenarios: `conversations.js socket-io | graphql-ws | json-rpc`. Tokens by POST /oauth/token;
// one that it did not issue is refused. The first line on stdout is the port of the service and that of the token endpoint; on SIGTERM it prints what it
// counted, and ends.
'use strict';
const http = require('http');
const { randomUUID } = require('crypto');

const counts = { tokens: 0, sessions: 0, refused: 0, asked: 0, sent: 0, pings: 0, pongs: 0, subscribed: 0, completed: 0, methods: {} };
const tokens = new Set();
const tell = (service, endpoint) => console.log(service, endpoint);

function issue(request, answer) {
  request.resume().on('end', () => {
    const token = randomUUID();
    tokens.add(token);
    counts.tokens += 1;
    answer.writeHead(200, { 'Content-Type': 'application/json' });
    answer.end(JSON.stringify({ access_token: token, token_type: 'bearer', expires_in: 3600 }));
  });
}
const isKnown = (token) => {
  if (!tokens.has(token)) counts.refused += 1;
  return tokens.has(token);
};

const SERVERS = {
  // An event is acknowledged, and followed by news of the session's own numbering.
  'socket-io'(server) {
    const { Server } = require('socket.io');
    const io = new Server(server, { pingInterval: 300, pingTimeout: 1500 });
    io.use((socket, next) => next(isKnown(socket.handshake.auth.token) ? undefined : new Error('unknown_token')));
    io.on('connection', (socket) => {
      counts.sessions += 1;
      let news = 0;
      socket.conn.on('packetCreate', ({ type }) => { if (type === 'ping') counts.pings += 1; });
      socket.conn.on('packet', ({ type }) => { if (type === 'pong') counts.pongs += 1; });
      socket.on('ask', (n, acknowledge) => {
        counts.asked += 1;
        acknowledge({ ok: true, n });
        counts.sent += 1;
        news += 1;
        socket.emit('news', { n: news });
      });
    });
  },

  'graphql-ws'(server) {
    const { GraphQLInt, GraphQLObjectType, GraphQLSchema } = require('graphql');
    const { useServer } = require('graphql-ws/use/ws');
    const { WebSocketServer } = require('ws');
    const int = { type: GraphQLInt };
    const sum = { ...int, args: { a: int, b: int }, resolve: (_, { a, b }) => { counts.asked += 1; return a + b; } };
    async function* subscribe() {
      counts.subscribed += 1;
      for (let n = 1; n <= 5; n++) {
        counts.sent += 1;
        yield { ticks: n };
        await new Promise((done) => setTimeout(done, 20));
      }
      counts.completed += 1;
    }
    const schema = new GraphQLSchema({
      query: new GraphQLObjectType({ name: 'Query', fields: { sum } }),
      subscription: new GraphQLObjectType({ name: 'Subscription', fields: { ticks: { ...int, subscribe } } }),
    });
    const onConnect = ({ connectionParams }) => {
      const known = isKnown(connectionParams?.token);
      counts.sessions += known;
      return known;
    };
    useServer({ schema, onConnect }, new WebSocketServer({ server, path: '/graphql' }), 500);
  },
};

// An Ethereum node of its own port, which logs each call by its method; a block each 100 ms.
async function jsonRpc() {
  const ganache = require('ganache');
  const log = (line) => { if (/^eth_\w+$/.test(line)) counts.methods[line] = (counts.methods[line] || 0) + 1; };
  const node = ganache.server({ logging: { logger: { log } }, wallet: { totalAccounts: 1 } });
  await node.listen(0, '127.0.0.1');
  setInterval(() => node.provider.request({ method: 'evm_mine', params: [] }).then(() => { counts.sent += 1; }), 100);
  return node.address().port;
}

const server = http.createServer(issue);
server.listen(0, '127.0.0.1', async () => {
  const mode = process.argv[2];
  const endpoint = server.address().port;
  SERVERS[mode]?.(server);
  tell(mode === 'json-rpc' ? await jsonRpc() : endpoint, endpoint);
});
process.on('SIGTERM', () => process.stdout.write(`${JSON.stringify(counts)}\n`, () => process.exit(0)));
setTimeout(() => process.exit(3), 120000).unref();
