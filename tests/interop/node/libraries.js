// The real client libraries of services, each connected to an address: `node libraries.js '[{"id":"a","library":"phoenix","address":"127.0.0.1:1",
// "token":"…"}]'`. Each line on stdout is an event: {"id","event","detail"}, where `event` is `ready` (the library says that it is connected), `close`
// (it says that it was thrown off), `refused` (an attempt has failed, as it must be told), or `complaint` (what a library must not say of a service that
// keeps its protocol), or `late` (this process was). Goes on until stdin ends, or two minutes.
'use strict';
const WebSocket = require('ws');

const tell = (id, event, detail) => process.stdout.write(`${JSON.stringify({ id, event, detail: String(detail ?? '') })}\n`);
const events = (id) => Object.fromEntries(['ready', 'close', 'refused', 'complaint'].map((name) => [name, (detail) => tell(id, name, detail)]));

async function fetchToken(address) {
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: 'app', client_secret: 'demo-secret' });
  return (await (await fetch(`http://${address}/oauth/token`, { method: 'POST', body })).json()).access_token;
}

const LIBRARIES = {
  phoenix({ address, token, beat }, on) {
    const { Socket } = require('phoenix');
    const socket = new Socket(`ws://${address}/socket`, { params: { token }, transport: WebSocket, heartbeatIntervalMs: beat });
    socket.onOpen(() => on.ready());
    socket.onClose((event) => (event.reason === 'heartbeat timeout' ? on.complaint(event.reason) : on.close(event.code)));
    socket.onError((error) => on.refused(error.message));
    socket.connect();
    const channel = socket.channel('room:lobby', {});
    channel.join().receive('error', (why) => on.complaint(JSON.stringify(why))).receive('timeout', () => on.complaint('join timed out'));
  },

  'socket-io'({ address, token }, on) {
    const { io } = require('socket.io-client');
    const socket = io(`http://${address}`, { transports: ['websocket'], auth: { token }, forceNew: true });
    socket.on('connect', () => on.ready());
    socket.on('disconnect', (reason) => (reason === 'ping timeout' || reason === 'parse error' ? on.complaint(reason) : on.close(reason)));
    socket.on('connect_error', (error) => on.refused(error.message));
  },

  'graphql-ws'({ address, token, beat }, on) {
    const { createClient } = require('graphql-ws');
    const client = createClient({
      url: `ws://${address}/graphql`, webSocketImpl: WebSocket, connectionParams: { token }, lazy: false, keepAlive: beat,
      onNonLazyError: (error) => on.refused(error.code ?? error.message),
    });
    client.on('connected', () => on.ready());
    client.on('closed', (event) => (event.code === 4004 ? on.complaint(event.reason) : on.close(event.code)));
    client.subscribe({ query: 'subscription { greetings }' }, { next() {}, error: (error) => on.refused(JSON.stringify(error)), complete() {} });
  },

  centrifuge({ address }, on) {
    const { Centrifuge } = require('centrifuge');
    const client = new Centrifuge(`ws://${address}/connection/websocket`, { websocket: WebSocket, getToken: () => fetchToken(address) });
    client.on('connected', () => on.ready());
    client.on('connecting', ({ code, reason }) => (reason === 'no ping' ? on.complaint(reason) : code !== 0 && on.close(code)));
    client.on('disconnected', ({ code }) => on.close(code));
    client.on('error', ({ error }) => ([2, 11].includes(error.code) ? on.refused(error.message) : on.complaint(JSON.stringify(error))));
    client.connect();
  },

  'reconnecting-websocket'({ address, token }, on) {
    const ReconnectingWebSocket = require('reconnecting-websocket');
    const socket = new ReconnectingWebSocket(`ws://${address}/api/v2/analytics/events?access_token=${token}`, [], { WebSocket });
    socket.addEventListener('open', () => on.ready());
    socket.addEventListener('close', (event) => on.close(event.code));
    socket.addEventListener('error', (event) => on.refused(event.message));
  },

  signalr({ address, token, beat }, on) {
    const { HubConnectionBuilder, LogLevel } = require('@microsoft/signalr');
    const logger = { log: (level, text) => level >= LogLevel.Error && /parse|incomplete|Unknown message|Server timeout/.test(text) && on.complaint(text) };
    const connection = new HubConnectionBuilder()
      .withUrl(`http://${address}/hub`, { accessTokenFactory: () => token, WebSocket })
      .withAutomaticReconnect()
      .withServerTimeout(beat ? beat * 5 : 30000)
      .withKeepAliveInterval(beat ?? 15000)
      .configureLogging(logger)
      .build();
    connection.onreconnecting((error) => on.close(error));
    connection.onreconnected(() => on.ready());
    connection.onclose((error) => on.refused(error));
    connection.start().then(() => on.ready(), (error) => on.complaint(error));
  },

  pusher({ address, token, beat }, on) {
    const Pusher = require('pusher-js');
    const [host, port] = address.split(':');
    const pusher = new Pusher(token, {
      cluster: '', wsHost: host, wsPort: Number(port), forceTLS: false, enabledTransports: ['ws'], enableStats: false, activityTimeout: beat,
    });
    pusher.connection.bind('connected', () => on.ready());
    pusher.connection.bind('state_change', ({ previous, current }) => previous === 'connected' && on.close(current));
    pusher.connection.bind('error', (error) => on.refused(JSON.stringify(error)));
    pusher.subscribe('news').bind('pusher:subscription_error', (error) => on.complaint(JSON.stringify(error)));
  },

  slack({ address, token }, on) {
    const { SocketModeClient, LogLevel } = require('@slack/socket-mode');
    const say = (...words) => on.complaint(words.join(' '));
    const logger = { debug() {}, info() {}, warn: say, error: (...words) => on.refused(words.join(' ')), setLevel() {}, getLevel: () => LogLevel.WARN, setName() {} };
    const client = new SocketModeClient({ appToken: token, logger, clientOptions: { slackApiUrl: `http://${address}/api/` } });
    client.on('connected', () => on.ready());
    client.on('close', () => on.close());
    client.start().catch((error) => on.complaint(error));
  },

  discord({ address, token }, on) {
    const { REST } = require('@discordjs/rest');
    const { WebSocketManager, WebSocketShardEvents } = require('@discordjs/ws');
    const rest = new REST({ api: `http://${address}/api` }).setToken(token);
    const manager = new WebSocketManager({ token, intents: 513, rest, fetchGatewayInformation: () => rest.get('/gateway/bot') });
    manager.on(WebSocketShardEvents.Ready, () => on.ready());
    manager.on(WebSocketShardEvents.Resumed, () => on.ready());
    manager.on(WebSocketShardEvents.Closed, (code) => on.close(code));
    manager.on(WebSocketShardEvents.Error, (error) => on.complaint(error));
    manager.on(WebSocketShardEvents.SocketError, (error) => on.complaint(error));
    manager.connect().catch((error) => on.complaint(error));
  },

  ws({ address, token, beat }, on) {
    const socket = new WebSocket(`ws://${address}/api/v2/analytics/events`, { headers: { Authorization: `Bearer ${token}` } });
    socket.on('open', () => { on.ready(); setInterval(() => socket.readyState === WebSocket.OPEN && socket.ping(), beat).unref(); });
    socket.on('close', (code) => on.close(code));
    socket.on('error', (error) => on.complaint(error));
  },
};

process.on('uncaughtException', (error) => tell('*', 'complaint', error.stack));
process.on('unhandledRejection', (error) => tell('*', 'complaint', error?.stack ?? error));
// How late this process is, in milliseconds: what it does may be that late.
let due = Date.now() + 50;
setInterval(() => {
  if (Date.now() - due > 20) tell('*', 'late', Date.now() - due);
  due = Date.now() + 50;
}, 50).unref();
process.stdin.resume().on('end', () => process.exit(0));
setTimeout(() => process.exit(3), 120000).unref();
for (const client of JSON.parse(process.argv[2])) {
  LIBRARIES[client.library](client, events(client.id));
}
