// What a script and the test that started it say to each other, a JSON line each: the script asks for a browser, and tells
// what came of everything in the end.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** What the test wants done. */
export const asked = JSON.parse((await lines.next()).value)

const say = (said) => process.stdout.write(`${JSON.stringify(said)}\n`)

/** Sends a person to `url`; returns the address at which they come back. */
export async function browse(url) {
  say({ open: String(url) })
  return new URL((await lines.next()).value)
}

/** Ends the script. */
export function tell(result) {
  say({ result })
  process.exit(0)
}

/** Returns the code of the protocol error that `action` fails with. */
export async function refusal(action) {
  try {
    await action()
  } catch (error) {
    if (error.error) return error.error
    throw error
  }
  return 'nothing was refused'
}
