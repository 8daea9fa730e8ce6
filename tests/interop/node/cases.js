// Small services that behave as real ones do: cases.js MODE PORT. Every mode also answers POST /token (a token of 3 s) and GET /counts (what the
// service saw, as JSON). It ends by itself after a minute.
const http = require('http');
const { WebSocketServer } = require('ws');
const [mode, port] = [process.argv[2], Number(process.argv[3])];
const LIFE_MS = 3000;
const tokens = new Map();
const counts = { tokens: 0, token_refused: 0, admitted: 0, refused: 0, pongs: 0, pings: 0, messages: 0, negotiated: 0, evicted: 0 };
const held = [];
const good = (token) => (tokens.get(token) || 0) > Date.now();
const json = (response, status, body, headers = {}) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
};
const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (part) => (body += part));
  request.on('end', () => {
    const path = request.url.split('?')[0];
    if (path === '/counts') return json(response, 200, counts);
    if (path === '/negotiate') {
      const token = (request.headers.authorization || '').replace('Bearer ', '');
      if (!good(token)) return json(response, 401, { error: 'token_expired' });
      counts.negotiated++;
      return json(response, 200, { id: 'c' + counts.negotiated });
    }
    if (path !== '/token') return json(response, 404, {});
    if (mode === 'token-endpoint-refuses') {
      counts.token_refused++;
      return json(response, 401, { error: 'invalid_client', error_description: 'client is disabled' }, { 'WWW-Authenticate': 'Basic realm="x"' });
    }
    const token = 't' + ++counts.tokens + Math.random().toString(36).slice(2);
    tokens.set(token, Date.now() + LIFE_MS);
    json(response, 200, { access_token: token, token_type: 'Bearer', expires_in: mode === 'expires-text' ? String(LIFE_MS / 1000) : LIFE_MS / 1000 });
  });
});
const sockets = new WebSocketServer({ noServer: true });
const NGINX = '<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n';
const OWN_PAGE = '<!doctype html><html><title>Forbidden</title><body><h1>403</h1><p>Invalid credentials</p></body></html>';
server.on('upgrade', (request, socket, head) => {
  const url = new URL(request.url, 'http://x');
  const token = (request.headers.authorization || '').replace('Bearer ', '') || url.searchParams.get('token');
  if ((mode === 'gateway-page' || mode === 'own-page') && !good(token)) {
    counts.refused++;
    const page = mode === 'gateway-page' ? NGINX : OWN_PAGE;
    return socket.end(`HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: ${page.length}\r\nConnection: close\r\n\r\n${page}`);
  }
  if (mode === 'origin' && request.headers.origin !== 'https://app.example') {   // like Phoenix, Rails, Jupyter
    counts.refused++;
    return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  }
  if (mode === 'proxy-200') {             // a proxy that does not know Upgrade
    counts.refused++;
    return socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
  }
  sockets.handleUpgrade(request, socket, head, (ws) => serve(ws, token));
});
function serve(ws, token) {
  const admit = () => { counts.admitted++; setTimeout(() => ws.close(1001, 'idle'), 4000); };
  if (mode === 'close-4401') {            // like ASGI services and Django Channels after accept()
    if (!good(token)) { counts.refused++; return ws.close(4401, 'token expired'); }
    return admit();
  }
  if (mode === 'message-44') {            // like Socket.IO: the refusal is a packet, the socket stays open
    ws.send('0{"sid":"x","upgrades":[],"pingInterval":1000,"pingTimeout":1000}');
    const pings = setInterval(() => { counts.pings++; ws.send('2'); }, 1000);
    ws.on('close', () => clearInterval(pings));
    ws.on('message', (data) => {
      const text = String(data);
      if (text === '3') return counts.pongs++;
      if (!text.startsWith('40')) return counts.messages++;
      const shown = JSON.parse(text.slice(2) || '{}').token;
      if (!good(shown)) { counts.refused++; return ws.send('44{"message":"Invalid token"}'); }
      ws.send('40{"sid":"y"}');
      admit();
      const events = setInterval(() => ws.send('42["news",{"id":' + ++counts.messages + ',"n":2}]'), 100);
      ws.on('close', () => clearInterval(events));
    });
    return;
  }
  if (mode === 'first-message-4403') {    // like graphql-transport-ws
    return ws.once('message', (data) => {
      const shown = JSON.parse(String(data)).payload?.token;
      if (!good(shown)) { counts.refused++; return ws.close(4403, 'Forbidden'); }
      ws.send('{"type":"connection_ack"}');
      admit();
    });
  }
  if (mode === 'close-1005') {            // 1005 may not be on the wire (RFC 6455, 7.4.1)
    counts.admitted++;
    return setTimeout(() => { counts.refused++; ws._socket.write(Buffer.from([0x88, 2, 0x03, 0xed])); }, 1500);
  }
  if (mode === 'masked') {                // a service must not mask (5.1): the client fails the connection
    counts.admitted++;
    return setTimeout(() => ws._socket.write(Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x69, 0x6b])), 1500);
  }
  if (mode === 'anonymous') {             // a dead token is let in as nobody
    counts[good(token) ? 'admitted' : 'refused']++;
    ws.send(JSON.stringify({ type: 'hello', user: good(token) ? 'alice' : null }));
    return setTimeout(() => ws.close(1001, 'idle'), 4000);
  }
  if (mode === 'try-later' || mode === 'evict') {     // a cap of 50 sockets
    if (mode === 'try-later' && held.length >= 50) { counts.refused++; return setTimeout(() => ws.close(1013, 'try later'), 300); }
    counts.admitted++;
    held.push(ws);
    ws.on('close', () => { const at = held.indexOf(ws); if (at >= 0) held.splice(at, 1); });
    if (held.length > 50) { counts.evicted++; held.shift().close(4000, 'evicted'); }
    return;
  }
  if (mode === 'two-streams') {           // each topic has a numbering of its own
    counts.admitted++;
    let a = 100, b = 500000;
    const beat = setInterval(() => {
      ws.send(JSON.stringify({ topic: 'a', seq: ++a, at: Date.now() }));
      ws.send(JSON.stringify({ topic: 'b', seq: ++b, at: Date.now() }));
    }, 200);
    return ws.on('close', () => clearInterval(beat));
  }
  if (mode === 'echo') {                  // replies to {"id":…} after 15 ms
    counts.admitted++;
    return ws.on('message', (data) => { counts.messages++; const id = JSON.parse(String(data)).id; setTimeout(() => ws.send(JSON.stringify({ id, ok: id % 10 !== 0 })), 15); });
  }
  admit();
}
server.listen(port, '127.0.0.1', () => console.log('listening'));
setTimeout(() => process.exit(0), 60000);
