// oidc-provider set up to do what our server does: rotating refresh tokens in Redis, RS256 JWT access tokens for one
// resource, public clients, ID tokens for the scope openid. There are PEER_CLIENTS apps of the house in Redis, and people
// sign in to them; the refresh tokens of PEER_SESSIONS sessions that are there at the start go to PEER_TOKENS. Then it listens.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

import { RedisAdapter } from './adapter.mjs';
import { signIn } from './sign_in.mjs';

const { PEER_PORT, PEER_SESSIONS, PEER_CLIENTS, PEER_TOKENS } = process.env;
const RESOURCE = 'http://127.0.0.1:18701';
const SCOPE = 'orders:read';
const TWO_WEEKS = 1209600;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const consents = new Map();

const provider = new Provider(`http://127.0.0.1:${PEER_PORT}`, {
  adapter: RedisAdapter,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'benchmark' }] },
  clients: [client('demo', 'https://client.example/callback')],
  rotateRefreshToken: true,
  issueRefreshToken: (_ctx, { grantTypes }) => grantTypes.includes('refresh_token'),
  // What a client of the house may have is settled: nobody is asked, and nothing is written.
  loadExistingGrant: (ctx) => ctx.oidc.provider.Grant.find(consents.get(ctx.oidc.client.clientId)),
  async findAccount(_ctx, id) {
    return { accountId: id, claims: async () => ({ sub: id }) };
  },
  interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        audience: RESOURCE,
        scope: `${SCOPE} orders:write`,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  ttl: { Session: TWO_WEEKS, Interaction: 1800, AuthorizationCode: 60, IdToken: 600, RefreshToken: TWO_WEEKS, Grant: TWO_WEEKS },
  cookies: { keys: ['signs cookies'] },
});

function client(client_id, redirect_uri) {
  return {
    client_id,
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: [redirect_uri],
  };
}

async function consent(clientId) {
  const grant = new provider.Grant({ accountId: 'alice', clientId });
  grant.addOIDCScope('openid');
  grant.addResourceScope(RESOURCE, SCOPE);
  return grant.save();
}

async function session() {
  const demo = await provider.Client.find('demo');
  const grantId = await consent('demo');
  const issued = { accountId: 'alice', client: demo, grantId, gty: 'authorization_code', resource: RESOURCE, scope: SCOPE };
  return new provider.RefreshToken({ ...issued, authTime: Math.floor(Date.now() / 1000), rotations: 0 }).save();
}

async function register(name) {
  await provider.Client.adapter.upsert(name, client(name, 'https://shop.example/callback'));
  consents.set(name, await consent(name));
}

const names = Array.from({ length: Number(PEER_CLIENTS) }, (_, number) => `shop-${number}`);
while (names.length) await Promise.all(names.splice(0, 500).map(register));

const tokens = [];
for (let left = Number(PEER_SESSIONS); left > 0; left -= 1) tokens.push(await session());
writeFileSync(PEER_TOKENS, JSON.stringify(tokens));

const installed = new URL('./node_modules/oidc-provider/package.json', import.meta.url);
writeFileSync(`${PEER_TOKENS}.version`, `oidc-provider ${JSON.parse(readFileSync(installed)).version}, Node ${process.version}`);

const protocol = provider.callback();
const pages = signIn(provider);
const isPage = ({ url }) => url.startsWith('/interaction/');
createServer((request, response) => (isPage(request) ? pages : protocol)(request, response)).listen(Number(PEER_PORT), '127.0.0.1');
