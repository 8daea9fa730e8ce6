// Tokens that are bound to a key or a certificate, and tokens by JWK Sets, as others judge them.
// `bound.js remote URL`: reads tokens, a line each, and says what jose makes of them by the keys that the service at URL publishes.
// `bound.js livekit KEY SECRET`: reads tokens, a line each, and says what LiveKit's server SDK makes of them.
// `bound.js dpop NONCE`: oidc-provider with DPoP, and a service behind it that judges proofs by jose; NONCE: "nonce" where both want one.
// `bound.js mtls FOLDER`: oidc-provider that asks clients for certificates, and a service behind it. The first line on stdout is the port; on
// SIGTERM they print what they counted, and end.
const http = require('http');
const https = require('https');
const fs = require('fs');
const path = require('path');
const { createHash, randomBytes, generateKeyPairSync, X509Certificate } = require('crypto');
const { WebSocketServer } = require('ws');

const lines = () => require('readline').createInterface({ input: process.stdin });
const say = (value) => console.log(JSON.stringify(value));

async function remote() {
  const { createRemoteJWKSet, jwtVerify } = await import('jose');
  const told = await (await fetch(`${process.argv[3]}/.well-known/openid-configuration`)).json();
  const keys = createRemoteJWKSet(new URL(told.jwks_uri));
  for await (const line of lines()) {
    const { payload, protectedHeader } = await jwtVerify(line, keys, { issuer: told.issuer, audience: 'events', typ: 'at+jwt' });
    say({ alg: protectedHeader.alg, client: payload.client_id });
  }
  process.exit(0);
}

async function livekit() {
  const { TokenVerifier } = await import('livekit-server-sdk');
  const verifier = new TokenVerifier(process.argv[3], process.argv[4]);
  for await (const line of lines()) {
    const { sub, video } = await verifier.verify(line);
    say({ sub, video });
  }
  process.exit(0);
}

const RESOURCE = 'https://events.example.com';
const counts = { tokens: {}, refused_tokens: {}, admitted: {}, refused: {} };
const count = (name, key) => { counts[name][key] = (counts[name][key] || 0) + 1; };

// An authorisation server on `server`, whose address is its issuer.
async function authorisation(server, scheme, methods, clients, features) {
  const { default: Provider } = await import('oidc-provider');
  await new Promise((ready) => { server.listen(0, '127.0.0.1', ready); });
  const issuer = `${scheme}://127.0.0.1:${server.address().port}`;
  const own = { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'own' };
  const common = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [], id_token_signed_response_alg: 'ES256' };
  const provider = new Provider(issuer, {
    clients: clients.map((client) => ({ ...common, ...client })),
    jwks: { keys: [own] },
    scopes: ['read'],
    clientAuthMethods: methods,
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        getResourceServerInfo: () => ({ scope: 'read', accessTokenFormat: 'jwt', audience: RESOURCE, jwt: { sign: { alg: 'ES256' } }, accessTokenTTL: 600 }),
      },
      ...features,
    },
  });
  provider.on('grant.success', (context) => count('tokens', context.oidc.client.clientId));
  provider.on('grant.error', (context, error) => count('refused_tokens', error.error));
  server.on('request', provider.callback());
  const { createLocalJWKSet, jwtVerify } = await import('jose');
  const set = createLocalJWKSet({ keys: [{ kty: own.kty, crv: own.crv, x: own.x, y: own.y, alg: 'ES256', kid: 'own' }] });
  return { issuer, verify: async (text) => (await jwtVerify(text, set, { issuer, audience: RESOURCE })).payload };
}

function refuse(stream, why, headers) {
  count('refused', why);
  const more = Object.entries(headers || {}).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  stream.end(`HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n${more}\r\n`);
}

