// Supabase's client. It prefixes topics with "realtime:" and speaks V2 with frames of its own; it knows rooms, where
// a test channel stands in for Supabase's server, and it reaches a cortex by a channel that is built directly.
import assert from "node:assert/strict"
import { RealtimeChannel, RealtimeClient } from "@supabase/realtime-js"
import { ENDPOINT, Inbox, KEY, run, scenario, within } from "./harness.mjs"

function client(options = {}) {
  return new RealtimeClient(ENDPOINT, { params: { apikey: "needed by the client" }, reconnectAfterMs: () => 10, ...options })
}

/** Subscribe, collecting what comes in an inbox; "status" has what the client makes of the join. */
function subscribe(channel, { broadcasts = [], events = [] } = {}) {
  const inbox = new Inbox()
  for (const event of broadcasts) channel.on("broadcast", { event }, ({ payload }) => inbox.put(event, payload))
  for (const event of events) channel.on(event, {}, inbox.on(event))
  channel.subscribe((status, error) => inbox.put("status", error ? `${status}: ${error.cause?.reason || error.message}` : status))
  return inbox
}

async function subscribed(channel, wanted) {
  const inbox = subscribe(channel, wanted)
  assert.equal(await inbox.next("status"), "SUBSCRIBED")
  return inbox
}

/** A channel of the cortex. */
function agent(client, id, payload = { api_key: KEY }) {
  const channel = new RealtimeChannel(`cortex:${id}`, { config: {} }, client)
  channel.updateJoinPayload(payload)
  return channel
}

scenario("a room is subscribed to", async () => {
  await subscribed(client().channel("lobby"))
})

scenario("a room that refuses is a channel error with its reason", async () => {
  const inbox = subscribe(client().channel("closed"))
  assert.equal(await inbox.next("status"), "CHANNEL_ERROR: closed")
})

scenario("a broadcast in object frames reaches the others, and its sender only if it asks for that", async () => {
  const room = (self) => client({ vsn: "1.0.0" }).channel("chat", { config: { broadcast: { self, ack: true } } })
  const [quiet, loud] = [room(false), room(true)]
  const heard = [await subscribed(quiet, { broadcasts: ["said"] }), await subscribed(loud, { broadcasts: ["said"] })]
  assert.equal(await quiet.send({ type: "broadcast", event: "said", payload: { n: 1 } }), "ok")
  assert.equal(await loud.send({ type: "broadcast", event: "said", payload: { n: 2 } }), "ok")
  assert.deepEqual(await heard[1].next("said"), { n: 1 })
  assert.deepEqual(await heard[1].next("said"), { n: 2 })
  assert.deepEqual(await heard[0].next("said"), { n: 2 })
})

scenario("a broadcast by another client is heard in array frames too", async () => {
  const config = { broadcast: { ack: true } }
  const heard = await subscribed(client().channel("mixed"), { broadcasts: ["said"] })
  const sender = client({ vsn: "1.0.0" }).channel("mixed", { config })
  await subscribed(sender)
  assert.equal(await sender.send({ type: "broadcast", event: "said", payload: { n: 1 } }), "ok")
  assert.deepEqual(await heard.next("said"), { n: 1 })
})

scenario("a frame kind of Supabase's own is refused as by Phoenix, and the client comes back", async () => {
  const connection = client()
  const channel = connection.channel("vendor")
  const inbox = await subscribed(channel)
  connection.socketAdapter.onClose(({ code }) => inbox.put("closed", code))
  await channel.send({ type: "broadcast", event: "said", payload: {} })
  assert.equal(await inbox.next("closed"), 1011)
  assert.match(await inbox.next("status"), /^CHANNEL_ERROR/)
  assert.equal(await inbox.next("status"), "SUBSCRIBED")
})

