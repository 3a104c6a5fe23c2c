// The official client against a cortex. PHOENIX names the installed package: its versions play the same scenarios.
import assert from "node:assert/strict"
import { ENDPOINT, Inbox, KEY, TOKEN, run, scenario, within } from "./harness.mjs"

const phoenix = await import(process.env.PHOENIX)
const { Socket, Presence } = phoenix.Socket ? phoenix : phoenix.default

function connect(options = {}) {
  const soon = () => 10 // ms; the client's own backoff takes seconds
  const socket = new Socket(ENDPOINT, {
    transport: WebSocket, reconnectAfterMs: soon, rejoinAfterMs: soon, ...options,
  })
  socket.connect()
  return socket
}

/** The response of an ok, or an error with the response of anything else. */
const reply = (push, what = push.event) =>
  within(
    new Promise((resolve, reject) => {
      const refuse = (status) => (response) => reject(Object.assign(new Error(`${what}: ${status}`), { response }))
      push.receive("ok", resolve).receive("error", refuse("error")).receive("timeout", refuse("timeout"))
    }),
    `a reply to ${what}`,
  )

const refusal = async (push) => {
  const error = await reply(push).then(() => assert.fail(`${push.event} was not refused`), (error) => error)
  return error.response
}

/** Join as an agent; the inbox collects what the cortex sends. */
async function join(socket, agent, events = ["thought", "result", "interrupted", "pong"]) {
  const channel = socket.channel(`cortex:${agent}`, { api_key: KEY })
  const inbox = new Inbox()
  for (const event of events) channel.on(event, inbox.on(event))
  channel.onError(inbox.on("error"))
  channel.onClose(inbox.on("close"))
  const response = await reply(channel.join(), "join")
  return { channel, inbox, response, topic: channel.topic }
}

const settled = (channel) => reply(channel.push("ping", {})) // whatever was on its way before this has come

scenario("an agent joins and is told its id", async () => {
  const { response } = await join(connect(), "my_agent")
  assert.deepEqual(response, { agent_id: "my_agent" })
})

scenario("a query is accepted, streams its thoughts in order and ends with its result", async () => {
  const { channel, inbox } = await join(connect(), "my_agent")
  const accepted = await reply(channel.push("query", { q: "thoughts=3", ref: "q1" }))
  assert.deepEqual(accepted, { ref: "q1", status: "processing" })
  const result = await inbox.next("result")
  assert.deepEqual({ ...result, latency_ms: 0 },
    { ref: "q1", status: "success", data: { echo: "thoughts=3" }, latency_ms: 0 })
  assert.ok(result.latency_ms >= 0)
  const thoughts = inbox.rest()
  assert.deepEqual(thoughts.map(([event, { ref, thought }]) => [event, ref, thought]),
    [1, 2, 3].map((n) => ["thought", "q1", { type: "reasoning", content: `step ${n}` }]))
  assert.ok(thoughts.every(([, { timestamp }]) => Number.isInteger(timestamp)))
})

scenario("the queries of two agents on one socket do not mix", async () => {
  const socket = connect()
  const [one, two] = [await join(socket, "one"), await join(socket, "two")]
  one.channel.push("query", { q: "thoughts=2", ref: "same" })
  two.channel.push("query", { q: "thoughts=0", ref: "same" })
  assert.equal((await one.inbox.next("result")).data.echo, "thoughts=2")
  assert.equal((await two.inbox.next("result")).data.echo, "thoughts=0")
  assert.equal(one.inbox.rest().length, 2)
  assert.deepEqual(two.inbox.rest(), [])
})

scenario("a handler that fails gives a result that says so", async () => {
  const { channel, inbox } = await join(connect(), "my_agent")
  await reply(channel.push("query", { q: "thoughts=0 fail=1", ref: "q1" }))
  assert.equal((await inbox.next("result")).status, "error")
})

scenario("an interrupt in mid-stream ends a query, and no result follows", async () => {
  const { channel, inbox } = await join(connect(), "my_agent")
  await reply(channel.push("query", { q: "thoughts=1000 delay_ms=5", ref: "q1" }))
  await inbox.next("thought")
  assert.deepEqual(await reply(channel.push("interrupt", { ref: "q1", reason: "enough" })), {})
  assert.deepEqual(await inbox.next("interrupted"), { ref: "q1", reason: "enough" })
  inbox.rest()
  await settled(channel)
  assert.deepEqual(inbox.rest().map(([event]) => event), ["pong"])
})

scenario("a ping is acknowledged and answered by a pong", async () => {
  const { channel, inbox } = await join(connect(), "my_agent")
  const { pong } = await reply(channel.push("ping", {}))
  assert.deepEqual(await inbox.next("pong"), { timestamp: pong })
})

scenario("a message that lacks a field is refused by name", async () => {
  const { channel } = await join(connect(), "my_agent")
  assert.equal((await refusal(channel.push("query", { q: "no ref" }))).reason, "missing required fields: q, ref")
  assert.equal((await refusal(channel.push("interrupt", {}))).reason, "missing required fields: ref")
  await settled(channel)
})

