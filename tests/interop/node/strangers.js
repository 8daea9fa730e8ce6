// Services of libraries that we did not write, with tokens that end after three seconds: `strangers.js socket.io | graphql-ws | oidc-provider`.
// A token is `CLIENT.RANDOM`, so whoever shows one is known, also where it was never good; oidc-provider's own tokens are known by it.
// The first line on stdout is the port; on SIGTERM it prints what it counted, and ends.
const http = require('http');
const { randomUUID } = require('crypto');
const { WebSocketServer } = require('ws');

const LIFE = 3;
const counts = { tokens: {}, admitted: {}, refused: {}, closes: {}, token_refusals: {} };
const count = (name, key) => { counts[name][key] = (counts[name][key] || 0) + 1; };
const owner = (token) => token.split('.')[0];
const onClose = (socket) => socket.on('close', (code) => count('closes', code));

const ends = new Map();
const left = (token) => Math.max(ends.get(token) - Date.now(), 0);
const whyNot = (token) => {
  if (!token) return 'no_token';
  if (!ends.has(token)) return 'unknown_token';
  return left(token) === 0 ? 'expired_token' : null;
};
const judged = (token) => {
  const why = whyNot(token);
  if (why) count('refused', `${owner(token)} ${why}`);
  else count('admitted', owner(token));
  return why;
};

function issue(request, answer) {
  let form = '';
  request.on('data', (part) => { form += part; });
  request.on('end', () => {
    const client = new URLSearchParams(form).get('client_id');
    const token = `${client}.${randomUUID()}`;
    ends.set(token, Date.now() + LIFE * 1000);
    count('tokens', client);
    answer.writeHead(200, { 'Content-Type': 'application/json' });
    answer.end(JSON.stringify({ access_token: token, token_type: 'bearer', expires_in: LIFE }));
  });
}

// The middleware refuses by a packet; Socket.IO leaves the connection open.
async function socketIo() {
  const { Server } = require('socket.io');
  const server = http.createServer(issue);
  // Who leaves a ping without an answer does not live as long as its token.
  const io = new Server(server, { pingInterval: 500, pingTimeout: 1000 });
  io.engine.on('connection', (raw) => onClose(raw.transport.socket));
  io.use((socket, next) => next(judged(socket.handshake.auth.token) ? new Error('unauthorized') : undefined));
  io.on('connection', (socket) => setTimeout(() => socket.disconnect(true), left(socket.handshake.auth.token)));
  return server;
}

// `onConnect` refuses by 4403; who does not say hello in time is closed with 4408. A session ends with its token, by 4401.
async function graphqlWs() {
  const { GraphQLObjectType, GraphQLSchema, GraphQLString } = require('graphql');
  const { useServer } = require('graphql-ws/use/ws');
  const schema = new GraphQLSchema({
    query: new GraphQLObjectType({ name: 'Query', fields: { hello: { type: GraphQLString } } }),
  });
  const server = http.createServer(issue);
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => {
    onClose(socket);
    socket.on('close', (code) => { if (code === 4408) count('refused', 'silent no_token'); });
  });
  const onConnect = ({ connectionParams, extra }) => {
    const { token } = connectionParams;
    if (judged(token)) return false;
    setTimeout(() => extra.socket.close(4401, 'Token ended'), left(token));
    return true;
  };
  useServer({ schema, onConnect, connectionInitWaitTimeout: 800 }, sockets);
  return server;
}

// The tokens are oidc-provider's; it counts by its own events. A session ends after the same time, and its token is destroyed with it.
async function oidcProvider() {
  const { default: Provider } = await import('oidc-provider');
  const client = (id) => ({
    client_id: id,
    client_secret: 'secret',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_post',
  });
  const server = http.createServer();
  const provider = new Provider('http://127.0.0.1', {
    clients: ['reuse', 'learn', 'fetch', 'misfit'].map(client),
    features: { clientCredentials: { enabled: true } },
    ttl: { ClientCredentials: 3600 },
  });
  provider.on('grant.success', (context) => count('tokens', context.oidc.client.clientId));
  provider.on('grant.error', (context, error) => {
    count('token_refusals', `${context.oidc.params.client_id} ${context.status} ${error.error}`);
  });
  server.on('request', provider.callback());
  const gone = new Map();
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', async (request, stream, head) => {
    const text = (request.headers.authorization || '').replace('Bearer ', '');
    const token = await provider.ClientCredentials.find(text);
    if (!token) {
      count('refused', gone.has(text) ? `${gone.get(text)} stale_token` : `${owner(text)} unknown_token`);
      stream.end('HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, stream, head, (socket) => {
      count('admitted', token.clientId);
      gone.set(text, token.clientId);
      onClose(socket);
      setTimeout(() => token.destroy().then(() => socket.close(1001, 'Session ended')), LIFE * 1000);
    });
  });
  return server;
}

const services = { 'socket.io': socketIo, 'graphql-ws': graphqlWs, 'oidc-provider': oidcProvider };
services[process.argv[2]]().then((server) => {
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
});
process.on('SIGTERM', () => { console.log(JSON.stringify(counts)); process.exit(0); });
setTimeout(() => process.exit(3), 60000).unref();
