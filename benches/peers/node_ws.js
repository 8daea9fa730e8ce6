// A bare client of Node's ws: every client fetches a token, connects, is closed, fetches a token, and connects again.
const http = require('http');
const WebSocket = require('ws');

const port = Number(process.env.PEERS_PORT);
const clients = Number(process.env.PEERS_CLIENTS);
const rampMs = Number(process.env.PEERS_RAMP_S) * 1000;
const endMs = rampMs + Number(process.env.PEERS_HOLD_S) * 1000;
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const form = 'grant_type=client_credentials&client_id=demo-client&client_secret=demo-secret&scope=analytics:events:read';
const sockets = new Set();

function token(callback) {
  const options = {
    agent, port, host: '127.0.0.1', path: '/oauth/token', method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(form) },
  };
  const request = http.request(options, (answer) => {
    let body = '';
    answer.on('data', (part) => { body += part; });
    answer.on('end', () => callback(JSON.parse(body).access_token));
  });
  request.end(form);
}

function connect(isBack) {
  token((bearer) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v2/analytics/events`, {
      headers: { Authorization: `Bearer ${bearer}` }, perMessageDeflate: false,
    });
    sockets.add(socket);
    socket.on('close', () => {
      sockets.delete(socket);
      if (!ended && !isBack) connect(true);
    });
    socket.on('error', (error) => console.error(error.message));
  });
}

let ended = false;
for (let n = 0; n < clients; n += 1) setTimeout(() => connect(false), (n * rampMs) / clients);
function end() {
  ended = true;
  sockets.forEach((socket) => socket.close(1000));
  setTimeout(() => process.exit(0), 500);
}
setTimeout(end, endMs);
process.on('SIGTERM', end);
