// A login by form, a session cookie and a WebSocket that takes it: Express with express-session, and `ws`. The session ends after three seconds.
// `cookies.js`. The first line on stdout is the port; on SIGTERM it prints what it counted, and ends.
const http = require('http');
const { randomUUID } = require('crypto');
const express = require('express');
const session = require('express-session');
const { WebSocketServer } = require('ws');

const LIFE = 3000;
const ORIGIN = 'https://app.example.com';
const counts = { logins: 0, bad_logins: 0, pages: 0, admitted: 0, closes: {}, refused: {} };
const add = (name, key) => { counts[name][key] = (counts[name][key] || 0) + 1; };

const app = express();
const sessions = session({
  secret: 'of-the-test', resave: false, saveUninitialized: true, cookie: { httpOnly: true, sameSite: 'lax' },
});
app.use(sessions, express.urlencoded({ extended: false }));
app.get('/login', (request, answer) => {
  counts.pages += 1;
  request.session.csrf = randomUUID();
  answer.send(`<form method="post"><input type="hidden" name="_csrf" value="${request.session.csrf}"></form>`);
});
app.post('/login', (request, answer) => {
  const { _csrf, user, password } = request.body;
  if (!_csrf || _csrf !== request.session.csrf || password !== 'let me in & stay') {
    counts.bad_logins += 1;
    return answer.status(403).send('no');
  }
  // Another id after the login, as it should be.
  request.session.regenerate(() => {
    request.session.user = user;
    request.session.ends = Date.now() + LIFE;
    counts.logins += 1;
    answer.redirect('/home');
  });
});
app.get('/home', (request, answer) => (request.session.user ? answer.send('welcome') : answer.status(401).end()));

const server = http.createServer(app);
const sockets = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  const refuse = (why) => { add('refused', why); socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'); };
  if (request.headers.origin !== ORIGIN) return refuse('origin');
  sessions(request, {}, () => {
    const { user, ends } = request.session;
    if (!user) return refuse('no_session');
    if (ends < Date.now()) return refuse('ended');
    sockets.handleUpgrade(request, socket, head, (opened) => {
      counts.admitted += 1;
      opened.on('close', (code) => add('closes', code));
      setTimeout(() => opened.close(1001), 700);
    });
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.on('SIGTERM', () => { console.log(JSON.stringify(counts)); process.exit(0); });
setTimeout(() => process.exit(3), 60000).unref();