scenario("tracked presences are seen by all, and go with their clients", async () => {
  const inbox = new Inbox()
  const room = (key) => client().channel("crowd", { config: { presence: { key } } })
  const watching = room("watcher").on("presence", { event: "sync" }, () => inbox.put("sync"))
  const present = async (expected) => {
    const mood = () => Object.entries(watching.presenceState()).map(([key, metas]) => `${key}: ${metas.map((meta) => meta.mood)}`)
    while (mood().sort().join("; ") !== expected) await inbox.next("sync")
  }
  await subscribed(watching)
  assert.equal(await watching.track({ mood: "calm" }), "ok")
  await present("watcher: calm")
  const guest = room("guest")
  await subscribed(guest)
  assert.equal(await guest.track({ mood: "eager" }), "ok")
  await present("guest: eager; watcher: calm")
  assert.equal(await guest.track({ mood: "tired" }), "ok")
  await present("guest: tired; watcher: calm")
  assert.equal(await watching.untrack(), "ok")
  await present("guest: tired")
  await guest.socket.disconnect()
  await present("")
})

scenario("heartbeats are answered", async () => {
  const inbox = new Inbox()
  const beating = client({ heartbeatIntervalMs: 20, heartbeatCallback: inbox.on("beat") })
  await subscribed(beating.channel("lobby"))
  for (const expected of ["sent", "ok", "sent", "ok"]) assert.equal(await inbox.next("beat"), expected)
})

scenario("unsubscribing is acknowledged and closes the channel", async () => {
  const channel = client().channel("lobby")
  const inbox = await subscribed(channel)
  assert.equal(await channel.unsubscribe(), "ok")
  assert.equal(await inbox.next("status"), "CLOSED")
})

scenario("a client that is disconnected comes back and subscribes again", async () => {
  const channel = client().channel("lobby")
  const inbox = await subscribed(channel)
  channel.send({ type: "test:disconnect" })
  assert.match(await inbox.next("status"), /^CHANNEL_ERROR/)
  assert.equal(await inbox.next("status"), "SUBSCRIBED")
})

scenario("a channel that crashes is an error, and is subscribed to again", async () => {
  const connection = client()
  connection.socketAdapter.getSocket().rejoinAfterMs = () => 10
  const channel = connection.channel("lobby")
  const inbox = await subscribed(channel)
  channel.send({ type: "test:crash" })
  assert.equal(await inbox.next("status"), "CHANNEL_ERROR: channel_crash")
  assert.equal(await inbox.next("status"), "SUBSCRIBED")
})

scenario("a topic that nobody mounted is refused", async () => {
  const inbox = subscribe(new RealtimeChannel("nowhere:at-all", { config: {} }, client()))
  assert.equal(await inbox.next("status"), "CHANNEL_ERROR: unmatched topic")
})

scenario("a cortex answers its queries", async () => {
  const channel = agent(client(), "supabase")
  const inbox = await subscribed(channel, { events: ["thought", "result", "pong"] })
  assert.equal(await channel.send({ type: "query", q: "thoughts=2", ref: "q1" }), "ok")
  assert.equal((await inbox.next("result")).data.echo, "thoughts=2")
  assert.deepEqual(inbox.rest().map(([event, { thought }]) => [event, thought.content]), [["thought", "step 1"], ["thought", "step 2"]])
  assert.equal(await channel.send({ type: "ping" }), "ok")
  await inbox.next("pong")
  assert.equal(await channel.send({ type: "bogus" }), "error")
  assert.equal(await channel.unsubscribe(), "ok")
})

scenario("a cortex refuses a wrong key", async () => {
  const inbox = subscribe(agent(client(), "supabase", { api_key: "wrong" }))
  assert.equal(await inbox.next("status"), "CHANNEL_ERROR: unauthorized")
})

scenario("a query is interrupted", async () => {
  const channel = agent(client(), "supabase-int")
  const inbox = await subscribed(channel, { events: ["thought", "interrupted"] })
  assert.equal(await channel.send({ type: "query", q: "thoughts=1000 delay_ms=5", ref: "q1" }), "ok")
  await inbox.next("thought")
  assert.equal(await channel.send({ type: "interrupt", ref: "q1" }), "ok")
  assert.deepEqual(await within(inbox.next("interrupted"), "interrupted"), { ref: "q1", reason: "user requested" })
})

await run()
