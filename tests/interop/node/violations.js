// A service in Node with `ws` that breaks the protocol half a second after the upgrade, each path in its way. The first line on stdout is
// its port; on SIGTERM it prints with which codes its clients closed, by path, and ends.
const http = require('http');
const { WebSocketServer } = require('ws');

const FRAMES = {
  '/close-1005': [0x88, 2, 0x03, 0xed],                    // may not be sent (RFC 6455, 7.4.1)
  '/masked': [0x81, 0x82, 1, 2, 3, 4, 0x69, 0x6b],         // a server must not mask (5.1)
  '/reserved': [0xc1, 1, 0x61],                            // no extension was negotiated (5.2)
  '/opcode': [0x83, 1, 0x61],                              // reserved (5.2)
  '/utf8': [0x81, 2, 0xc3, 0x28],                          // (8.1)
  '/large': [0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0],           // 16 MiB
  '/says-1002': [0x88, 2, 0x03, 0xea],                     // a service may say so itself
};
const count = {};
const sockets = new WebSocketServer({ noServer: true });
const server = http.createServer((request, answer) => answer.writeHead(404).end());

server.on('upgrade', (request, socket, head) => sockets.handleUpgrade(request, socket, head, (session) => {
  const codes = count[request.url] = count[request.url] || {};
  const timer = setTimeout(() => socket.write(Buffer.from(FRAMES[request.url])), 500);
  session.on('error', () => {});
  session.on('close', (code) => {
    clearTimeout(timer);
    codes[code] = (codes[code] || 0) + 1;
  });
}));

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.on('SIGTERM', () => { console.log(JSON.stringify(count)); process.exit(0); });
setTimeout(() => process.exit(3), 60000).unref();
