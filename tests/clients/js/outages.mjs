// What the official client makes of a server that goes and of a network that fails: all by itself.
import assert from "node:assert/strict"
import { createInterface } from "node:readline"
import { ENDPOINT, Inbox, KEY, run, scenario, within } from "./harness.mjs"

const phoenix = await import(process.env.PHOENIX)
const { Socket, Presence } = phoenix.Socket ? phoenix : phoenix.default

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** Have the test do something to the server or the network, and wait until it is done. */
async function order(what) {
  console.log(what)
  assert.equal((await within(answers.next(), `the answer to ${what}`, 30000)).value, "done")
}

/** Join, and collect what comes, presence included. */
async function visit(agent, options = {}) {
  const soon = () => 50 // ms; its own backoff takes up to 5 s
  const socket = new Socket(ENDPOINT, { transport: WebSocket, reconnectAfterMs: soon, ...options })
  const channel = socket.channel(`cortex:${agent}`, { api_key: KEY })
  const inbox = new Inbox()
  for (const event of ["thought", "result", "interrupted"]) channel.on(event, inbox.on(event))
  const presence = new Presence(channel)
  presence.onSync(() => inbox.put("sync"))
  socket.onClose(inbox.on("closed"))
  socket.connect()
  channel.join().receive("ok", inbox.on("joined"))
  await inbox.next("joined")
  const metas = () => presence.list((_, { metas }) => metas)
  return { channel, inbox, metas, ref: await alone({ inbox, metas }) }
}

/** Wait until the agent is present, once, by another meta than before; return its ref. */
async function alone({ inbox, metas }, before) {
  for (;;) {
    const [own, ...others] = metas()
    if (own?.length === 1 && others.length === 0 && own[0].phx_ref !== before) return own[0].phx_ref
    await inbox.next("sync")
  }
}

/** A query and all of its thoughts. */
async function streams({ channel, inbox }, ref) {
  channel.push("query", { q: "thoughts=5 delay_ms=2", ref })
  for (let step = 1; step <= 5; step++) {
    const thought = await inbox.next("thought")
    assert.deepEqual([thought.ref, thought.thought.content], [ref, `step ${step}`])
  }
  assert.equal((await inbox.next("result")).ref, ref)
}

async function begun({ channel, inbox }, q) {
  channel.push("query", { q, ref: "begun", timeout: 60000 })
  assert.equal((await inbox.next("thought")).thought.content, "step 1")
}

async function isBack(agent) {
  assert.deepEqual(await agent.inbox.next("joined"), { agent_id: agent.channel.topic.slice("cortex:".length) })
  await alone(agent, agent.ref)
}

scenario("a server that restarts ends its queries and is found again", async () => {
  const agent = await visit("restarted")
  await begun(agent, "thoughts=100000 delay_ms=20")
  await order("restart")
  assert.deepEqual(await agent.inbox.next("interrupted"), { ref: "begun", reason: "shutting_down" })
  assert.equal((await agent.inbox.next("closed")).code, 1012)
  await isBack(agent)
  agent.inbox.rest()
  await streams(agent, "after")
})

scenario("a server that was killed is found again", async () => {
  const agent = await visit("bereft")
  await begun(agent, "thoughts=100000 delay_ms=20")
  await order("kill")
  assert.equal((await agent.inbox.next("closed")).code, 1006)
  await isBack(agent)
  agent.inbox.rest()
  await streams(agent, "after")
})

scenario("a query goes on through a cut of the network", async () => {
  const agent = await visit("cut")
  await begun(agent, "thoughts=60 delay_ms=20")
  await order("cut")
  assert.equal((await agent.inbox.next("closed")).code, 1006)
  await isBack(agent)
  const result = await agent.inbox.next("result")
  assert.deepEqual([result.ref, result.status], ["begun", "success"])
  agent.inbox.rest()
  await streams(agent, "after")
})

scenario("a network that swallows all is given up after a heartbeat, and comes back", async () => {
  const agent = await visit("lost", { heartbeatIntervalMs: 200 })
  await begun(agent, "thoughts=150 delay_ms=20")
  await order("blackhole")
  const { socket } = agent.channel
  while (socket.isConnected()) await new Promise((look) => setTimeout(look, 20)) // 1.5 tells no one before it is closed
  await order("heal")
  await isBack(agent)
  const result = await agent.inbox.next("result")
  assert.deepEqual([result.ref, result.status], ["begun", "success"])
  agent.inbox.rest()
  await streams(agent, "after")
})

await run()
