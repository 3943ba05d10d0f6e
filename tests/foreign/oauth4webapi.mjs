// oauth4webapi 3: the same steps by hand, each answer checked by the library; and our access token, as a service checks it.
import * as oauth from 'oauth4webapi'
import { asked, browse, refusal, tell } from './conversation.mjs'

const { issuer, client: registered, redirect_uri, after, scope, orders } = asked

const client = { client_id: registered.id }
const authentication = registered.method === 'none' ? oauth.None() : oauth.ClientSecretBasic(registered.secret)
const options = { [oauth.allowInsecureRequests]: issuer.startsWith('http:') } // On loopback the issuer is http.
const address = new URL(issuer)
const discovered = await oauth.discoveryRequest(address, { algorithm: asked.discovery, ...options })
const server = await oauth.processDiscoveryResponse(address, discovered)

function link(parameters) {
  const url = new URL(server.authorization_endpoint)
  url.search = new URLSearchParams({ client_id: client.client_id, redirect_uri, scope, response_type: 'code', ...parameters })
  return url
}

async function signIn(parameters = {}) {
  const verifier = oauth.generateRandomCodeVerifier()
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
  const code_challenge = await oauth.calculatePKCECodeChallenge(verifier)
  const back = await browse(link({ state, nonce, code_challenge, code_challenge_method: 'S256', ...parameters }))
  const answer = oauth.validateAuthResponse(server, client, back, state)
  const redeemed = await oauth.authorizationCodeGrantRequest(
    server, client, authentication, answer, redirect_uri, verifier, options)
  const tokens = await oauth.processAuthorizationCodeResponse(
    server, client, redeemed, { expectedNonce: nonce, requireIdToken: true })
  await oauth.validateApplicationLevelSignature(server, redeemed, options)
  return tokens
}

async function refresh(token) {
  const answer = await oauth.refreshTokenGrantRequest(server, client, authentication, token, options)
  return oauth.processRefreshTokenResponse(server, client, answer)
}

const first = await signIn()
const claims = oauth.getValidatedIdTokenClaims(first)
const told = await oauth.userInfoRequest(server, client, first.access_token, options)
const userinfo = await oauth.processUserInfoResponse(server, client, claims.sub, told)
const refreshed = await refresh(first.refresh_token)
const called = await oauth.protectedResourceRequest(
  refreshed.access_token, 'GET', new URL('/orders', orders), undefined, null, options)
const request = new Request(orders, { headers: { authorization: `Bearer ${refreshed.access_token}` } })
const verified = await oauth.validateJwtAccessToken(server, request, orders, options)

await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, authentication, refreshed.refresh_token, options))
const revoked = await refusal(() => refresh(refreshed.refresh_token))

const second = await signIn({ prompt: 'none' })
const out = new URL(server.end_session_endpoint)
out.search = new URLSearchParams({ id_token_hint: second.id_token, post_logout_redirect_uri: after, state: 'bye' })
const back = await browse(out)
const signedOut = await refusal(() => refresh(second.refresh_token))
const silent = await refusal(() => signIn({ prompt: 'none' }))

tell({
  claims, userinfo, called: called.status, revoked, back, signedOut, silent, verified, token_type: refreshed.token_type,
  refreshed: oauth.getValidatedIdTokenClaims(refreshed), second: oauth.getValidatedIdTokenClaims(second),
  rotated: refreshed.refresh_token !== first.refresh_token,
})