scenario("an unknown event is refused by name, and the channel lives on", async () => {
  const { channel, inbox } = await join(connect(), "my_agent")
  assert.deepEqual(await refusal(channel.push("bogus", {})), { reason: "unmatched event: bogus" })
  await settled(channel)
  assert.deepEqual(inbox.rest().map(([event]) => event), ["pong"])
})

scenario("an unknown topic is refused", async () => {
  const push = connect().channel("room:lobby").join()
  assert.deepEqual(await refusal(push), { reason: "unmatched topic" })
})

scenario("a join without a key is refused, and so is one with a wrong key", async () => {
  const socket = connect()
  assert.deepEqual(await refusal(socket.channel("cortex:nobody").join()), { reason: "api_key required" })
  assert.deepEqual(await refusal(socket.channel("cortex:thief", { api_key: "wrong" }).join()), { reason: "unauthorized" })
})

scenario("a refused join is tried again by itself, and gets in once the key is right", async () => {
  let key = "wrong"
  const inbox = new Inbox()
  const channel = connect().channel("cortex:late", () => ({ api_key: key }))
  channel.join().receive("ok", inbox.on("ok")).receive("error", inbox.on("refused"))
  assert.deepEqual(await inbox.next("refused"), { reason: "unauthorized" })
  key = KEY
  assert.deepEqual(await inbox.next("ok"), { agent_id: "late" })
  await settled(channel)
})

scenario("Jupyter's token in the address opens every door without a key", async () => {
  const channel = connect({ params: { token: TOKEN } }).channel("cortex:anyone")
  assert.deepEqual(await reply(channel.join()), { agent_id: "anyone" })
})

scenario("an authToken opens the agents that it names, and no other", async () => {
  const issued = await fetch(`${ENDPOINT.replace("ws", "http")}/api/tokens`, {
    method: "POST", headers: { Authorization: `token ${TOKEN}` }, body: JSON.stringify({ agent: "lab-*" }),
  })
  const socket = connect({ authToken: (await issued.json()).token })
  assert.deepEqual(await reply(socket.channel("cortex:lab-1").join()), { agent_id: "lab-1" })
  assert.deepEqual(await refusal(socket.channel("cortex:elsewhere").join()), { reason: "unauthorized" })
})

scenario("an authToken of nobody's is refused before anything opens", async () => {
  const socket = connect({ authToken: "made-up" })
  const inbox = new Inbox()
  socket.onOpen(() => inbox.put("opened"))
  socket.onClose(({ code }) => inbox.put("closed", code))
  assert.equal(await inbox.next("closed"), 1006)
  assert.deepEqual(inbox.rest(), [])
})

scenario("heartbeats are answered, so that the client stays connected", async () => {
  const socket = connect({ heartbeatIntervalMs: 20 })
  const inbox = new Inbox()
  socket.onMessage((message) => message.topic === "phoenix" && inbox.put("beat", message.payload))
  socket.onClose(inbox.on("close"))
  for (let beat = 0; beat < 5; beat++) assert.deepEqual(await inbox.next("beat"), { status: "ok", response: {} })
  assert.deepEqual(inbox.rest().filter(([event]) => event === "close"), [])
})

scenario("connections of one agent are presences of one key, and go with a leave or a disconnect", async () => {
  const sockets = [connect(), connect(), connect()]
  const watching = sockets[0].channel("cortex:crowd", { api_key: KEY })
  const presence = new Presence(watching)
  const inbox = new Inbox()
  presence.onSync(() => inbox.put("sync"))
  const present = async (count) => {
    while (presence.list((key, { metas }) => [key, metas.length]).flat().join() !== `crowd,${count}`) await inbox.next("sync")
  }
  await reply(watching.join())
  await present(1)
  const leaving = await join(sockets[1], "crowd")
  await join(sockets[2], "crowd")
  await present(3)
  const metas = presence.list((_, { metas }) => metas)[0]
  assert.equal(new Set(metas.map((meta) => meta.phx_ref)).size, 3)
  assert.ok(metas.every((meta) => meta.status === "active" && Number.isInteger(meta.online_at)))
  leaving.channel.leave()
  await present(2)
  sockets[2].disconnect()
  await present(1)
})

scenario("a presence that changes is one presence still, with the new meta", async () => {
  const socket = connect()
  const channel = socket.channel("cortex:client-busy", { api_key: KEY })
  const presence = new Presence(channel)
  const inbox = new Inbox()
  presence.onSync(() => inbox.put("sync"))
  await reply(channel.join())
  await reply(channel.push("test:meta", { status: "busy" }))
  const metas = () => presence.list((_, { metas }) => metas)[0] ?? []
  while (metas()[0]?.status !== "busy") await inbox.next("sync")
  assert.equal(metas().length, 1)
  assert.ok(metas()[0].phx_ref_prev)
})

