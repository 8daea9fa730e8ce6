// Real client libraries that say what our scenarios' clients say: `node talkers.js LIBRARY ADDRESS TOKEN`. Each asks TIMES times, one after the other, and
// prints what it was told: {"replies","events","refused","complaints"}.
'use strict';
const WebSocket = require('ws');

const [library, address, token] = process.argv.slice(2);
const TIMES = 3;
const UNKNOWN = 'of-another-world';
const told = { replies: 0, events: 0, refused: [], complaints: [] };
const complain = (why) => told.complaints.push(String(why?.message ?? why));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (holds) => { for (let n = 0; n < 200 && !holds(); n++) await sleep(25); };

const LIBRARIES = {
  async 'socket-io'() {
    const { io } = require('socket.io-client');
    const socket = io(`http://${address}`, { transports: ['websocket'], auth: { token }, reconnection: false });
    socket.on('connect_error', (error) => told.refused.push(error.message));
    socket.on('news', () => { told.events += 1; });
    await until(() => socket.connected || told.refused.length);
    for (let n = 1; socket.connected && n <= TIMES; n++) {
      const answer = await socket.timeout(3000).emitWithAck('ask', n);
      if (answer.ok && answer.n === n) told.replies += 1;
    }
    // The server pings each second.
    if (socket.connected) await sleep(1500);
  },

  async 'graphql-ws'() {
    const { createClient } = require('graphql-ws');
    const client = createClient({ url: `ws://${address}/graphql`, webSocketImpl: WebSocket, connectionParams: { token }, lazy: false, retryAttempts: 0, onNonLazyError: (event) => told.refused.push(event.code ?? event.message) });
    client.on('closed', (event) => event.code > 4000 && told.refused.push(event.code));
    const all = (query, next) => new Promise((complete) => client.subscribe({ query }, { next, error: (why) => complete(complain(JSON.stringify(why))), complete }));
    for (let n = 1; n <= TIMES; n++) {
      await all(`query { sum(a: 1, b: ${n}) }`, ({ data }) => { if (data.sum > 0) told.replies += 1; });
    }
    await all('subscription { ticks }', () => { told.events += 1; });
    // The server pings every other second.
    await sleep(2500);
  },

  async centrifuge() {
    const { Centrifuge } = require('centrifuge');
    const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: 'app', client_secret: 'demo-secret' });
    // A token lasts for two seconds; one that is not known is shown as it is.
    const getToken = async () => (token === UNKNOWN ? token : (await (await fetch(`http://${address}/oauth/token`, { method: 'POST', body })).json()).access_token);
    const client = new Centrifuge(`ws://${address}/connection/websocket`, { websocket: WebSocket, getToken });
    client.on('disconnected', ({ code }) => told.refused.push(code));
    client.on('error', ({ error }) => complain(JSON.stringify(error)));
    const room = client.newSubscription('room-1');
    room.on('publication', ({ data }) => { if (data.n > 0) told.events += 1; });
    room.on('error', ({ error }) => complain(error.message));
    room.subscribe();
    client.connect();
    await room.ready(3000);
    for (let n = 1; n <= TIMES; n++) {
      await room.publish({ n });
      told.replies += 1;
    }
    // The server pings each second.
    await sleep(1500);
  },

  async signalr() {
    const { HubConnectionBuilder, LogLevel } = require('@microsoft/signalr');
    const connection = new HubConnectionBuilder()
      .withUrl(`http://${address}/hub`, { accessTokenFactory: () => token, WebSocket })
      .withKeepAliveInterval(1000)
      .configureLogging(LogLevel.None)
      .build();
    connection.on('news', ({ n }) => { if (n > 0) told.events += 1; });
    await connection.start();
    for (let n = 1; n <= TIMES; n++) {
      if (await connection.invoke('Add', 1, n) > 0) told.replies += 1;
    }
    await sleep(1500);
  },

  async pusher() {
    const Pusher = require('pusher-js');
    const [host, port] = address.split(':');
    const pusher = new Pusher(token, { cluster: '', wsHost: host, wsPort: Number(port), forceTLS: false, enabledTransports: ['ws'], enableStats: false, activityTimeout: 300, pongTimeout: 3000 });
    pusher.connection.bind('error', (error) => told.refused.push(error.data?.code ?? error.error?.data?.code));
    pusher.connection.bind('message', ({ event }) => { if (event === 'pusher:pong') told.replies += 1; });
    pusher.subscribe('news').bind('price', ({ n }) => { if (n > 0) told.events += 1; });
    await sleep(3000);
  },

  async phoenix() {
    const { Socket } = require('phoenix');
    const socket = new Socket(`ws://${address}/socket`, { params: { token }, transport: WebSocket, heartbeatIntervalMs: 1000 });
    socket.onError((error) => told.refused.push(error.message));
    socket.connect();
    const channel = socket.channel('room:1', {});
    channel.on('new_msg', ({ n }) => { if (n > 0) told.events += 1; });
    const answered = (push) => new Promise((done) => push.receive('ok', () => done(true)).receive('error', () => done(false)).receive('timeout', () => done(false)));
    if (!await answered(channel.join(3000))) complain('the join has failed');
    for (let n = 1; n <= TIMES; n++) {
      if (await answered(channel.push('new_msg', { n }, 3000))) told.replies += 1;
    }
    await sleep(1500);
  },

  async stomp() {
    const { Client } = require('@stomp/stompjs');
    Object.assign(global, { WebSocket });
    const client = new Client({
      brokerURL: `ws://${address}/ws`, connectHeaders: { host: '/', login: 'app', passcode: token }, reconnectDelay: 0, heartbeatIncoming: 1000, heartbeatOutgoing: 1000,
      stompVersions: new (require('@stomp/stompjs').Versions)(['1.2']),
    });
    client.onStompError = (frame) => told.refused.push(frame.headers.message);
    client.onWebSocketError = complain;
    client.onUnhandledMessage = () => complain('a message of no subscription');
    client.activate();
    await until(() => client.connected || told.refused.length);
    if (client.connected) {
      const receipt = (id) => new Promise((done) => client.watchForReceipt(id, done));
      client.subscribe('/queue/room-1', ({ body }) => { if (JSON.parse(body).n > 0) told.events += 1; }, { id: 'room', receipt: 's1' });
      await receipt('s1');
      for (let n = 1; n <= TIMES; n++) {
        client.publish({ destination: '/queue/room-1', body: JSON.stringify({ n }), headers: { 'content-type': 'application/json', receipt: String(n) }, skipContentLengthHeader: true });
        await receipt(String(n));
        told.replies += 1;
      }
      await sleep(1500);
    }
  },
};

process.on('uncaughtException', complain);
process.on('unhandledRejection', complain);
const end = () => process.stdout.write(`${JSON.stringify(told)}\n`, () => process.exit(0));
setTimeout(end, 20000).unref();
LIBRARIES[library]().catch(complain).then(end);
