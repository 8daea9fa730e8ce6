// The forum thread's client, with `ws` 8.16.0: `node thread.js first|corrected ADDRESS TURNS`.
// `first`: comes back with the token that it has, and has no error listener on the second socket, as in the thread.
// `corrected`: fetches a token on each close with 1001 or 1006, before the handshake.
// Ends after TURNS closes, or after 20 s. The last line on stdout is its own count.
const WebSocket = require('ws');

const [recipe, address, turns] = process.argv.slice(2);
const count = { tokens: 0, opened: 0, refused: 0, closes: {} };
const began = Date.now();

process.on('exit', () => console.log(JSON.stringify(count)));
setTimeout(() => process.exit(3), 20000).unref();

async function fetchToken() {
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: 'thread', client_secret: 'demo-secret' });
  const answer = await fetch(`http://${address}/oauth/token`, { method: 'POST', body });
  count.tokens += 1;
  return (await answer.json()).access_token;
}

function open(token, isFirst) {
  const socket = new WebSocket(`ws://${address}/api/v2/analytics/events`, { headers: { Authorization: `Bearer ${token}` } });
  socket.on('open', () => { count.opened += 1; });
  if (isFirst || recipe === 'corrected') {
    socket.on('error', (error) => { if (error.message.includes('403')) count.refused += 1; });
  }
  socket.on('close', async (code) => {
    count.closes[code] = (count.closes[code] || 0) + 1;
    const closed = Object.values(count.closes).reduce((sum, n) => sum + n, 0);
    if (closed >= Number(turns)) {
      count.took_ms = Date.now() - began;
      process.exit(0);
    }
    if (code === 1001 || code === 1006) {
      open(recipe === 'corrected' ? await fetchToken() : token, false);
    }
  });
}

fetchToken().then((token) => open(token, true));
