// oidc-provider set up to do what our server does: rotating refresh tokens in Redis, RS256 JWT access tokens for one
// resource, a public client, no ID token. Writes the refresh tokens of PEER_SESSIONS sessions to PEER_TOKENS and listens.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

import Provider from 'oidc-provider';

import { RedisAdapter } from './adapter.mjs';

const { PEER_PORT, PEER_SESSIONS, PEER_TOKENS } = process.env;
const RESOURCE = 'http://127.0.0.1:18701';
const SCOPE = 'orders:read';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(`http://127.0.0.1:${PEER_PORT}`, {
  adapter: RedisAdapter,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'benchmark' }] },
  clients: [{
    client_id: 'demo',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['https://client.example/callback'],
  }],
  rotateRefreshToken: true,
  async findAccount(_ctx, id) {
    return { accountId: id, claims: async () => ({ sub: id }) };
  },
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      getResourceServerInfo: () => ({
        audience: RESOURCE,
        scope: `${SCOPE} orders:write`,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  ttl: { RefreshToken: 1209600, Grant: 1209600 },
  cookies: { keys: ['unused'] },
});

async function session() {
  const client = await provider.Client.find('demo');
  const grant = new provider.Grant({ accountId: 'alice', clientId: 'demo' });
  grant.addResourceScope(RESOURCE, SCOPE);
  const grantId = await grant.save();
  const issued = { accountId: 'alice', client, grantId, gty: 'authorization_code', resource: RESOURCE, scope: SCOPE };
  return new provider.RefreshToken({ ...issued, authTime: Math.floor(Date.now() / 1000), rotations: 0 }).save();
}

const tokens = [];
for (let left = Number(PEER_SESSIONS); left > 0; left -= 1) tokens.push(await session());
writeFileSync(PEER_TOKENS, JSON.stringify(tokens));

const installed = new URL('./node_modules/oidc-provider/package.json', import.meta.url);
writeFileSync(`${PEER_TOKENS}.version`, `oidc-provider ${JSON.parse(readFileSync(installed)).version}, Node ${process.version}`);
provider.listen(Number(PEER_PORT), '127.0.0.1');