scenario("the roster of all agents can be watched", async () => {
  const roster = connect().channel("cortex:presence", { api_key: KEY })
  const presence = new Presence(roster)
  const inbox = new Inbox()
  presence.onSync(() => inbox.put("sync"))
  const listed = async (agent, is) => {
    while (presence.list((key) => key).includes(agent) !== is) await inbox.next("sync")
  }
  await reply(roster.join())
  const socket = connect()
  await join(socket, "seen")
  await listed("seen", true)
  socket.disconnect()
  await listed("seen", false)
})

scenario("a leave is acknowledged, closes the channel and no other", async () => {
  const socket = connect()
  const [staying, leaving] = [await join(socket, "staying"), await join(socket, "leaving")]
  await reply(leaving.channel.leave(), "leave")
  await leaving.inbox.next("close")
  await settled(staying.channel)
  assert.deepEqual((await join(socket, "leaving")).response, { agent_id: "leaving" })
})

scenario("a second join of a topic takes over from the first", async () => {
  const socket = connect()
  const first = await join(socket, "twice")
  const second = await join(socket, "twice")
  await first.inbox.next("close")
  await reply(second.channel.push("query", { q: "thoughts=0", ref: "q1" }))
  await second.inbox.next("result")
  assert.deepEqual(first.inbox.rest(), [])
})

scenario("a channel that crashes is an error to the client, which joins again by itself", async () => {
  const { channel, inbox } = await join(connect(), "client-crash")
  const joined = new Inbox()
  channel.joinPush.receive("ok", joined.on("ok"))
  await joined.next("ok") // an earlier reply is given at once
  channel.push("test:crash", {})
  await inbox.next("error")
  assert.deepEqual(await joined.next("ok"), { agent_id: "client-crash" })
  await settled(channel)
})

scenario("a channel that the server ends is closed to the client, which does not join again", async () => {
  const { channel, inbox } = await join(connect(), "client-stop")
  assert.deepEqual(await reply(channel.push("test:stop_reply", {})), { bye: true })
  await inbox.next("close")
  assert.equal(channel.state, "closed")
})

async function comesBack(code, hangUp) {
  const socket = connect()
  const { channel } = await join(socket, "client-back")
  const inbox = new Inbox()
  channel.joinPush.receive("ok", inbox.on("joined"))
  await inbox.next("joined") // an earlier reply is given at once
  socket.onClose(({ code }) => inbox.put("closed", code))
  hangUp(channel)
  assert.equal(await inbox.next("closed"), code)
  assert.deepEqual(await inbox.next("joined"), { agent_id: "client-back" })
  await settled(channel)
}

scenario("a client that the server disconnects comes back and joins again", () =>
  comesBack(1001, (channel) => channel.push("test:disconnect", {})))

scenario("a client that sent a malformed frame is cut off, comes back and joins again", () =>
  comesBack(1011, (channel) => channel.socket.conn.send("{nope")))

scenario("a push that is made before the join is answered is sent after it", async () => {
  const channel = connect().channel("cortex:hasty", { api_key: KEY })
  channel.join()
  const pinged = reply(channel.push("ping", {}))
  assert.ok((await pinged).pong > 0)
})

scenario("bytes are echoed, pushed and broadcast as bytes", async () => {
  const { channel, inbox } = await join(connect(), "client-bytes", ["test:push", "test:shout"])
  const bytes = new Uint8Array([0, 1, 254, 255])
  const same = (data) => assert.deepEqual(new Uint8Array(data), bytes)
  same(await reply(channel.push("test:echo", bytes.buffer)))
  channel.push("test:push", bytes.buffer)
  same(await inbox.next("test:push"))
  channel.push("test:shout", bytes.buffer)
  same(await inbox.next("test:shout"))
})

scenario("text is text, whatever the script", async () => {
  const { channel } = await join(connect(), "client-text")
  const payload = { "ключ": "Grüße, 世界 🧠 \u0000 \u2028 \"quoted\" \\" }
  assert.deepEqual(await reply(channel.push("test:echo", payload)), payload)
})

scenario("a broadcast reaches every member, its sender included", async () => {
  const members = [await join(connect(), "client-shout", ["test:shout"]), await join(connect(), "client-shout", ["test:shout"])]
  members[0].channel.push("test:shout", { n: 1 })
  for (const { inbox } of members) assert.deepEqual(await inbox.next("test:shout"), { n: 1 })
})

scenario("object frames, as clients before 1.4 send them, do the same", async () => {
  const socket = connect({
    vsn: "1.0.0",
    encode: (message, done) => done(JSON.stringify(message)),
    decode: (text, done) => done(JSON.parse(text)),
  })
  const { channel, inbox } = await join(socket, "my_agent")
  await reply(channel.push("query", { q: "thoughts=2", ref: "q1" }))
  await inbox.next("thought")
  await inbox.next("thought")
  assert.equal((await inbox.next("result")).status, "success")
  await reply(channel.leave(), "leave")
  await inbox.next("close")
})

await run()
