// What Artillery's engine cannot say by itself: a token for each connection, and a second connection after the close.
const http = require('http');
const WebSocket = require('ws');

const port = Number(process.env.PEERS_PORT);
const began = Date.now();
const endMs = (Number(process.env.PEERS_RAMP_S) + Number(process.env.PEERS_HOLD_S)) * 1000;
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const form = 'grant_type=client_credentials&client_id=demo-client&client_secret=demo-secret&scope=analytics:events:read';

function token() {
  return new Promise((done, fail) => {
    const options = {
      agent, port, host: '127.0.0.1', path: '/oauth/token', method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(form) },
    };
    const request = http.request(options, (answer) => {
      let body = '';
      answer.on('data', (part) => { body += part; });
      answer.on('end', () => done(JSON.parse(body).access_token));
    });
    request.on('error', fail);
    request.end(form);
  });
}

function withToken(parameters, context, next) {
  token().then((bearer) => {
    parameters.options.headers = { Authorization: `Bearer ${bearer}` };
    next();
  }, next);
}

function comeBack(context, events, next) {
  context.ws.on('close', () => {
    const closedAt = performance.now();
    token().then((bearer) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v2/analytics/events`, {
        headers: { Authorization: `Bearer ${bearer}` }, perMessageDeflate: false,
      });
      socket.on('open', () => {
        events.emit('histogram', 'reconnect_ms', performance.now() - closedAt);
        setTimeout(() => socket.close(1000), Math.max(began + endMs - Date.now(), 0));
      });
      socket.on('error', (error) => events.emit('error', error.message));
      socket.on('close', () => next());
    }, next);
  });
}

module.exports = { withToken, comeBack };
