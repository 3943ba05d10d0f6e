// Auth.js with the settings of docs/clients.md: `@auth/core` is what NextAuth hands requests to.
import { writeFile } from 'node:fs/promises'
import { Auth } from '@auth/core'
import { decode } from '@auth/core/jwt'
import { asked, browse, tell } from './conversation.mjs'

const { app, settings, folder } = asked

let config
globalThis.NextAuth = (given) => {
  config = { ...given, basePath: '/api/auth', trustHost: true, secret: 's'.repeat(32), useSecureCookies: false }
  return {}
}
await writeFile(`${folder}/auth.mjs`, settings.replace('import NextAuth from "next-auth";', ''))
await import(`${folder}/auth.mjs`)

const cookies = new Map()

/** A request of the browser to Auth.js's own routes. */
async function visit(url, form) {
  const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') }
  const body = form && new URLSearchParams(form)
  const answer = await Auth(new Request(new URL(url, app), { method: form ? 'POST' : 'GET', headers, body }), config)
  for (const cookie of answer.headers.getSetCookie()) {
    const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/)
    if (/Max-Age=0/i.test(cookie) || !value) cookies.delete(name)
    else cookies.set(name, value)
  }
  return answer
}

const { csrfToken } = await (await visit('/api/auth/csrf')).json()
const sent = await visit('/api/auth/signin/identity', { csrfToken, callbackUrl: app })
const link = new URL(sent.headers.get('location'))
const back = await visit(await browse(link))
const session = await (await visit('/api/auth/session')).json()

// What the page's callback makes of the tokens in the cookie: now, when they are old, and when the session is over.
const salt = 'authjs.session-token'
const kept = await decode({ token: cookies.get(salt), secret: config.secret, salt })
const { jwt } = config.callbacks
const old = { ...kept, expires_at: 0 }
const refreshed = await jwt({ token: old })

tell({
  session, kept, refreshed, landed: back.headers.get('location'), asked: Object.fromEntries(link.searchParams),
  young: await jwt({ token: kept }), over: await jwt({ token: { ...old, refresh_token: 'nonsense' } }),
})
