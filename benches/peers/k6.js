// k6: a virtual user is an iteration that fetches a token, connects, waits for its end, and does so once more.
import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';
import ws from 'k6/ws';
import { Trend } from 'k6/metrics';

const port = __ENV.PEERS_PORT;
const clients = Number(__ENV.PEERS_CLIENTS);
const ramp = Number(__ENV.PEERS_RAMP_S);
const hold = Number(__ENV.PEERS_HOLD_S);
const reconnect = new Trend('reconnect_ms');

export const options = {
  scenarios: {
    clients: {
      executor: 'per-vu-iterations', vus: clients, iterations: 1, maxDuration: `${ramp + hold + 60}s`, gracefulStop: '5s',
    },
  },
  summaryTrendStats: ['med', 'p(99)'],
};

function connect(closedAt, secondsLeft) {
  const form = {
    grant_type: 'client_credentials', client_id: 'demo-client', client_secret: 'demo-secret', scope: 'analytics:events:read',
  };
  // A connection that is reused may be closed meanwhile: k6 does not send a POST again by itself.
  let answer = http.post(`http://127.0.0.1:${port}/oauth/token`, form);
  for (let tries = 1; answer.status !== 200 && tries < 5; tries++) {
    answer = http.post(`http://127.0.0.1:${port}/oauth/token`, form);
  }
  const token = answer.json('access_token');
  const url = `ws://127.0.0.1:${port}/api/v2/analytics/events`;
  ws.connect(url, { headers: { Authorization: `Bearer ${token}` } }, (socket) => {
    socket.on('open', () => {
      if (closedAt) reconnect.add(Date.now() - closedAt);
      socket.setTimeout(() => socket.close(), Math.max(secondsLeft(), 1) * 1000);
    });
  });
  return Date.now();
}

export default function () {
  const began = exec.scenario.startTime;
  const left = () => ramp + hold - (Date.now() - began) / 1000;
  sleep((exec.vu.idInTest * ramp) / clients);
  const closedAt = connect(null, left);
  if (left() > 0) connect(closedAt, left);
}
