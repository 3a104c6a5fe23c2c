// A Phoenix client of a hundred lines: one WebSocket, some topics, replies as promises. It reconnects by itself.

const HEARTBEAT = 25_000; // ms
const LONGEST_WAIT = 4_000; // ms between two tries
const PATIENCE = 10_000; // ms for a reply

export class Phoenix {
  // `heard(frame)` gets each [join_ref, ref, topic, event, payload]; `told(status, why)` how the connection is:
  // "connecting", "live", "reconnecting" or "refused".
  constructor(url, topics, heard, told) {
    this.url = url;
    this.topics = topics;
    this.heard = heard;
    this.told = told;
    this.replies = new Map();
    this.number = 0;
    this.tries = 0;
    this.everOpen = false;
    this.closed = false;
    this.open();
  }

  open() {
    this.told(this.everOpen ? "reconnecting" : "connecting", "");
    const socket = (this.socket = new WebSocket(`${this.url}?vsn=2.0.0`));
    socket.onopen = () => {
      this.everOpen = true;
      this.beat = setInterval(() => this.heartbeat(), HEARTBEAT);
      for (const [topic, payload] of Object.entries(this.topics)) this.join(topic, payload);
    };
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    socket.onclose = () => this.lost();
  }

  // A server that has gone without a word does not answer.
  async heartbeat() {
    const socket = this.socket;
    const reply = await this.push("phoenix", "heartbeat", {});
    if (reply.status === "lost") socket.close();
  }

  // The first topic says how it is with the connection; the others come along.
  async join(topic, payload) {
    const socket = this.socket;
    const reply = await this.push(topic, "phx_join", payload);
    if (reply.status === "lost") return socket.close();
    if (topic !== Object.keys(this.topics)[0]) return;
    if (reply.status === "ok") {
      this.tries = 0;
      this.told("live", "");
    } else {
      this.told("refused", reply.response?.reason ?? "the server said no");
    }
  }

  // The reply to a message: {status, response}; status "lost" where none came.
  push(topic, event, payload) {
    const ref = this.send(topic, event, payload);
    if (ref === null) return Promise.resolve({ status: "lost", response: {} });
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.settle(ref, { status: "lost", response: {} }), PATIENCE);
      this.replies.set(ref, { resolve, timer });
    });
  }

  send(topic, event, payload) {
    if (this.socket.readyState !== WebSocket.OPEN) return null;
    const ref = String(++this.number);
    this.socket.send(JSON.stringify([event === "phx_join" ? ref : null, ref, topic, event, payload]));
    return ref;
  }

  receive(frame) {
    if (frame[3] === "phx_reply") this.settle(frame[1], frame[4]);
    else if (frame[3] === "phx_error" || frame[3] === "phx_close") this.socket.close();
    else this.heard(frame);
  }

  settle(ref, reply) {
    const waiting = this.replies.get(ref);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    this.replies.delete(ref);
    waiting.resolve(reply);
  }

  lost() {
    clearInterval(this.beat);
    for (const ref of [...this.replies.keys()]) this.settle(ref, { status: "lost", response: {} });
    if (this.closed) return;
    this.told(this.everOpen ? "reconnecting" : "connecting", "no connection");
    const longest = Math.min(LONGEST_WAIT, 250 * 2 ** this.tries++);
    this.timer = setTimeout(() => this.open(), longest * (0.5 + Math.random() / 2));
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    clearInterval(this.beat);
    this.socket.close();
  }
}
