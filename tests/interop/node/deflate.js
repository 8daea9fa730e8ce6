// A service with `ws` and its permessage-deflate: `deflate.js MODES`, as JSON: name of a mode (the URL's path) -> options of `ws`.
//
// Each session is sent messages of many sizes, some in fragments, and has its own messages sent back. The first line on stdout is the port; on
// SIGTERM it prints what it counted by mode, and ends.
'use strict';
const http = require('http');
const { WebSocketServer } = require('ws');

const modes = JSON.parse(process.argv[2]);
const sizes = JSON.parse(process.argv[3]);
const texts = sizes.map(text);
const counted = {};
const servers = {};
for (const [name, options] of Object.entries(modes)) {
  counted[name] = { sessions: 0, agreed: 0, in: 0, out: 0, plain_in: 0, plain_out: 0, read: 0, written: 0 };
  servers[name] = new WebSocketServer({ noServer: true, perMessageDeflate: options });
}

// Text as services send it, of that many bytes: not the same twice.
function text(size, turn) {
  let out = '';
  for (let n = 0; out.length < size; n++) out += JSON.stringify({ topic: 'v2.events', id: n * 7919 + turn, ok: n % 3 === 0 });
  return out.slice(0, size);
}

function serve(socket, own) {
  own.sessions += 1;
  if (socket.extensions.includes('permessage-deflate')) own.agreed += 1;
  const tcp = socket._socket;
  const send = (data, options) => {
    own.plain_out += Buffer.byteLength(data);
    if (options.fin) own.out += 1;
    socket.send(data, options);
  };
  sizes.forEach((size, turn) => {
    const data = texts[turn];
    if (turn % 2 === 0 || size < 3) return send(data, { fin: true });
    const third = Math.floor(size / 3);
    send(data.slice(0, third), { fin: false });
    send(data.slice(third, 2 * third), { fin: false });
    socket.ping('between');
    send(data.slice(2 * third), { fin: true });
  });
  socket.on('message', (data) => {
    own.in += 1;
    own.plain_in += data.length;
    if (socket.readyState === 1) send(data.toString(), { fin: true });
  });
  socket.on('error', (error) => { own.error = `${error.code} ${error.message}`; });
  tcp.on('close', () => {
    own.read += tcp.bytesRead;
    own.written += tcp.bytesWritten;
  });
}

const server = http.createServer((_, answer) => answer.writeHead(404).end());
server.on('upgrade', (request, tcp, head) => {
  const mode = request.url.slice(1);
  servers[mode].handleUpgrade(request, tcp, head, (socket) => serve(socket, counted[mode]));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.on('SIGTERM', () => setTimeout(() => { console.log(JSON.stringify(counted)); process.exit(0); }, 300));
setTimeout(() => process.exit(3), 60_000).unref();
