// openid-client 6: everything a web app does, from the address of the issuer to signing out.
import * as oidc from 'openid-client'
import { asked, browse, refusal, tell } from './conversation.mjs'

const { issuer, client, redirect_uri, after, scope, orders } = asked

/** The key that the client proves itself with, and signs its requests. */
async function signingKey() {
  const { kty, crv, kid } = client.jwk
  const kind = kty === 'EC' ? { name: 'ECDSA', namedCurve: crv } : { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  return { key: await crypto.subtle.importKey('jwk', client.jwk, kind, false, ['sign']), kid }
}

const authentication = {
  none: () => oidc.None(),
  client_secret_basic: () => oidc.ClientSecretBasic(client.secret),
  client_secret_post: () => oidc.ClientSecretPost(client.secret),
  private_key_jwt: async () => oidc.PrivateKeyJwt(await signingKey()),
}[client.method]

// On loopback the issuer is http, which the library wants said.
const insecure = issuer.startsWith('http:') ? [oidc.allowInsecureRequests] : []
const config = await oidc.discovery(new URL(issuer), client.id, undefined, await authentication(), { execute: insecure })
oidc.enableNonRepudiationChecks(config) // The signature of an ID token is checked, although it came over our own connection.
const DPoP = client.dpop ? oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair('ES256')) : undefined

/** Where the browser is sent: with everything in the link, or signed, or pushed before. */
async function address(request) {
  if (client.signs) return oidc.buildAuthorizationUrlWithJAR(config, request, await signingKey())
  if (client.pushes) return oidc.buildAuthorizationUrlWithPAR(config, request, { DPoP })
  return oidc.buildAuthorizationUrl(config, request)
}

async function signIn(parameters = {}) {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
  const [expectedState, expectedNonce] = [oidc.randomState(), oidc.randomNonce()]
  const request = {
    redirect_uri, scope, state: expectedState, nonce: expectedNonce, code_challenge_method: 'S256',
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier), ...parameters,
  }
  const url = await address(request)
  const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true }
  const tokens = await oidc.authorizationCodeGrant(config, await browse(url), checks, undefined, { DPoP })
  return { tokens, asked: [...url.searchParams.keys()] }
}

const first = await signIn()
const claims = first.tokens.claims()
const userinfo = await oidc.fetchUserInfo(config, first.tokens.access_token, claims.sub, { DPoP })
const refreshed = await oidc.refreshTokenGrant(config, first.tokens.refresh_token, undefined, { DPoP })
const order = (token) => oidc.fetchProtectedResource(config, token, new URL('/orders', orders), 'GET', null, undefined, { DPoP })
const called = (await order(refreshed.access_token)).status

await oidc.tokenRevocation(config, refreshed.refresh_token)
const revoked = await refusal(() => oidc.refreshTokenGrant(config, refreshed.refresh_token, undefined, { DPoP }))

// The person is still signed in at the issuer, and allowed everything: nobody is asked.
const { tokens: second } = await signIn({ prompt: 'none' })
const back = await browse(oidc.buildEndSessionUrl(config, {
  id_token_hint: second.id_token, post_logout_redirect_uri: after, state: 'bye',
}))
const signedOut = await refusal(() => oidc.refreshTokenGrant(config, second.refresh_token, undefined, { DPoP }))
const silent = await refusal(() => signIn({ prompt: 'none' }))

tell({
  claims, userinfo, called, revoked, back, signedOut, silent, asked: first.asked, token_type: refreshed.token_type,
  refreshed: refreshed.claims(), second: second.claims(),
  rotated: refreshed.refresh_token !== first.tokens.refresh_token,
})
