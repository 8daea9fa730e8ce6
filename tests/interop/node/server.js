// A service in Node with `ws`: tokens by POST /oauth/token; a token dies with the session that it opened; a session without a message for
// a second is closed with 1001. The first line on stdout is its port; on SIGTERM it prints what it counted, and ends.
const http = require('http');
const { randomUUID } = require('crypto');
const { WebSocketServer } = require('ws');

const count = { tokens: 0, opened: 0, refused: 0, closes: {} };
const good = new Set();
const sockets = new WebSocketServer({ noServer: true });
const server = http.createServer((request, answer) => {
  if (request.method !== 'POST' || request.url !== '/oauth/token') {
    answer.writeHead(404).end();
    return;
  }
  request.resume().on('end', () => {
    const token = randomUUID();
    good.add(token);
    count.tokens += 1;
    answer.writeHead(200, { 'Content-Type': 'application/json' });
    answer.end(JSON.stringify({ access_token: token, token_type: 'bearer', expires_in: 3600 }));
  });
});

server.on('upgrade', (request, socket, head) => {
  const token = (request.headers.authorization || '').replace('Bearer ', '');
  if (!good.has(token)) {
    count.refused += 1;
    socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  sockets.handleUpgrade(request, socket, head, (session) => {
    count.opened += 1;
    let idle = setTimeout(() => { good.delete(token); session.close(1001, 'Idle Timeout'); }, 1000);
    session.on('message', () => idle.refresh());
    session.on('close', (code) => {
      clearTimeout(idle);
      good.delete(token);
      count.closes[code] = (count.closes[code] || 0) + 1;
    });
  });
});

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.on('SIGTERM', () => { console.log(JSON.stringify(count)); process.exit(0); });
setTimeout(() => process.exit(3), 60000).unref();