async function dpop() {
  const { EmbeddedJWK, jwtVerify, calculateJwkThumbprint } = await import('jose');
  const wanted = process.argv[3] === 'nonce';
  const nonce = randomBytes(12).toString('base64url');
  const server = http.createServer();
  const client = { client_id: 'app', client_secret: 'a-secret-that-is-long-enough-for-it', token_endpoint_auth_method: 'client_secret_post', dpop_bound_access_tokens: true };
  const { issuer, verify } = await authorisation(server, 'http', ['client_secret_post'], [client], { dPoP: { enabled: true, nonceSecret: Buffer.alloc(32, 7), requireNonce: () => wanted } });
  const sockets = new WebSocketServer({ noServer: true });
  const seen = new Set();
  server.on('upgrade', async (request, stream, head) => {
    try {
      const [scheme, token] = (request.headers.authorization || '').split(' ');
      if (scheme !== 'DPoP') throw new Error('scheme');
      const { payload, protectedHeader } = await jwtVerify(request.headers.dpop, EmbeddedJWK, { typ: 'dpop+jwt', maxTokenAge: '60s', algorithms: ['ES256'] });
      const granted = await verify(token);
      const right = {
        jkt: granted.cnf.jkt === await calculateJwkThumbprint(protectedHeader.jwk),
        ath: payload.ath === createHash('sha256').update(token).digest('base64url'),
        htm: payload.htm === 'GET',
        htu: payload.htu === `${issuer}${new URL(request.url, issuer).pathname}`,
        jti: !seen.has(payload.jti),
      };
      seen.add(payload.jti);
      const wrong = Object.keys(right).filter((name) => !right[name]);
      if (wrong.length) throw new Error(wrong.join('+'));
      if (wanted && payload.nonce !== nonce) {
        refuse(stream, 'use_dpop_nonce', { 'WWW-Authenticate': 'DPoP error="use_dpop_nonce", algs="ES256"', 'DPoP-Nonce': nonce });
        return;
      }
      sockets.handleUpgrade(request, stream, head, () => count('admitted', granted.cnf.jkt));
    } catch (error) {
      refuse(stream, error.code || error.message);
    }
  });
  console.log(server.address().port);
}

async function mtls() {
  const read = (name) => fs.readFileSync(path.join(process.argv[3], name), 'utf8');
  const server = https.createServer({ key: read('server.key'), cert: read('server.pem'), ca: read('ca.pem'), requestCert: true, rejectUnauthorized: false });
  const own = new X509Certificate(read('own.pem'));
  const x5c = [own.raw.toString('base64')];
  const bound = { tls_client_certificate_bound_access_tokens: true };
  const clients = [
    { client_id: 'by-authority', token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_san_dns: 'client.example', ...bound },
    {
      client_id: 'by-itself', token_endpoint_auth_method: 'self_signed_tls_client_auth', ...bound,
      jwks: { keys: [{ ...own.publicKey.export({ format: 'jwk' }), x5c, use: 'sig', alg: 'ES256' }] },
    },
  ];
  const shown = (socket) => socket.getPeerX509Certificate();
  const { verify } = await authorisation(server, 'https', ['tls_client_auth', 'self_signed_tls_client_auth'], clients, {
    mTLS: {
      enabled: true, certificateBoundAccessTokens: true, tlsClientAuth: true, selfSignedTlsClientAuth: true,
      getCertificate: (context) => shown(context.req.socket),
      certificateAuthorized: (context) => context.req.socket.authorized,
      certificateSubjectMatches: (context, property, expected) => property === 'tls_client_auth_san_dns' && Boolean(shown(context.req.socket).checkHost(expected)),
    },
  });
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', async (request, stream, head) => {
    try {
      const granted = await verify((request.headers.authorization || '').replace('Bearer ', ''));
      const hash = createHash('sha256').update(shown(request.socket).raw).digest('base64url');
      if (granted.cnf['x5t#S256'] !== hash) throw new Error('x5t#S256');
      sockets.handleUpgrade(request, stream, head, () => count('admitted', granted.client_id));
    } catch (error) {
      refuse(stream, error.code || error.message);
    }
  });
  console.log(server.address().port);
}

process.on('SIGTERM', () => { say(counts); process.exit(0); });
setTimeout(() => process.exit(3), 60000).unref();
({ remote, livekit, dpop, mtls })[process.argv[2]]();
