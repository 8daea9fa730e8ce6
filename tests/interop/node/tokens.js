// What others make of the tokens that clients ask for and sign.
// `tokens.js verify`: reads lines of JSON ({ algorithm, key, token }) and says of each what jose makes of it.
// `tokens.js oidc-provider KEYS`: an authorisation server with resource indicators, and a service behind it; the first line on stdout is the
// port; on SIGTERM it prints what it counted, and ends.
const http = require('http');
const { createPublicKey, createSecretKey } = require('crypto');
const { WebSocketServer } = require('ws');

async function verify() {
  const { jwtVerify } = await import('jose');
  const lines = require('readline').createInterface({ input: process.stdin });
  for await (const line of lines) {
    const { algorithm, key, token } = JSON.parse(line);
    const shared = algorithm.startsWith('HS');
    const by = shared ? createSecretKey(Buffer.from(key)) : createPublicKey(key);
    const { payload, protectedHeader } = await jwtVerify(token, by, { algorithms: [algorithm], audience: 'events' });
    console.log(JSON.stringify({ algorithm, sub: payload.sub, kid: protectedHeader.kid }));
  }
}

const RESOURCE = 'https://events.example.com';
const counts = { tokens: {}, refused_tokens: {}, admitted: {}, refused: {} };
const count = (name, key) => { counts[name][key] = (counts[name][key] || 0) + 1; };

async function oidcProvider() {
  const { default: Provider } = await import('oidc-provider');
  const { importSPKI, exportJWK, jwtVerify, createLocalJWKSet } = await import('jose');
  const keys = JSON.parse(process.argv[3]);
  const jwk = async (algorithm) => ({ ...await exportJWK(await importSPKI(keys[algorithm], algorithm)), alg: algorithm, use: 'sig' });
  const client = (id, more) => ({
    client_id: id, grant_types: ['client_credentials'], redirect_uris: [], response_types: [], id_token_signed_response_alg: 'ES256', ...more,
  });
  const secret = { client_secret: 'a-secret-that-is-long-enough-for-a-signature' };
  const clients = [client('resource', { ...secret, token_endpoint_auth_method: 'client_secret_post' })];
  clients.push(client('elsewhere', { ...secret, token_endpoint_auth_method: 'client_secret_post' }));
  clients.push(client('secret-jwt', { ...secret, token_endpoint_auth_method: 'client_secret_jwt', token_endpoint_auth_signing_alg: 'HS256' }));
  for (const algorithm of Object.keys(keys)) {
    const how = { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: algorithm };
    clients.push(client(`key-${algorithm}`, { ...how, jwks: { keys: [await jwk(algorithm)] } }));
  }
  const server = http.createServer();
  await new Promise((ready) => { server.listen(0, '127.0.0.1', ready); });
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const signing = require('crypto').generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const own = { ...signing.privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'own' };
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys: [own] },
    scopes: ['read', 'write'],
    enabledJWA: { clientAuthSigningAlgValues: ['HS256', ...Object.keys(keys)] },
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(_, resource) {
          if (resource !== RESOURCE) throw new (require('oidc-provider').errors.InvalidTarget)();
          return { scope: 'read', accessTokenFormat: 'jwt', audience: RESOURCE, jwt: { sign: { alg: 'ES256' } }, accessTokenTTL: 600 };
        },
      },
    },
  });
  provider.on('grant.success', (context) => count('tokens', context.oidc.client.clientId));
  provider.on('grant.error', (context, error) => count('refused_tokens', `${context.oidc.params.client_id} ${error.error}`));
  server.on('request', provider.callback());
  const set = createLocalJWKSet({ keys: [{ kty: own.kty, crv: own.crv, x: own.x, y: own.y, alg: 'ES256', kid: 'own' }] });
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', async (request, stream, head) => {
    const text = (request.headers.authorization || '').replace('Bearer ', '');
    try {
      const { payload } = await jwtVerify(text, set, { issuer, audience: RESOURCE });
      sockets.handleUpgrade(request, stream, head, () => count('admitted', `${payload.client_id} ${payload.scope}`));
    } catch (error) {
      count('refused', error.code);
      stream.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    }
  });
  console.log(server.address().port);
}

process.on('SIGTERM', () => { console.log(JSON.stringify(counts)); process.exit(0); });
setTimeout(() => process.exit(3), 60000).unref();
({ verify, 'oidc-provider': oidcProvider })[process.argv[2]]().then(() => { if (process.argv[2] === 'verify') process.exit(0); });
