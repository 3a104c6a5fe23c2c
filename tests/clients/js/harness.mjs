// Scenarios by name, one a process: `node phoenix.mjs "a name"`. A failure goes to stderr, with exit code 1.

export const ENDPOINT = process.env.CORTEX_ENDPOINT // without the "/websocket", which the clients append
export const KEY = process.env.CORTEX_KEY
export const TOKEN = process.env.CORTEX_TOKEN // Jupyter's

const scenarios = new Map()

export const scenario = (name, play) => scenarios.set(name, play)

export async function run() {
  const name = process.argv[2]
  if (!scenarios.has(name)) throw new Error(`no scenario "${name}"`)
  try {
    await scenarios.get(name)()
    process.exit(0)
  } catch (error) {
    console.error(error)
    process.exit(1)
  }
}

/** A promise, or an error that says what did not come. */
export function within(promise, what, ms = 10000) {
  let timer
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`never came: ${what}`)), ms)))
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** What has happened, in order: callbacks put it in, scenarios take it out. */
export class Inbox {
  #kept = []
  #wake = () => {}

  put(event, payload) {
    this.#kept.push([event, payload])
    this.#wake()
  }

  /** A callback that puts its argument in under a name. */
  on(event) {
    return (payload) => this.put(event, payload)
  }

  /** The oldest payload under a name, taken out; waits for one. */
  async next(event) {
    for (;;) {
      const found = this.#kept.findIndex(([name]) => name === event)
      if (found >= 0) return this.#kept.splice(found, 1)[0][1]
      await within(new Promise((wake) => (this.#wake = wake)), `"${event}"; there was ${JSON.stringify(this.#kept)}`)
    }
  }

  /** All that is left, as [name, payload], taken out. */
  rest() {
    return this.#kept.splice(0)
  }
}
