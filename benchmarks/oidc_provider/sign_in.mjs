// The login page, as oidc-provider's guide has it: the page that is waited on is looked up, the password verified, and the
// browser sent back to where the request goes on. Our server does the same in front of a table of people in SQL.

import { hash, verify } from '@node-rs/argon2';

const OWASP = { memoryCost: 19456, timeCost: 2, parallelism: 1 };
const LIGHT = { memoryCost: 8, timeCost: 1, parallelism: 1 };

export function signIn(provider) {
  const people = new Map([['alice', hash('wonderland', OWASP)], ['quick', hash('wonderland', LIGHT)]]);

  return async function page(request, response) {
    try {
      const { uid } = await provider.interactionDetails(request, response);
      if (request.method === 'GET') return answer(response, 200, form(uid));
      const sent = new URLSearchParams(await bodyOf(request));
      const stored = await people.get(sent.get('username'));
      if (!stored || !(await verify(stored, sent.get('password')))) return answer(response, 403, form(uid));
      // Everybody is alice: what clients may have was settled for her.
      return await provider.interactionFinished(request, response, { login: { accountId: 'alice', amr: ['pwd'] } });
    } catch (error) {
      return answer(response, 400, error.message);
    }
  };
}

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

function answer(response, status, html) {
  const headers = { 'Content-Type': 'text/html', 'Content-Length': Buffer.byteLength(html), 'Cache-Control': 'no-store' };
  response.writeHead(status, headers).end(html);
}

const form = (uid) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in</title></head><body><main>
<h1>Sign in</h1>
<form method="post" action="/interaction/${uid}">
  <input type="hidden" name="interaction" value="${uid}">
  <label for="username">Username</label>
  <input id="username" name="username" type="text" autocomplete="username" required maxlength="255">
  <label for="password">Password</label>
  <input id="password" name="password" type="password" autocomplete="current-password" required maxlength="1024">
  <button type="submit">Sign in</button>
</form></main></body></html>`;
